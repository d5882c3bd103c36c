//! What a message from the far side does.

use super::LinkTarget;
use crate::envelope::EventEnvelope;
use crate::event_target::{CloseReason, Notice, TargetError};
use crate::protocol::check::{self, Refusal};
use crate::protocol::control::{Action, GapReason};
use crate::protocol::link::Heard;
use crate::topic::{Topic, with_topic};
use bytestring::ByteString;

impl LinkTarget {
    /// Takes a message from the peer: `Err` with the reason where it is one that ends the connection. `of`: the topic that it
    /// has to be an event of, where a broker says it. `closes_by_event`: `__close` does.
    pub(crate) fn receive(
        &self,
        text: &ByteString,
        of: Option<&str>,
        closes_by_event: bool,
    ) -> Result<(), CloseReason> {
        let parts = match check::text_parts(text, &self.options.message) {
            Ok(parts) => parts,
            Err(refusal) => return self.refuse(refusal),
        };
        if let Some(topic) = of {
            if parts.event_type.starts_with("__") {
                return self.refuse(Refusal::BadControl);
            }
            if !with_topic(&parts.event_type, &parts.id, |own| own == topic) {
                self.lock().counters.bad_input += 1;
                self.listeners.notify_named(&Notice::Error(TargetError::WrongTopic { topic: topic.into() }));
                return Ok(());
            }
        }
        let heard = {
            let mut state = self.lock();
            let heard = state.link.receive(&parts);
            match &heard {
                Ok(Heard::Event { .. }) => state.counters.received += 1,
                Ok(Heard::Denied { topic, action, reason }) => {
                    state.counters.denied += 1;
                    if *action == Action::Subscribe {
                        state.tell_denied(topic, *reason);
                    }
                }
                Ok(Heard::Settled { .. }) => state.tell_in(),
                Ok(Heard::Pong) => state.tell_pong(),
                _ => {}
            }
            // Whoever asks after this denial waits for an answer of their own.
            heard.map(|heard| match heard {
                Heard::Denied { topic, action, reason } => {
                    let audience = self.listeners.audience(Some(&topic));
                    (Heard::Denied { topic, action, reason }, Some(audience))
                }
                other => (other, None),
            })
        };
        match heard {
            Err(refusal) => return self.refuse(refusal),
            Ok((Heard::Event { after_gap }, _)) => {
                if after_gap {
                    with_topic(&parts.event_type, &parts.id, |topic| self.tell_gap(topic));
                }
                if with_topic(&parts.event_type, &parts.id, |topic| self.listeners.is_heard(topic)) {
                    self.listeners.dispatch(&EventEnvelope::checked(text, &parts, None));
                }
            }
            Ok((Heard::Settled { topic, after_gap }, _)) => {
                if after_gap {
                    self.tell_gap(&topic);
                }
                self.waiters.wake_all();
            }
            Ok((Heard::Pong, _)) => self.waiters.wake_all(),
            Ok((Heard::Ping(answered), _)) => self.controlled(answered),
            Ok((Heard::Denied { topic, action, reason }, audience)) => {
                tracing::debug!(%topic, %action, %reason, "denied");
                let notice = Notice::Denied { topic: (*topic).into(), action, reason };
                if let Some(audience) = audience {
                    self.listeners.tell(&audience, &notice);
                }
                if action == Action::Subscribe {
                    self.waiters.wake_all();
                }
            }
            Ok((Heard::Gap { topic: None, missed, reason }, _)) => {
                self.listeners.notify(None, &Notice::Gap { topic: None, missed, reason });
            }
            Ok((Heard::Gap { topic: Some(topic), missed, reason }, _)) => match Topic::parse(&topic) {
                Ok(topic) => {
                    let notice = Notice::Gap { topic: Some(topic.clone()), missed, reason };
                    self.listeners.notify(Some(topic.as_str()), &notice);
                }
                Err(_) => return self.refuse(Refusal::BadControl),
            },
            Ok((Heard::Close { code, reason }, _)) if closes_by_event => {
                return Err(CloseReason::ByPeer { code, reason: (*reason).into() });
            }
            Ok((Heard::Close { .. } | Heard::Ignored, _)) => {}
        }
        Ok(())
    }

    /// Counts and tells of a message that was refused: `Err` with the reason where it was one too many, or over
    /// the limit.
    pub(crate) fn refuse(&self, refusal: Refusal) -> Result<(), CloseReason> {
        tracing::debug!(reason = refusal.name(), "bad input");
        let too_many = {
            let mut state = self.lock();
            state.counters.bad_input += 1;
            state.counters.refusals.add(&refusal);
            state.link.refused(self.now())
        };
        self.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        if self.options.broker {
            // Whoever publishes there did it.
            return Ok(());
        }
        let code = match refusal {
            Refusal::TooLarge { .. } => 1009,
            _ if too_many => 1007,
            _ => return Ok(()),
        };
        Err(CloseReason::Refused { code, reason: refusal.to_string().into() })
    }

    /// Events may be missing of a topic since the last connection.
    pub(super) fn tell_gap(&self, topic: &str) {
        if let Ok(of) = Topic::parse(topic) {
            let notice = Notice::Gap { topic: Some(of), missed: None, reason: GapReason::Disconnected };
            self.listeners.notify(Some(topic), &notice);
        }
    }
}
