//! How messages lie in a connection's bytes: in WebSocket frames, or each behind its length.
//!
//! A hub may have connections of both kinds. An event is framed once for each kind that somebody wants it in, and
//! shared by all of that kind: see [`Frame`](super::frame::Frame).

pub(crate) mod websocket;

use crate::protocol::control;
use crate::protocol::length_prefix::{self, HEADER};

/// One of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Framing {
    /// RFC 6455. It has pings and closes of its own.
    #[default]
    WebSocket,
    /// Four bytes of length, big-endian. A close is the control event `__close`; there is no ping that a hub could send.
    LengthPrefix,
}

impl Framing {
    /// A message.
    pub(super) fn text(self, text: &str) -> Vec<u8> {
        match self {
            Self::WebSocket => websocket::text(text),
            Self::LengthPrefix => self.bytes(text.as_bytes()),
        }
    }

    fn bytes(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::WebSocket => [&websocket::text_header(text.len()), text].concat(),
            // It was held against the limit of messages, which is far below 4 GiB; and nobody sends an empty one.
            Self::LengthPrefix => [&(text.len() as u32).to_be_bytes(), text].concat(),
        }
    }

    /// The same messages in the other framing, from what [`text`](Self::text) made, or several such behind each other.
    /// `None` where that is something else.
    pub(super) fn reframed(self, framed: &[u8], to: Self) -> Option<Vec<u8>> {
        let mut reframed = Vec::with_capacity(framed.len() + HEADER);
        let mut rest = framed;
        while !rest.is_empty() {
            let (text, behind) = self.split(rest)?;
            reframed.extend_from_slice(&to.bytes(text));
            rest = behind;
        }
        Some(reframed)
    }

    /// How many whole messages stand at the beginning of what was framed here.
    pub(super) fn count(self, framed: &[u8]) -> usize {
        let mut rest = framed;
        std::iter::from_fn(|| self.split(rest).map(|(_, behind)| rest = behind)).count()
    }

    /// Whether a frame that was made here is a control event, or no message at all.
    pub(super) fn is_control(self, framed: &[u8]) -> bool {
        let text = match self {
            Self::WebSocket => websocket::text_of(framed),
            Self::LengthPrefix => framed.get(HEADER..),
        };
        text.is_none_or(|text| text.starts_with(control::BEGINNING.as_bytes()))
    }

    /// The last word: a close frame, or `__close`.
    pub(super) fn close(self, code: Option<u16>, reason: &str) -> Vec<u8> {
        match self {
            Self::WebSocket => websocket::close(code.filter(|code| websocket::may_be_sent(*code)), reason),
            Self::LengthPrefix => self.text(&control::close(code.unwrap_or(1000), reason)),
        }
    }

    /// The first message and what is behind it.
    fn split(self, framed: &[u8]) -> Option<(&[u8], &[u8])> {
        match self {
            Self::WebSocket => websocket::split(framed),
            Self::LengthPrefix => {
                let text = length_prefix::first(framed, usize::MAX).ok()??;
                Some((text, &framed[HEADER + text.len()..]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_the_same_in_either_framing() {
        let long = "x".repeat(70_000);
        let texts = ["{}", &long[..125], &long[..126], &long[..65_535], &long[..65_536], &long];
        for (one, other) in
            [(Framing::WebSocket, Framing::LengthPrefix), (Framing::LengthPrefix, Framing::WebSocket)]
        {
            let framed = |framing: Framing| texts.map(|text| framing.text(text)).concat();
            assert_eq!(one.reframed(&framed(one), other), Some(framed(other)));
            let (all, first) = (framed(one), one.text("{}").len());
            assert_eq!(
                [first - 1, first, all.len() - 1, all.len()].map(|end| one.count(&all[..end])),
                [0, 1, 5, 6]
            );
            assert_eq!(one.reframed(&all[..first - 1], other), None);
        }
    }

    #[test]
    fn control_events_are_told_from_events() {
        for framing in [Framing::WebSocket, Framing::LengthPrefix] {
            assert!(framing.is_control(&framing.text(&control::subscribed("a:b"))), "{framing:?}");
            assert!(framing.is_control(&framing.close(Some(1001), "")), "{framing:?}");
            assert!(!framing.is_control(&framing.text(r#"{"type":"a"}"#)), "{framing:?}");
        }
        assert!(Framing::WebSocket.is_control(&websocket::ping(b"")));
    }
}
