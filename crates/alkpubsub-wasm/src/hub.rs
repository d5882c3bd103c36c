//! One hub: the core's, and the numbers of the topics that its program listens to.

use crate::Shared;
use crate::link::OVERFLOW;
use crate::message::{admit, checked, place, tell_refusal};
use crate::topics::Topics;
use alkpubsub::Stats;
use alkpubsub::protocol::Message;
use alkpubsub::protocol::check::Refusal;
use alkpubsub::protocol::control::{Action, DenyReason, GapReason};
use alkpubsub::protocol::hub::{Asked, FanOut, Hub, HubLimits, LinkId};
use std::time::Duration;

/// What a message calls for, as a number. The words tell the rest.
pub(crate) mod asked {
    /// Nothing.
    pub(crate) const DONE: u32 = 0;
    /// The same, and something is to be sent.
    pub(crate) const WRITE: u32 = 1;
    /// To publish: as the third word the topic's number, or 0 if nobody listens; behind it how long the type is in UTF-16
    /// units, where the payload begins and ends in the message's bytes (both 0 where it is missing), and whether all
    /// outside of it is ASCII. The topic as text, where the program is asked for leave.
    pub(crate) const PUBLISH: u32 = 2;
    /// To subscribe: the topic as text.
    pub(crate) const SUBSCRIBE: u32 = 3;
    /// Nothing, for it is refused: the reason's name as text, and as the third word where in the message, or the limit.
    pub(crate) const REFUSED: u32 = 4;
}

/// What waits for a link: control events alone, as events are handed over at once.
#[derive(Clone, Debug)]
pub(crate) struct Answer(String);

impl Message for Answer {
    type Framing = ();

    fn from_text(text: String, (): ()) -> Self {
        Self(text)
    }

    fn weight(&self) -> usize {
        self.0.len()
    }

    fn is_control(&self) -> bool {
        true
    }
}

/// The names of the counters that [`HubEnd::count`] gives; behind them come those of the refusals by reason.
const COUNTERS: [&str; 8] = [
    "received",
    "sent",
    "bad_input",
    "denied",
    "dropped",
    "subscribed_topics",
    "connections",
    "listened_topics",
];

/// Links are known to JavaScript by their slots. Those of one that is gone are nobody's, or another's.
pub(crate) struct HubEnd {
    pub(crate) hub: Hub<Answer>,
    limits: HubLimits,
    /// Whether the program is asked who may publish.
    asks: bool,
    topics: Topics,
    links: Vec<Option<LinkId>>,
    dirty: Vec<LinkId>,
    /// A topic that is put together, again and again.
    key: String,
    refusal: Option<Refusal>,
}

impl HubEnd {
    pub(crate) fn new(limits: HubLimits, fan_out: FanOut, identities: bool, asks: bool) -> Self {
        Self {
            hub: Hub::new(limits, fan_out, identities),
            limits,
            asks,
            topics: Topics::default(),
            links: Vec::new(),
            dirty: Vec::new(),
            key: String::new(),
            refusal: None,
        }
    }

    /// Its slot, or `OVERFLOW` if there are as many as there may be.
    pub(crate) fn connect(&mut self, identity: Option<&str>) -> u32 {
        // Silence is judged by whoever has the socket: the time does not matter.
        let Some(link) = self.hub.connect(identity.map(Into::into), Duration::ZERO) else { return OVERFLOW };
        let slot = link.slot();
        if self.links.len() <= slot {
            self.links.resize(slot + 1, None);
        }
        self.links[slot] = Some(link);
        slot as u32
    }

    pub(crate) fn disconnect(&mut self, slot: u32) {
        if let Some(link) = self.links.get_mut(slot as usize).and_then(Option::take) {
            self.hub.disconnect(link);
        }
    }

    fn link(&self, slot: u32) -> Option<LinkId> {
        self.links.get(slot as usize).copied().flatten()
    }

    /// The program listens to a topic: its number.
    pub(crate) fn listen(&mut self, topic: &str) -> u32 {
        self.topics.add(topic)
    }

    pub(crate) fn unlisten(&mut self, topic: &str) {
        self.topics.remove(topic);
    }

    /// Whether an envelope of the program's own may be sent.
    pub(crate) fn admit(&self, length: usize, is_ours: bool, shared: &mut Shared) -> bool {
        admit(length, is_ours, &self.limits.message, shared)
    }

    pub(crate) fn receive(&mut self, slot: u32, length: usize, shared: &mut Shared) -> u32 {
        let Some(link) = self.link(slot) else { return asked::DONE };
        let Self { hub, limits, asks, topics, key, .. } = self;
        let Shared { input, text, words, .. } = shared;
        let taken = checked(input, length, &limits.message)
            .and_then(|parts| hub.receive(link, &parts).map(|asked| (parts, asked)));
        match taken {
            Ok((_, Asked::Subscribe(topic))) => {
                text.clear();
                text.push_str(&topic);
                shared.give_text();
                asked::SUBSCRIBE
            }
            Ok((parts, Asked::Publish)) => {
                key.clear();
                key.push_str(&parts.event_type);
                key.push(':');
                key.push_str(&parts.id);
                let number = topics.number(key);
                if number == 0 && !*asks {
                    return asked::DONE;
                }
                words[2..7].copy_from_slice(&place(number, &parts));
                if *asks {
                    shared.give(key);
                }
                asked::PUBLISH
            }
            Ok(_) if hub.is_dirty() => asked::WRITE,
            Ok(_) => asked::DONE,
            Err(refusal) => {
                self.refusal = Some(refusal);
                tell_refusal(&refusal, shared);
                asked::REFUSED
            }
        }
    }

    /// Counts what was refused just now: the close code with which the connection is to end, or 0.
    pub(crate) fn refused(&mut self, slot: u32, now: Duration) -> u32 {
        let (Some(link), Some(refusal)) = (self.link(slot), self.refusal.take()) else { return 0 };
        let too_many = self.hub.refused(link, &refusal, now);
        match refusal {
            Refusal::TooLarge { .. } => 1009,
            _ if too_many => 1007,
            _ => 0,
        }
    }

    pub(crate) fn subscribe(&mut self, slot: u32, topic: &str) {
        if let Some(link) = self.link(slot) {
            self.hub.subscribe(link, topic);
        }
    }

    /// What is denied, as `reason\ntopic`.
    pub(crate) fn deny(&mut self, slot: u32, denied: &str, is_subscription: bool) {
        let Some(link) = self.link(slot) else { return };
        let (reason, topic) = denied.split_once('\n').unwrap_or_default();
        let action = if is_subscription { Action::Subscribe } else { Action::Publish };
        self.hub.deny(link, topic, action, DenyReason::named(reason));
    }

    /// An event of the program's own: how many want its topic; their slots are the numbers.
    pub(crate) fn fan_out(&mut self, length: usize, shared: &mut Shared) -> u32 {
        let mut slots = std::mem::take(&mut shared.numbers);
        slots.clear();
        let count = self.hub.fan_out_at_once(shared.input(length), |link| slots.push(link.slot() as u32));
        shared.numbers = slots;
        shared.give_place();
        count as u32
    }

    /// What is missing, as `reason\ntopic`; of all topics where none is `named`. `u32::MAX` are missing where it is not
    /// known how many.
    pub(crate) fn gap(&mut self, gap: &str, named: bool, missed: u32) {
        let (reason, topic) = gap.split_once('\n').unwrap_or_default();
        let missed = (missed != u32::MAX).then_some(missed.into());
        self.hub.gap(named.then_some(topic), missed, GapReason::named(reason));
    }

    /// The slots of the links with something to send.
    pub(crate) fn take_dirty(&mut self, shared: &mut Shared) -> u32 {
        self.dirty.clear();
        self.hub.take_dirty(&mut self.dirty);
        shared.give_numbers(self.dirty.iter().map(|link| link.slot() as u32));
        self.dirty.len() as u32
    }

    /// The oldest message that waits for a link, as text: 0 for none.
    pub(crate) fn pop(&mut self, slot: u32, shared: &mut Shared) -> u32 {
        let popped = self.link(slot).and_then(|link| self.hub.pop(link));
        if let Some(Answer(text)) = &popped {
            shared.give(text);
        }
        popped.is_some().into()
    }

    /// Each counter as two words of 32 bits, the lower one first.
    pub(crate) fn count(&self, shared: &mut Shared) {
        let mut stats = Stats::default();
        self.hub.count(&mut stats);
        let Stats { received, sent, bad_input, denied, dropped, topics, connections, .. } = stats;
        let counts: [u64; COUNTERS.len()] =
            [received, sent, bad_input, denied, dropped, topics, connections, self.topics.len().into()];
        let refusals = self.hub.refusals().iter().map(|(_, count)| count);
        let halves = |count: u64| [count as u32, (count >> 32) as u32];
        shared.give_numbers(counts.into_iter().chain(refusals).flat_map(halves));
    }
}

/// The counters' names, one a line.
pub(crate) fn names(shared: &mut Shared) {
    let names = COUNTERS.into_iter().chain(Refusal::NAMES);
    shared.text.clear();
    for name in names {
        shared.text.push_str(name);
        shared.text.push('\n');
    }
    shared.give_text();
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        hub: HubEnd,
        shared: Shared,
    }

    fn hub(asks: bool) -> Bench {
        let mut limits = HubLimits::DEFAULT;
        limits.max_links = 3;
        limits.message.max_message = 200;
        Bench { hub: HubEnd::new(limits, FanOut::Subscribed, false, asks), shared: Shared::new() }
    }

    impl Bench {
        fn receive(&mut self, slot: u32, message: &str) -> u32 {
            self.shared.input = message.into();
            self.hub.receive(slot, message.len(), &mut self.shared)
        }

        fn subscribe(&mut self, slot: u32, topic: &str) {
            let message = format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#);
            assert_eq!(self.receive(slot, &message), asked::SUBSCRIBE);
            assert_eq!(self.shared.text, topic);
            self.hub.subscribe(slot, topic);
        }

        fn dirty(&mut self) -> Vec<u32> {
            let count = self.hub.take_dirty(&mut self.shared) as usize;
            assert_eq!(self.shared.numbers.len(), count);
            self.shared.numbers.clone()
        }

        fn fan_out(&mut self, topic: &str) -> Vec<u32> {
            self.shared.input = topic.into();
            let count = self.hub.fan_out(topic.len(), &mut self.shared) as usize;
            assert_eq!(self.shared.numbers.len(), count);
            self.shared.numbers.clone()
        }

        /// All that waits for a link.
        fn drain(&mut self, slot: u32) -> Vec<String> {
            let mut all = Vec::new();
            while self.hub.pop(slot, &mut self.shared) != 0 {
                all.push(self.shared.text.clone());
            }
            all
        }
    }

    #[test]
    fn an_event_is_for_those_who_subscribed_and_have_their_answer() {
        let mut bench = hub(false);
        let (_, two) = (bench.hub.connect(None), bench.hub.connect(None));
        bench.subscribe(two, "a:b");
        assert_eq!(bench.dirty(), [two]);
        assert_eq!(bench.drain(two), [r#"{"type":"__subscribed","id":"","payload":{"topic":"a:b"}}"#]);
        assert_eq!((bench.fan_out("a:b"), bench.fan_out("a:c")), (vec![two], vec![]));
        assert!(bench.dirty().is_empty());
    }

    #[test]
    fn what_is_published_is_told_by_the_number_of_its_topic() {
        let mut bench = hub(false);
        let link = bench.hub.connect(None);
        let message = r#"{"type":"ü𝄞","id":"b","payload":[1]}"#;
        assert_eq!(bench.receive(link, message), asked::DONE);
        let number = bench.hub.listen("ü𝄞:b");
        assert_eq!(bench.receive(link, message), asked::PUBLISH);
        let [from, to] = [bench.shared.words[4], bench.shared.words[5]];
        assert_eq!(bench.shared.words[2..4], [number, 3]);
        assert_eq!((&message[from as usize..to as usize], bench.shared.words[6]), ("[1]", 0));
        bench.hub.unlisten("ü𝄞:b");
        assert_eq!(bench.receive(link, message), asked::DONE);
    }

    #[test]
    fn who_has_a_say_is_asked_about_topics_that_nobody_listens_to() {
        let mut bench = hub(true);
        let link = bench.hub.connect(None);
        assert_eq!(bench.receive(link, r#"{"type":"a","id":"b:c"}"#), asked::PUBLISH);
        assert_eq!((bench.shared.words[2], bench.shared.words[5], &*bench.shared.text), (0, 0, "a:b:c"));
        bench.hub.deny(link, "not_allowed\na:b:c", false);
        bench.hub.deny(link, "a word of later days\nx\ny:z", true);
        assert_eq!(bench.dirty(), [link]);
        let denied = bench.drain(link);
        assert!(
            denied[0].contains(r#""topic":"a:b:c","action":"publish","reason":"not_allowed""#),
            "{denied:?}"
        );
        assert!(denied[1].contains(r#""x\ny:z","action":"subscribe","reason":"not_allowed""#), "{denied:?}");
    }

    #[test]
    fn a_slot_is_used_again_and_nothing_of_the_link_before_is_left() {
        let mut bench = hub(false);
        let slots = [bench.hub.connect(None), bench.hub.connect(None), bench.hub.connect(None)];
        assert_eq!((slots, bench.hub.connect(None)), ([0, 1, 2], OVERFLOW));
        bench.subscribe(1, "a:b");
        bench.hub.disconnect(1);
        bench.hub.disconnect(1);
        assert_eq!((bench.drain(1).len(), bench.receive(1, "{}")), (0, asked::DONE));
        assert_eq!(bench.hub.connect(None), 1);
        assert_eq!((bench.dirty().len(), bench.drain(1).len(), bench.fan_out("a:b").len()), (0, 0, 0));
    }

    #[test]
    fn an_identity_owns_its_direct_topic() {
        let mut bench = hub(false);
        let (ann, nobody) = (bench.hub.connect(Some("ann")), bench.hub.connect(None));
        bench.subscribe(ann, "direct:ann");
        let ask = r#"{"type":"__subscribe","id":"","payload":{"topic":"direct:ann"}}"#;
        assert_eq!(bench.receive(nobody, ask), asked::WRITE);
        assert!(bench.drain(nobody)[0].contains("not_allowed"));
    }

    #[test]
    fn bad_input_is_counted_and_ends_with_a_code() {
        let mut bench = hub(false);
        let link = bench.hub.connect(None);
        assert_eq!(bench.hub.refused(link, Duration::ZERO), 0, "nothing was refused");
        for _ in 1..100 {
            assert_eq!(bench.receive(link, r#"{"type":1}"#), asked::REFUSED);
            assert_eq!((&*bench.shared.text, bench.hub.refused(link, Duration::ZERO)), ("not_a_string", 0));
        }
        assert_eq!(bench.receive(link, "{} "), asked::REFUSED);
        assert_eq!(bench.hub.refused(link, Duration::ZERO), 1007);
        assert_eq!(bench.receive(link, &"x".repeat(201)), asked::REFUSED);
        assert_eq!((&*bench.shared.text, bench.shared.words[2]), ("too_large", 200));
        assert_eq!(bench.hub.refused(link, Duration::ZERO), 1009);
        assert_eq!(["a:b", "a:b", "c:d"].map(|topic| bench.hub.listen(topic)), [1, 1, 2]);
        bench.hub.unlisten("c:d");
        names(&mut bench.shared);
        let names: Vec<String> = bench.shared.text.lines().map(Into::into).collect();
        bench.hub.count(&mut bench.shared);
        let counts =
            bench.shared.numbers.chunks(2).map(|halves| u64::from(halves[0]) + (u64::from(halves[1]) << 32));
        let counted: Vec<_> =
            names.iter().map(|name| &**name).zip(counts).filter(|(_, count)| *count > 0).collect();
        let wanted = [
            ("bad_input", 101),
            ("connections", 1),
            ("listened_topics", 1),
            ("too_large", 1),
            ("missing_member", 1),
            ("not_a_string", 99),
        ];
        assert_eq!(counted, wanted);
    }

    #[test]
    fn a_gap_is_told_to_those_who_hold_a_topic() {
        let mut bench = hub(false);
        let (one, two) = (bench.hub.connect(None), bench.hub.connect(None));
        bench.subscribe(one, "a:b");
        bench.subscribe(two, "c:d");
        assert_eq!((bench.drain(one).len(), bench.drain(two).len()), (1, 1));
        bench.hub.gap("broker\na:b", true, 3);
        bench.hub.gap("slow\n", false, u32::MAX);
        let both = bench.drain(one);
        assert!(both[0].contains(r#""missed":3"#) && both[1].contains(r#""missed":null"#), "{both:?}");
        assert_eq!(bench.drain(two), [both[1].clone()]);
    }
}
