//! Wrong targets: each breaks the contract in one way, and a law sees it.
//!
//! They are what the laws are tested with: a law that no wrong target breaks might as well not be there. Three
//! small targets, in one memory, a link, and links to a hub that relays, keep all laws as they are
//! ([`sound`]) and have a flaw at choice.

mod hub;
mod link;
mod memory;

use self::hub::{HubFixture, LinkFixture};
use self::memory::MemoryFixture;
use super::Fixture;
use crate::event_target::Lifetime::{Outlives, PerConnection};
use std::sync::Arc;
use std::time::Duration;

/// A target that breaks the contract in one way.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Wrong {
    /// Its name.
    pub name: &'static str,
    /// What it does wrong.
    pub what: &'static str,
    /// The laws that have to see it, among others perhaps.
    pub killed_by: &'static [&'static str],
    flaw: Flaw,
}

impl Wrong {
    /// Makes peers that have the flaw.
    #[must_use]
    pub fn fixture(&self) -> Arc<dyn Fixture> {
        match self.flaw {
            Flaw::Memory(flaw) => Arc::new(MemoryFixture(flaw)),
            Flaw::Link(flaw) => Arc::new(LinkFixture { flaw, lifetime: PerConnection, lent: false }),
            Flaw::OutlivingLink(flaw) => Arc::new(LinkFixture { flaw, lifetime: Outlives, lent: false }),
            Flaw::LentLink(flaw) => Arc::new(LinkFixture { flaw, lifetime: PerConnection, lent: true }),
            Flaw::Hub(flaw) => Arc::new(HubFixture(flaw)),
        }
    }
}

/// The targets of this module without any flaw, by name: they keep all laws, so that nothing but its flaw makes
/// a wrong one fail.
#[must_use]
pub fn sound() -> [(&'static str, Arc<dyn Fixture>); 5] {
    let link = |lifetime, lent| Arc::new(LinkFixture { flaw: LinkFlaw::None, lifetime, lent });
    [
        ("memory", Arc::new(MemoryFixture(MemoryFlaw::None))),
        ("memory_link", link(PerConnection, false)),
        ("memory_link_outlives", link(Outlives, false)),
        ("memory_link_lent", link(PerConnection, true)),
        ("memory_hub", Arc::new(HubFixture(HubFlaw::None))),
    ]
}

/// A wrong target is given less time: more than the 2 s that a link waits for answers, and no more than is needed,
/// because many of them end at the deadline. A sound one never comes to it, unless the machine has much else to do.
fn deadline(sound: bool) -> Duration {
    Duration::from_secs(if sound { 60 } else { 5 })
}

#[derive(Clone, Copy, Debug)]
enum Flaw {
    Memory(MemoryFlaw),
    Link(LinkFlaw),
    OutlivingLink(LinkFlaw),
    LentLink(LinkFlaw),
    Hub(HubFlaw),
}

/// The enums of flaws and the table of wrong targets, from one list.
macro_rules! wrong_targets {
    ($($kind:ident $flaws:ident { $($name:ident $([$as:ident])? $what:literal by $($law:ident)+;)* })*) => {
        $(
            #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
            enum $flaws {
                #[default]
                None,
                $($name),*
            }
        )*

        /// All wrong targets.
        pub const WRONG: &[Wrong] = &[$($(Wrong {
            name: concat!(stringify!($kind), "::", stringify!($name)),
            what: $what,
            killed_by: &[$(stringify!($law)),+],
            flaw: wrong_targets!(@ $kind $flaws $name $($as)?),
        }),*),*];
    };
    (@ $kind:ident $flaws:ident $name:ident $as:ident) => { Flaw::$as($flaws::$name) };
    (@ $kind:ident $flaws:ident $name:ident) => { Flaw::$kind($flaws::$name) };
}

wrong_targets! {
    Memory MemoryFlaw {
        Drops "drops one event in seven" by delivers_once order;
        Doubles "delivers one event in seven twice" by delivers_once order;
        Reorders "delivers one event in ten after the next" by order;
        ReordersTopics "delivers one event in ten after the next, if that is of another topic" by order_across_topics;
        MatchesPrefix "delivers to every listener whose topic is the beginning of the event's" by delivers_once_exact_topic;
        FoldsCase "compares topics without regard to case" by delivers_once_exact_topic;
        Wildcards "takes the id * for all ids" by delivers_once_exact_topic;
        CallsInReverse "calls the listener added last first" by many_listeners;
        MergesSameListener "takes a listener that is added twice for one" by many_listeners;
        LeaksRemoved "removes nothing" by removal removal_on_drop;
        UnknownRemovesNewest "removes the newest listener where it is given a handle that it does not know" by removal;
        CallsRemovedInDispatch "goes through its list to the end, whoever was removed meanwhile" by removal_during_dispatch;
        RemovesForOneThread "stops calling a removed listener on the thread that removed it only" by removal_across_threads;
        RemoveWaits "lets `remove` wait for calls that are running" by removal_while_running;
        CountsOnlyUp "counts added listeners and forgets to count down" by removal_on_drop;
        HoldsLock "holds a lock while it calls listeners" by reentrant reentrant_nested removal_while_running;
        NewHearsEventUnderWay "calls a listener that was added during a dispatch with that event" by reentrant;
        DefersNested "dispatches an event that a listener publishes after the one under way" by reentrant_nested;
        DefersNestedTwice "dispatches what a listener publishes at once, but what a listener of that publishes later" by reentrant_depth;
        PanicGoesThrough "lets a listener's panic through to the publisher" by isolation;
        PanicStopsOthers "does not call the listeners after one that panics" by isolation;
        PanicNotTold "keeps a listener's panic to itself" by isolation;
        PanicToldTwice "tells of one panic twice" by isolation;
        DropsUnderLock "drops a removed listener under the lock that `add` takes" by isolation_drop;
        DropPanicGoesThrough "lets a panic of a listener that is dropped through" by isolation_drop;
        Reencodes "reads the payload and writes it anew" by round_trip;
        MissingBecomesNull "gives a missing payload as null" by round_trip;
        CopiesValue "hands out a copy of a typed value, made by way of JSON" by round_trip_reference;
        EncodesAlways "writes the JSON of every event, asked for or not" by round_trip_json_once;
        TakesReserved "takes events of reserved types" by reserved;
        TakesAnyName "takes listeners for any name" by reserved;
        NeverConfirms "never says that a subscription is in place" by ready;
        DropsBacklog "drops what goes beyond its own buffer of 16, without a word" by loss_is_seen bounded;
        DropsLarge "drops large events, without a word" by loss_is_seen_mixed;
        CountsRefusedAsTaken "counts what it refuses as dispatched" by counted;
        CloseNotTold "ends without a close notice" by close;
        CloseToldTwice "gives the close notice once more when it is closed twice" by close close_in_listener;
        TakesAfterClose "says yes to events after its end" by close close_in_listener;
        AddsAfterClose "takes listeners after its end" by close;
        NeverEnds "never says that it has ended" by close;
        KeepsAfterClose "keeps its listeners after its end" by close;
        HeardWhileClosing "delivers what is published while the close notices are given" by close_in_listener;
        UndecodableEnds "ends a topic's streams at a payload that is no number" by undecodable;
    }
    Link LinkFlaw {
        ReencodesOutward "writes what it sends anew" by round_trip_wire;
        ReencodesInward "writes what it received anew" by round_trip_wire;
        SendsReserved "sends events of reserved types" by reserved_wire;
        UnknownControlIsBad "counts control events that it does not know as bad input" by reserved_wire;
        SubscribesEach "subscribes for each listener" by refcount;
        UnsubscribesEach "unsubscribes for each listener that is removed" by refcount;
        NeverUnsubscribes "never unsubscribes" by refcount;
        RacyCount "counts listeners and subscribes in two steps" by refcount_threads;
        NeverConfirms "does not look at the hub's answers" by ready;
        ConfirmsTooEarly "says that a subscription is in place when it was asked for" by ready_waits;
        TakesAnyAnswer "takes the hub's answer to one subscription for the answer to all" by ready_waits;
        OneAnswerForAll "takes the answer to an earlier subscription for the answer to a later one" by ready_waits;
        HidesDenial "does not hear a no" by ready_denied;
        NeverAsksAgain "does not ask again after a no" by ready_denied;
        OtherLifeWhileDraining "waits at a hub that drains, although there will be no other connection" by ready_draining;
        DeniedPublishEnds "ends the subscriptions to a topic where a publication is denied" by ready_denied_publish;
        ConfirmsSilence "takes silence for a yes" by ready_unanswered;
        WaitsForever "waits for a hub that does not answer" by ready_unanswered;
        WaitsEachTime "waits 2 s for each subscription at a hub that does not answer" by ready_unanswered;
        SwallowsBadInput "does not count bad input" by bad_input;
        TakesDoubleMembers "takes what a lenient reader of JSON takes" by bad_input;
        PanicsOnBadInput "panics at bad input" by bad_input;
        OneReasonForAll "counts bad input of every kind as not_json" by bad_input_by_reason;
        BadInputWithoutEnd "takes bad input without end" by bad_input_limit;
        EndsAtFewBad "ends at the tenth bad message" by bad_input_limit;
        TooLargeGoesOn "goes on after a message over the limit" by bad_input_too_large;
        SendsTooLarge "sends messages over the limit" by bad_input_too_large;
        PanicAtNoticeEnds "ends where a listener panics at a notice" by isolation_notices;
        SwallowsUncountedGap "does not tell of a gap of unknown size" by loss_is_seen_far loss_is_seen_merged;
        GapAfterNextEvent "tells of a gap after the event that follows it" by loss_is_seen_far loss_is_seen_merged;
        SwallowsGap "does not tell of a gap" by loss_is_seen_far;
        GapOfAllToNobody "tells no subscription of a gap of all topics" by loss_is_seen_far;
        CutNotTold "does not tell that its connection was lost" by connection_loss;
        CutReadsAsClose "tells of a lost connection as of a close of its own" by connection_loss;
        QueuesWhileDown [OutlivingLink] "takes events while its connection is down" by connection_loss_outlives;
        NoGapAfterCut [OutlivingLink] "does not tell of the gap that an interruption leaves" by connection_loss_outlives;
        ReadyWhileDown [OutlivingLink] "says that subscriptions are in place while its connection is down" by connection_loss_ready;
        GapWhenConnected [OutlivingLink] "tells of the gap when it is connected anew, ahead of the hub's answer" by connection_loss_gap;
        NoGapAheadOfAnswer [OutlivingLink] "tells of no gap before an event that comes ahead of the hub's answer" by connection_loss_gap;
        GapForEachCut [OutlivingLink] "tells of a gap for each connection lost" by connection_loss_gap;
        AsksForWhatIsGone [OutlivingLink] "asks for what was given up while its connection was down" by connection_loss_wanted;
        GapForNew [OutlivingLink] "tells of a gap before what was wanted only since" by connection_loss_wanted;
        KeepsAnswersOwed [OutlivingLink] "waits for answers that a connection owed which is gone" by connection_loss_answers;
        SendsAgain [OutlivingLink] "sends the last event anew on the next connection" by connection_loss_answers;
        NeverPings [OutlivingLink] "begins a connection without a ping" by connection_loss_answers;
        DeniedAnewGoesOn [OutlivingLink] "does not hear a no on a connection after the first" by connection_loss_denied;
        EndsWhileDraining [OutlivingLink] "takes the no of a hub that drains as one for good" by connection_loss_draining;
        ComesBackAfterAnyCode [OutlivingLink] "connects anew whatever code it was closed with" by connection_loss_final;
        EndsAtAnyCode [OutlivingLink] "ends whatever code it was closed with" by connection_loss_again;
        ForgetsWhoWaits "does not settle a subscription when it ends" by close_waiters connection_loss_waiters;
        LosesWhatCameBeforeClose "does not handle what came just before a Close" by close_answered;
        EndsWhatWasLent [LentLink] "ends a connection that was lent to it" by close_lent;
        DropsControl "drops subscriptions that find its outbound queue full" by bounded_control;
        CountsNotWhatComes "does not count what it receives" by counted;
        CountsNotWhatGoes "does not count what it sends" by counted_wire;
        SendsAfterClose "sends what it refuses after its end" by close_wire;
        NeverHangsUp "does not end the connection" by close_wire;
        Unbounded "queues without end for a far side that does not read" by bounded_outbound;
    }
    Hub HubFlaw {
        SendsUnencodable "has links that send an event without its payload where that is no JSON" by round_trip_encode;
        EchoesTwice "sends a publisher its own event twice" by echo;
        NoEcho "does not send a publisher its own event" by echo;
        ConfirmsBeforeInPlace "confirms a subscription one event before it is in place" by ready;
        AnswersOnce "does not answer a spoke that asks again for a topic that it holds" by ready_answers;
        DeniesInSilence "does not say no" by ready_answers;
        HeldTwiceDeliversTwice "delivers twice to a spoke that asked twice" by ready_answers;
        SendsToAll "sends every event to every spoke" by ready_answers;
        IgnoresUnsubscribe "goes on sending after __unsubscribe" by ready_answers;
        PongsFirst "answers a ping ahead of the event before it" by ready_ping;
        PongReencodes "writes a ping's payload anew" by ready_ping;
        DeniesDirect "denies topics of type direct to all" by ready_direct;
        WaitsForSlowSpoke "keeps everything for a spoke that does not read" by bounded_slow_spoke;
    }
}
