//! Whatever a socket can send, case by case, at the raw socket of a real hub.
//!
//! A case is data: what the peer does, what comes of it, how its connection ends. Each runs as a test of its own,
//! several rounds of it against one hub, and this holds of every round:
//!
//! - What was seen on the wire and in the counters is what the case says, word for word.
//! - Bystanders on connections of their own exchange numbered events all the while. They hear each once and in
//!   order, and none takes longer than [`PATIENCE`].
//! - A well-behaved client that comes afterwards is served.
//! - Connections, topics, queues and tasks are back where they were; and so are the allocator's bytes, which are
//!   counted on the one thread that hub and peers share. At no time are they more than [`PEAK`] above that.
//!
//! `docs/hostile-peers.md` is made of the same data; [`page`] compares.

mod conduct;
mod control;
mod descriptors;
mod frames;
mod messages;
mod page;
mod requests;
mod seen;
mod stage;

use alkpubsub::EventTarget;
use alkpubsub::websocket_server::ServerOptions;
use seen::Seen;
use stage::{Bystanders, Stage};
use std::pin::Pin;
use std::time::Duration;

/// The longest that an event between bystanders may take. Generous: it is a shared machine's, not the hub's.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of memory that a case may take while it lasts, its peers' own buffers included.
const PEAK: u64 = 4 << 20;
/// Rounds before memory is measured, as lists and tables come to their size.
const WARM_UP: usize = 2;

/// One thing that a peer can do.
pub(crate) struct Case {
    /// What the peer does, in the page's words.
    does: &'static str,
    /// What comes of it; see [`Seen`] for the words.
    comes: &'static str,
    /// How its connection ends.
    ends: &'static str,
    play: Play,
    /// What the hub is told beside the defaults.
    options: fn(ServerOptions) -> ServerOptions,
    /// Rounds that are measured.
    rounds: usize,
}

type Story = for<'s> fn(&'s mut Stage) -> Pin<Box<dyn Future<Output = ()> + 's>>;

enum Play {
    /// Bytes on an open connection, and the texts that the witness hears of them. The peer then asks for a pong and,
    /// where it comes, leaves in good order.
    Frames(fn() -> (Vec<u8>, Vec<String>)),
    /// Bytes in place of a handshake.
    Request(fn() -> Vec<u8>),
    /// Anything else.
    Story(Story),
}

impl Case {
    const fn new(does: &'static str, comes: &'static str, ends: &'static str, play: Play) -> Self {
        Self { does, comes, ends, play, options: |options| options, rounds: 3 }
    }

    /// Each message on its own is bad input; nobody hears of it.
    const fn text(
        does: &'static str,
        comes: &'static str,
        ends: &'static str,
        frames: fn() -> (Vec<u8>, Vec<String>),
    ) -> Self {
        Self::new(does, comes, ends, Play::Frames(frames))
    }

    const fn request(does: &'static str, ends: &'static str, request: fn() -> Vec<u8>) -> Self {
        Self::new(does, "refused", ends, Play::Request(request))
    }

    const fn story(does: &'static str, comes: &'static str, ends: &'static str, story: Story) -> Self {
        Self::new(does, comes, ends, Play::Story(story))
    }

    const fn with(self, options: fn(ServerOptions) -> ServerOptions) -> Self {
        Self { options, ..self }
    }

    /// For those that take long.
    const fn once(self) -> Self {
        Self { rounds: 1, ..self }
    }
}

/// The cases of one part of the page, each of which is a test.
macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        pub(super) fn all() -> Vec<(&'static str, crate::hostile::Case)> {
            vec![$((stringify!($name), $case)),*]
        }

        $(
            #[test]
            fn $name() {
                crate::hostile::run(&$case);
            }
        )*
    };
}
use cases;

/// Runs a case, and holds it to what this module promises.
fn run(case: &Case) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut stage, mut bystanders) = runtime.block_on(Stage::set(case));
    let mut tasks = None;
    let mut round = |stage: &mut Stage| {
        let before = stage.hub.target.stats();
        let seen = runtime.block_on(async {
            let seen = bystanders.go_on_during(stage.play(case)).await;
            stage.settle(&before, &mut bystanders).await;
            seen
        });
        let after = stage.hub.target.stats();
        let seen = seen.complete(&before, &after);
        if !stage.is_warming_up {
            seen.assert(case);
        }
        let alive = runtime.metrics().num_alive_tasks();
        assert_eq!(*tasks.get_or_insert(alive), alive, "tasks");
    };
    (0..WARM_UP).for_each(|_| round(&mut stage));
    stage.is_warming_up = false;
    let counted = allocation_counter::measure(|| (0..case.rounds).for_each(|_| round(&mut stage)));
    assert_eq!((counted.count_current, counted.bytes_current), (0, 0), "memory is back: {counted:?}");
    assert!(counted.bytes_max <= PEAK, "{counted:?}");
    drop((stage, bystanders));
}

impl Bystanders {
    /// Lets them exchange events for as long as something else takes, and beyond its end.
    async fn go_on_during(&mut self, work: impl Future<Output = Seen>) -> Seen {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let moved = std::mem::take(self);
        let going_on = tokio::spawn(moved.exchange(stopped));
        let seen = work.await;
        let _ = stop.send(());
        *self = crate::support::within("the bystanders", going_on).await.expect("they noticed nothing");
        seen
    }
}
