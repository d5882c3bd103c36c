//! WebSocket frames (RFC 6455, section 5) without I/O: bytes in, messages out, and the frames to send back.
//!
//! Made for a hub with many sockets that are silent most of the time. Whoever reads the sockets owns the buffer,
//! one for many of them; frames are unmasked where they lie in it, and messages borrow from it. All that a
//! connection keeps is a [`Decoder`], the size of a pointer, and the bytes of an incomplete frame. What is sent
//! is framed once, and every receiver shares it.
//!
//! `docs/adr/0002-websocket-codec.md` says why it is our own.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::{Deref, Range};

/// The most bytes that a control frame carries.
const MAX_CONTROL: usize = 125;

/// The most fragments without a byte in one message. They take no memory, so the limit on messages would never
/// end them; one or two (an empty first or last one) are usual.
const MAX_EMPTY_FRAGMENTS: u8 = 64;

/// What a decoder holds its peer to; the same for every connection of a hub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Bytes of one message, all fragments together; equal is allowed.
    pub(crate) max_message: usize,
}

/// What a peer sent: a whole message, or a control frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message<'b> {
    /// A text message. Whether it is UTF-8 is for the caller to check, together with what it says.
    Text(Cow<'b, [u8]>),
    /// A binary message.
    Binary(Cow<'b, [u8]>),
    /// To be answered by a [`pong`] with the same bytes.
    Ping(&'b [u8]),
    /// The answer to a [`ping`], or sent unasked.
    Pong(&'b [u8]),
    /// The peer's last word: whatever comes after it is not to be read.
    Close {
        /// Why, where the peer says so.
        code: Option<u16>,
        /// The same in words; often empty.
        reason: &'b str,
    },
}

/// What a peer did that RFC 6455 forbids; the connection ends with [`Violation::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Violation {
    /// A client's frame came unmasked.
    #[error("a client's frame is not masked")]
    Unmasked,
    /// A reserved bit is set, and no extension was agreed on that gives it a meaning.
    #[error("a reserved bit is set")]
    ReservedBits,
    /// The opcode has no meaning yet.
    #[error("the opcode is reserved")]
    ReservedOpcode,
    /// A length is written in more bytes than it needs.
    #[error("a payload's length is not written in its shortest form")]
    LongForm,
    /// The top bit of a length of 64 bits is set.
    #[error("a payload's length has its top bit set")]
    TopBit,
    /// A control frame came in fragments.
    #[error("a control frame is fragmented")]
    FragmentedControl,
    /// A control frame holds more than 125 bytes.
    #[error("a control frame is longer than {MAX_CONTROL} bytes")]
    LongControl,
    /// A continuation, with no message to continue.
    #[error("a continuation frame continues nothing")]
    StrayContinuation,
    /// A new message began before the fragmented one had ended.
    #[error("a new message begins inside a fragmented one")]
    Interrupted,
    /// The payload of a close frame is a single byte, which is half a code.
    #[error("a close frame holds half a close code")]
    HalfCloseCode,
    /// A close code that is not for the wire, or belongs to nobody.
    #[error("the close code {0} may not be sent")]
    CloseCode(u16),
    /// The reason in a close frame is not UTF-8.
    #[error("the reason of a close is not UTF-8")]
    CloseReason,
    /// A message is longer than allowed.
    #[error("the message is longer than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A message goes on and on in fragments that hold nothing.
    #[error("the message has more than {MAX_EMPTY_FRAGMENTS} empty fragments")]
    EmptyFragments,
}

impl Violation {
    /// The code to close the connection with.
    pub(crate) const fn close_code(self) -> u16 {
        match self {
            Self::CloseReason => 1007,
            Self::TooLarge { .. } | Self::EmptyFragments => 1009,
            _ => 1002,
        }
    }
}

/// One connection's place in the stream of frames: nothing but a null pointer, save between the fragments of
/// a message.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    assembly: Option<Box<Assembly>>,
}

impl Decoder {
    /// Whether the next frame begins a message, as opposed to going on with one in fragments.
    pub(crate) const fn is_between_messages(&self) -> bool {
        self.assembly.is_none()
    }

    /// The memory that it takes beside itself.
    pub(crate) fn held(&self) -> usize {
        self.assembly.as_ref().map_or(0, |assembly| size_of::<Assembly>() + assembly.bytes.capacity())
    }

    /// Reads the next message from `buffer[*at..]` and moves `at` behind the frames it took.
    ///
    /// `None` asks for more bytes: the caller keeps those from `at` on, which are the beginning of one frame,
    /// and puts the new ones behind them. They are untouched, as a payload is unmasked only once it is whole.
    /// Kept here and there is never more than [`Rules::max_message`] and a control frame.
    ///
    /// An unfragmented message borrows from `buffer`; one in fragments is given away with the memory it was
    /// joined in.
    ///
    /// # Errors
    /// [`Violation`], as soon as a header shows it and before any memory is taken. The stream is lost then:
    /// neither the buffer nor the decoder may be read on.
    pub(crate) fn next<'b>(
        &mut self,
        rules: Rules,
        buffer: &'b mut [u8],
        at: &mut usize,
    ) -> Result<Option<Message<'b>>, Violation> {
        let whole = loop {
            let Some(frame) = self.frame(rules, buffer, *at)? else { return Ok(None) };
            let payload = &mut buffer[frame.payload.clone()];
            unmask(payload, frame.key);
            *at = frame.payload.end;

            let kind = match frame.opcode {
                // The header was checked: a continuation finds the message that it continues.
                CONTINUATION => CONTINUATION,
                TEXT_MESSAGE | BINARY_MESSAGE if !frame.is_final => frame.opcode,
                _ => break frame,
            };
            let assembly = self.assembly.get_or_insert_with(|| Box::new(Assembly::new(kind)));
            assembly.push(payload)?;
            if frame.is_final {
                return Ok(self.assembly.take().map(|assembly| assembly.into_message()));
            }
        };

        let payload = &buffer[whole.payload];
        Ok(Some(match whole.opcode {
            PING_FRAME => Message::Ping(payload),
            PONG_FRAME => Message::Pong(payload),
            CLOSE_FRAME => close_message(payload)?,
            kind => data(kind, Cow::Borrowed(payload)),
        }))
    }

    /// The frame at `buffer[at..]`, checked as far as its header goes; `None` until the whole of it is there.
    fn frame(&self, rules: Rules, buffer: &[u8], at: usize) -> Result<Option<Frame>, Violation> {
        let [first, second, rest @ ..] = &buffer[at..] else { return Ok(None) };
        let (is_final, opcode) = (first & FINAL != 0, first & OPCODE);
        // What two bytes show comes first: so what is wrong is the same however the header is cut.
        if first & RESERVED_BITS != 0 {
            return Err(Violation::ReservedBits);
        }
        if second & MASKED == 0 {
            return Err(Violation::Unmasked);
        }
        if is_reserved(opcode) {
            return Err(Violation::ReservedOpcode);
        }
        let (length, rest) = match second & LENGTH {
            126 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest),
                None => return Ok(None),
            },
            short => (u64::from(short), rest),
        };
        let Some((&key, rest)) = rest.split_first_chunk() else { return Ok(None) };
        if length >> 63 != 0 {
            return Err(Violation::TopBit);
        }
        let least = match second & LENGTH {
            126 => 126,
            127 => 1 << 16,
            _ => 0,
        };
        if length < least {
            return Err(Violation::LongForm);
        }
        self.check(rules, opcode, is_final, length)?;

        // It passed a limit that is a usize itself, so nothing is cut off.
        let length = length as usize;
        if rest.len() < length {
            return Ok(None);
        }
        let start = buffer.len() - rest.len();
        Ok(Some(Frame { opcode, is_final, key, payload: start..start + length }))
    }

    /// What can be refused of a frame by its kind and length, before its payload is there.
    fn check(&self, rules: Rules, opcode: u8, is_final: bool, length: u64) -> Result<(), Violation> {
        match (opcode, &self.assembly) {
            (CLOSE_FRAME | PING_FRAME | PONG_FRAME, _) if !is_final => Err(Violation::FragmentedControl),
            (CLOSE_FRAME | PING_FRAME | PONG_FRAME, _) if length > MAX_CONTROL as u64 => {
                Err(Violation::LongControl)
            }
            (CLOSE_FRAME | PING_FRAME | PONG_FRAME, _) => Ok(()),
            (CONTINUATION, None) => Err(Violation::StrayContinuation),
            (TEXT_MESSAGE | BINARY_MESSAGE, Some(_)) => Err(Violation::Interrupted),
            (_, assembly) => {
                let taken = assembly.as_ref().map_or(0, |assembly| assembly.bytes.len());
                let room = rules.max_message.saturating_sub(taken);
                // Compared before it is narrowed: on 32 bits a usize does not hold every length.
                if length > room as u64 {
                    return Err(Violation::TooLarge { limit: rules.max_message });
                }
                Ok(())
            }
        }
    }
}

// The first two bytes of a frame (RFC 6455, section 5.2).
const FINAL: u8 = 0x80;
const RESERVED_BITS: u8 = 0x70;
const OPCODE: u8 = 0x0f;
const MASKED: u8 = 0x80;
const LENGTH: u8 = 0x7f;
// Opcodes; the others are reserved.
const CONTINUATION: u8 = 0x0;
const TEXT_MESSAGE: u8 = 0x1;
const BINARY_MESSAGE: u8 = 0x2;
const CLOSE_FRAME: u8 = 0x8;
const PING_FRAME: u8 = 0x9;
const PONG_FRAME: u8 = 0xa;

const fn is_reserved(opcode: u8) -> bool {
    !matches!(opcode, CONTINUATION | TEXT_MESSAGE | BINARY_MESSAGE | CLOSE_FRAME | PING_FRAME | PONG_FRAME)
}

/// A frame whose header was checked and whose payload is there.
struct Frame {
    opcode: u8,
    is_final: bool,
    /// What the payload is masked with.
    key: [u8; 4],
    /// Where in the buffer the payload lies.
    payload: Range<usize>,
}

/// A message in fragments, as far as it has come.
#[derive(Debug)]
struct Assembly {
    /// The opcode of its first frame.
    kind: u8,
    bytes: Vec<u8>,
    empty_fragments: u8,
}

impl Assembly {
    const fn new(kind: u8) -> Self {
        Self { kind, bytes: Vec::new(), empty_fragments: 0 }
    }

    fn push(&mut self, fragment: &[u8]) -> Result<(), Violation> {
        if fragment.is_empty() {
            if self.empty_fragments == MAX_EMPTY_FRAGMENTS {
                return Err(Violation::EmptyFragments);
            }
            self.empty_fragments += 1;
        }
        self.bytes.extend_from_slice(fragment);
        Ok(())
    }

    fn into_message(self) -> Message<'static> {
        data(self.kind, Cow::Owned(self.bytes))
    }
}

/// A message of the kind that its first frame named.
fn data(kind: u8, payload: Cow<'_, [u8]>) -> Message<'_> {
    match kind {
        TEXT_MESSAGE => Message::Text(payload),
        _ => Message::Binary(payload),
    }
}

/// Whether a close frame may hold this code.
pub(crate) const fn may_be_sent(code: u16) -> bool {
    // 1004 to 1006 and 1015 name what was never sent; 1012 to 1014 were registered after RFC 6455.
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads a close frame's payload.
fn close_message(payload: &[u8]) -> Result<Message<'_>, Violation> {
    let (code, reason) = match payload.split_first_chunk() {
        Some((code, reason)) => (u16::from_be_bytes(*code), reason),
        None if payload.is_empty() => return Ok(Message::Close { code: None, reason: "" }),
        None => return Err(Violation::HalfCloseCode),
    };
    if !may_be_sent(code) {
        return Err(Violation::CloseCode(code));
    }
    let reason = str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
    Ok(Message::Close { code: Some(code), reason })
}

/// Unmasks a payload where it lies; the same again masks it.
fn unmask(payload: &mut [u8], key: [u8; 4]) {
    // As wide as a vector register, for the compiler to use one.
    let wide: [u8; 16] = std::array::from_fn(|i| key[i % 4]);
    let (chunks, rest) = payload.as_chunks_mut::<16>();
    for chunk in chunks {
        for (byte, key) in chunk.iter_mut().zip(wide) {
            *byte ^= key;
        }
    }
    for (byte, key) in rest.iter_mut().zip(wide) {
        *byte ^= key;
    }
}

// First bytes of the frames that a server sends: final, no reserved bit.
const TEXT: u8 = FINAL | TEXT_MESSAGE;
const CLOSE: u8 = FINAL | CLOSE_FRAME;
const PING: u8 = FINAL | PING_FRAME;
const PONG: u8 = FINAL | PONG_FRAME;

/// A server's frame header: 2, 4 or 10 bytes, read as a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    bytes: [u8; 10],
    len: u8,
}

impl Header {
    /// For a payload of `length` bytes, unmasked.
    fn new(first: u8, length: usize) -> Self {
        let mut bytes = [0; 10];
        bytes[0] = first;
        let len = if length <= 125 {
            bytes[1] = length as u8;
            2
        } else if let Ok(length) = u16::try_from(length) {
            bytes[1] = 126;
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            4
        } else {
            bytes[1] = 127;
            bytes[2..].copy_from_slice(&(length as u64).to_be_bytes());
            10
        };
        Self { bytes, len }
    }
}

impl Deref for Header {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The header of a server's text message of `length` bytes, for a caller that puts the two together itself.
pub(crate) fn text_header(length: usize) -> Header {
    Header::new(TEXT, length)
}

/// A server's text message in one frame, to be shared by all who receive it.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [&text_header(text.len()), text.as_bytes()].concat()
}

/// What a frame made by [`text`] holds; `None` for one of another kind.
pub(crate) fn text_of(framed: &[u8]) -> Option<&[u8]> {
    let header = match framed {
        [TEXT, 126, ..] => 4,
        [TEXT, 127, ..] => 10,
        [TEXT, ..] => 2,
        _ => return None,
    };
    framed.get(header..)
}

/// The first of text messages that were framed here, and what is behind it.
pub(crate) fn split(framed: &[u8]) -> Option<(&[u8], &[u8])> {
    let behind = text_of(framed)?;
    let length = match framed[1] {
        126 => usize::from(u16::from_be_bytes(framed[2..4].try_into().ok()?)),
        127 => usize::try_from(u64::from_be_bytes(framed[2..10].try_into().ok()?)).ok()?,
        short => usize::from(short),
    };
    behind.split_at_checked(length)
}

/// A server's ping; of `payload` the first 125 bytes, as a control frame holds no more.
pub(crate) fn ping(payload: &[u8]) -> Vec<u8> {
    control(PING, &[], payload)
}

/// A server's answer to a [`Message::Ping`] with this payload.
pub(crate) fn pong(payload: &[u8]) -> Vec<u8> {
    control(PONG, &[], payload)
}

/// A server's close frame; of `reason` as many whole characters as a control frame holds.
///
/// Without a code it is empty, as is fit for an answer to a close without one.
pub(crate) fn close(code: Option<u16>, reason: &str) -> Vec<u8> {
    let Some(code) = code else { return control(CLOSE, &[], &[]) };
    let reason = &reason[..reason.floor_char_boundary(MAX_CONTROL - 2)];
    control(CLOSE, &code.to_be_bytes(), reason.as_bytes())
}

/// A control frame of a payload in two parts, the second cut to what fits.
fn control(first: u8, start: &[u8], rest: &[u8]) -> Vec<u8> {
    let rest = &rest[..rest.len().min(MAX_CONTROL - start.len())];
    [&Header::new(first, start.len() + rest.len()), start, rest].concat()
}
