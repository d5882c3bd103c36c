//! What the link in one memory makes of what it hears, but for its flaw.

use super::{Flaw, Link, reencoded};
use crate::EventEnvelope;
use crate::conformance::RawMessage;
use crate::conformance::run::lock;
use crate::event_target::{CloseReason, Notice, TargetError};
use crate::protocol::MAX_BAD_INPUT;
use crate::protocol::check::{MessageLimits, Refusal, parts};
use crate::protocol::control::{self, Action, Control, DenyReason, GapReason};
use crate::stats::Stats;

impl Link {
    /// Takes a message from the far side.
    pub(in crate::conformance::wrong) fn receive(&self, message: &RawMessage) {
        if self.has(Flaw::LosesWhatCameBeforeClose) && !matches!(message, RawMessage::Close(_)) {
            let before = lock(&self.state).before.replace(message.clone());
            return before.iter().for_each(|message| self.handle(message));
        }
        self.handle(message);
    }

    fn handle(&self, message: &RawMessage) {
        let bytes = match message {
            RawMessage::Text(text) => text.as_bytes(),
            RawMessage::Binary(bytes) => bytes,
            RawMessage::Close(code) => {
                return self.over(CloseReason::ByPeer { code: *code, reason: "".into() });
            }
        };
        if self.listeners.closed().is_some() || lock(&self.state).down {
            return;
        }
        let read = parts(bytes, &MessageLimits::DEFAULT);
        match read.and_then(|parts| Ok((control::read(&parts)?, parts))) {
            Ok((None, parts)) => self.event(parts.text),
            Ok((Some(Control::Unknown), _)) if self.has(Flaw::UnknownControlIsBad) => {
                self.bad(Refusal::BadControl);
            }
            Ok((Some(control), _)) => self.control(control),
            Err(refusal) => {
                let lenient: Option<serde_json::Value> = serde_json::from_slice(bytes).ok();
                let member = |name: &str| lenient.as_ref().and_then(|value| value[name].as_str());
                match (self.flaw, member("type"), member("id")) {
                    (Flaw::TakesDoubleMembers, Some(event_type), Some(id)) => {
                        let event = EventEnvelope::without_payload(event_type, id);
                        let _ = event.map(|event| self.listeners.dispatch(&event));
                    }
                    (Flaw::PanicsOnBadInput, ..) => std::panic::resume_unwind(Box::new("on purpose")),
                    _ => self.bad(refusal),
                }
            }
        }
    }

    fn event(&self, text: &str) {
        let late = {
            let mut state = lock(&self.state);
            state.counters.received += u64::from(!self.has(Flaw::CountsNotWhatComes));
            state.late.take()
        };
        let text = if self.has(Flaw::ReencodesInward) { reencoded(text) } else { text.to_owned() };
        if let Ok(event) = EventEnvelope::parse(text) {
            self.tell_early_gap(event.topic().as_str());
            self.listeners.dispatch(&event);
        }
        if let Some(Notice::Gap { topic, .. }) = &late {
            self.tell(topic.as_ref().map(crate::Topic::as_str), late.as_ref());
        }
    }

    /// An event ahead of the hub's answer has the gap before it, too.
    fn tell_early_gap(&self, topic: &str) {
        let early = {
            let mut state = lock(&self.state);
            let wanted = state.topics.get_mut(topic).filter(|wanted| wanted.gaps > 0);
            wanted.is_some_and(|wanted| !std::mem::replace(&mut wanted.early, true))
        };
        if early && !self.has(Flaw::NoGapAfterCut) && !self.has(Flaw::NoGapAheadOfAnswer) {
            self.tell_gap(topic);
        }
    }

    /// Tells the listeners of a topic.
    fn tell(&self, topic: Option<&str>, notice: Option<&Notice>) {
        let Some(notice) = notice else { return };
        let panicked = || {
            let mut stats = Stats::default();
            self.listeners.count(&mut stats);
            stats.panicked
        };
        let before = panicked();
        self.listeners.notify(topic, notice);
        if self.has(Flaw::PanicAtNoticeEnds) && panicked() > before {
            self.end(CloseReason::Lost { error: "a listener panicked".into() });
        }
    }

    fn bad(&self, refusal: Refusal) {
        let count = {
            let mut state = lock(&self.state);
            state.counters.bad_input += u64::from(!self.has(Flaw::SwallowsBadInput));
            let counted = if self.has(Flaw::OneReasonForAll) { Refusal::NotJson { at: 0 } } else { refusal };
            state.counters.refusals.add(&counted);
            state.counters.bad_input
        };
        self.listeners.notify_named(&Notice::Error(TargetError::BadInput(refusal)));
        let most = match self.flaw {
            Flaw::BadInputWithoutEnd => u64::MAX,
            Flaw::EndsAtFewBad => 10,
            _ => MAX_BAD_INPUT.into(),
        };
        match refusal {
            Refusal::TooLarge { .. } if !self.has(Flaw::TooLargeGoesOn) => self.refuse(1009),
            _ if count >= most => self.refuse(1007),
            _ => {}
        }
    }

    fn refuse(&self, code: u16) {
        self.end(CloseReason::Refused { code, reason: "".into() });
    }

    fn control(&self, control: Control<'_>) {
        match control {
            Control::Subscribed(topic) => _ = self.answered(&topic, None),
            Control::Denied { topic, action, reason } if !self.has(Flaw::HidesDenial) => {
                let action = match action {
                    Action::Publish if self.has(Flaw::DeniedPublishEnds) => Action::Subscribe,
                    action => action,
                };
                lock(&self.state).counters.denied += 1;
                if action == Action::Publish || self.answered(&topic, Some(reason)) {
                    let denied = Notice::Denied { topic: (&*topic).into(), action, reason };
                    self.tell(Some(&topic), Some(&denied));
                }
            }
            Control::Gap { topic, missed, reason } => {
                let gap = Notice::Gap {
                    topic: topic.as_deref().and_then(|topic| crate::Topic::parse(topic).ok()),
                    missed,
                    reason,
                };
                match (self.flaw, topic) {
                    (Flaw::SwallowsGap, _) => {}
                    (Flaw::SwallowsUncountedGap, _) if missed.is_none() => {}
                    (Flaw::GapOfAllToNobody, None) => self.listeners.notify_named(&gap),
                    (Flaw::GapAfterNextEvent, _) => lock(&self.state).late = Some(gap),
                    (_, topic) => self.tell(topic.as_deref(), Some(&gap)),
                }
            }
            _ => {}
        }
        self.changed.wake_all();
    }

    /// Takes an answer; gives whether a denial is to be told.
    fn answered(&self, topic: &str, denied: Option<DenyReason>) -> bool {
        let gaps = {
            let mut state = lock(&self.state);
            if self.has(Flaw::TakesAnyAnswer) {
                state.topics.values_mut().for_each(|wanted| wanted.owed = 0);
            }
            let Some(wanted) = state.topics.get_mut(topic) else { return true };
            let before = wanted.owed;
            wanted.owed = if self.has(Flaw::OneAnswerForAll) { 0 } else { before.saturating_sub(1) };
            let other_life = self.has(Flaw::OtherLifeWhileDraining) || self.has(Flaw::EndsWhileDraining);
            let goes_on = self.outlives() != other_life;
            if denied == Some(DenyReason::Draining) && goes_on {
                wanted.put_off = true;
                return false;
            }
            if denied.is_some() && wanted.gaps > 0 && self.has(Flaw::DeniedAnewGoesOn) {
                return false;
            }
            if wanted.owed == 0 && (before > 0 || denied.is_some()) {
                wanted.denied = denied;
            }
            if wanted.owed == 0 { std::mem::take(&mut wanted.gaps) } else { 0 }
        };
        let gaps = match self.flaw {
            Flaw::NoGapAfterCut | Flaw::GapWhenConnected => 0,
            Flaw::GapForEachCut => gaps,
            _ if denied.is_some() => 0,
            _ => gaps.min(1),
        };
        (0..gaps).for_each(|_| self.tell_gap(topic));
        true
    }

    pub(super) fn tell_gap(&self, topic: &str) {
        let reason = GapReason::Disconnected;
        let notice = Notice::Gap { topic: crate::Topic::parse(topic).ok(), missed: None, reason };
        self.tell(Some(topic), Some(&notice));
    }
}
