//! One connection as a target of its own, and the program's hooks.

use crate::support::{
    Hub, Raw, Saw, denied, envelope, hear, limits, next, notices, recorded, subscribe, text, within,
};
use alkpubsub::websocket_server::{AddConnectionError, HubHooks, ServerOptions, Spoke};
use alkpubsub::{
    Action, CloseReason, DenyReason, DispatchError, EventEnvelope, EventTarget, Notice, PubSub, Readiness,
    TargetError,
};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

fn event(event_type: &str, id: &str, payload: u32) -> EventEnvelope {
    EventEnvelope::new(event_type, id, &payload).unwrap()
}

#[tokio::test]
async fn a_spokes_target_hears_its_own_connection_and_sends_to_it_alone() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut ann = hub.client().await;
    let at_ann = record.connected().await;
    let mut bob = hub.subscriber(&["a:b"]).await;
    let at_bob = record.connected().await;
    let (mut from_ann, mut from_bob, mut from_all) =
        (hear(&*at_ann, "a:b"), hear(&*at_bob, "a:b"), hub.hear("a:b"));
    assert_eq!(at_ann.ready("a:b").await, Readiness::Confirmed);
    ann.publish("a", "b", "1").await;
    ann.flush().await;
    bob.publish("a", "b", "2").await;
    bob.flush().await;
    assert_eq!(next("of ann", &mut from_ann).await.payload::<u32>().unwrap(), 1);
    assert_eq!(next("of bob", &mut from_bob).await.payload::<u32>().unwrap(), 2);
    assert_eq!(next("of all", &mut from_all).await.source(), Some(at_ann.id()));
    assert_eq!(next("of all", &mut from_all).await.source(), Some(at_bob.id()));
    assert!(from_ann.try_recv().is_err() && from_bob.try_recv().is_err() && from_all.try_recv().is_err());
    // Not subscribed, and served all the same; the other is subscribed, and not meant.
    at_ann.dispatch_event(event("a", "b", 3)).unwrap();
    assert_eq!(ann.text().await, envelope("a", "b", "3"));
    assert_eq!(bob.flush().await, [""; 0]);
    let stats = at_ann.stats();
    assert_eq!((stats.dispatched, stats.received, stats.delivered, stats.links), (1, 1, 1, 1));
    assert_eq!(hub.stats().sent, 1, "an event for one connection counts too");
}

#[tokio::test]
async fn the_program_ends_a_connection_with_its_own_code_behind_what_waits() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut client = hub.client().await;
    let spoke = record.connected().await;
    let mut closed = notices(&*spoke, "close");
    for number in 0..10 {
        spoke.dispatch_event(event("a", "b", number)).unwrap();
    }
    spoke.disconnect(4001, "enough");
    spoke.disconnect(4002, "only the first counts");
    for number in 0..10 {
        assert_eq!(client.text().await, envelope("a", "b", &number.to_string()));
    }
    assert_eq!(client.closes_with(4001).await, "enough");
    let reason = CloseReason::Refused { code: 4001, reason: "enough".into() };
    assert_eq!(record.disconnected().await, (spoke.id(), reason.clone()));
    assert_eq!(within("the end", spoke.closed()).await, reason);
    let Notice::Close(told) = next("the notice", &mut closed).await else { panic!() };
    assert_eq!(told, reason);
    assert!(closed.recv().await.is_none(), "the notice comes once, and its listener is let go");
    let late = spoke.dispatch_event(event("a", "b", 1));
    assert!(matches!(late, Err(DispatchError::Closed(_))), "{late:?}");
    assert_eq!(spoke.stats().links, 0);
    hub.until_empty().await;
}

#[tokio::test]
async fn what_a_spoke_says_behind_its_end_counts_only_if_it_leaves_in_peace() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut heard = hub.hear("a:b");
    for (code, counts) in [(1000, true), (1001, true), (1008, false), (4001, false)] {
        let mut client = hub.client().await;
        record.connected().await.disconnect(code, "");
        assert_eq!(client.next().await, crate::support::Heard::Close(Some(code), String::new()));
        client.publish("a", "b", "1").await;
        client.send(crate::support::close(code)).await;
        client.ends().await;
        record.disconnected().await;
        assert_eq!(heard.try_recv().is_ok(), counts, "{code}");
    }
}

#[tokio::test]
async fn a_code_that_may_not_be_sent_still_ends_the_connection() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    for code in [0, 999, 1005, 1006, 1015, 2000, 5000] {
        let mut client = hub.client().await;
        record.connected().await.disconnect(code, "x");
        match client.next().await {
            crate::support::Heard::Close(None | Some(1000..=1003 | 1007..=1014 | 3000..=4999), _) => {}
            other => panic!("{code}: {other:?}"),
        }
        drop(client);
        record.disconnected().await;
    }
}

#[tokio::test]
async fn a_spoke_that_the_peer_closes_ends_with_the_peers_words() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut client = hub.client().await;
    let spoke = record.connected().await;
    client.send(crate::support::frame(0x88, b"\x0f\xa0bye")).await;
    client.is_closed_with(4000).await;
    let reason = CloseReason::ByPeer { code: 4000, reason: "bye".into() };
    assert_eq!(record.disconnected().await, (spoke.id(), reason.clone()));
    assert_eq!(spoke.closed().await, reason);
    // Without a code it is 1005, and without a word 1006.
    let mut client = hub.client().await;
    record.connected().await;
    client.send(crate::support::frame(0x88, b"")).await;
    assert_eq!(client.next().await, crate::support::Heard::Close(None, String::new()));
    assert_eq!(record.disconnected().await.1.code(), 1005);
    drop(hub.client().await);
    record.connected().await;
    assert_eq!(record.disconnected().await.1.code(), 1006);
    hub.client().await.reset();
    record.connected().await;
    assert!(matches!(record.disconnected().await.1, CloseReason::Lost { .. }));
    assert!(record.0.try_recv().is_err(), "each was told of once");
}

#[tokio::test]
async fn a_typed_pubsub_on_one_connection() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut client = hub.client().await;
    let pubsub = PubSub::new(record.connected().await);
    pubsub.publish_json("a", "b", &1).await.unwrap();
    assert_eq!(client.text().await, envelope("a", "b", "1"));
}

/// Listeners that are added in the hook hear what came together with the handshake.
#[tokio::test]
async fn a_listener_added_in_the_hook_hears_the_first_event() {
    struct Listening(tokio::sync::mpsc::UnboundedSender<u32>);
    impl HubHooks for Listening {
        fn connected(&self, spoke: &Arc<Spoke>) {
            let heard = self.0.clone();
            let listener = move |event: &EventEnvelope| heard.send(event.payload().unwrap()).unwrap();
            spoke.add_event_listener("a:b", Arc::new(listener)).unwrap();
        }
    }
    let (heard, mut events) = tokio::sync::mpsc::unbounded_channel();
    let hub = Hub::start(ServerOptions::new().hooks(Listening(heard))).await;
    let mut client = Raw::over(Raw::tcp(hub.address).await);
    let together =
        [crate::support::REQUEST.as_bytes(), &crate::support::text(&envelope("a", "b", "7"))].concat();
    client.send(together).await;
    assert_eq!(next("the event", &mut events).await, 7);
}

/// Panics in every hook, for whoever has that identity.
struct Panicking;

impl HubHooks for Panicking {
    fn connected(&self, spoke: &Arc<Spoke>) {
        assert_ne!(spoke.identity(), Some("connected"), "connected");
    }
    fn disconnected(&self, _: &Arc<Spoke>, _: &CloseReason) {
        panic!("disconnected");
    }
    fn backpressure(&self, _: &Arc<Spoke>, _: usize) {
        panic!("backpressure");
    }
    fn authorise(&self, _: &Arc<Spoke>, _: Action, event_type: &str, _: &str) -> Result<(), DenyReason> {
        assert_ne!(event_type, "forbidden", "authorise");
        Ok(())
    }
}

#[tokio::test]
async fn a_hook_that_panics_is_counted_and_reported_once_and_says_no() {
    let limits = limits(|limits| limits.max_outbound = 1000);
    let hub = Hub::start(ServerOptions::new().relay().hooks(Panicking).limits(limits)).await;
    let mut errors = hub.notices("error");
    let mut reported = async |hook: &str, so_far| {
        let Notice::Error(TargetError::ListenerPanicked { name, message }) =
            next("the report", &mut errors).await
        else {
            panic!()
        };
        assert!(&*name == "hook" && message.contains(hook), "{name}: {message}");
        assert!(errors.try_recv().is_err(), "{hook} is reported once");
        assert_eq!(hub.target.stats().panicked, so_far);
    };
    let mut client = hub.subscriber(&["a:b"]).await;
    client.send_text(&subscribe("forbidden:1")).await;
    assert_eq!(client.text().await, denied("forbidden:1", "subscribe", "not_allowed"));
    reported("authorise", 1).await;
    client.publish("forbidden", "1", "1").await;
    assert_eq!(client.text().await, denied("forbidden:1", "publish", "not_allowed"));
    reported("authorise", 2).await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")]);
    client.leave().await;
    hub.until_empty().await;
    reported("disconnected", 3).await;
    // Who was not welcomed to the end is none of the hub's: the program may have meant to turn it away.
    let (near, far) = tokio::io::duplex(1000);
    hub.add_connection(near, Some("connected")).await.unwrap();
    reported("connected", 4).await;
    let mut far = Raw::over(far);
    far.send_text(&subscribe("a:b")).await;
    far.closes_with(1011).await;
    drop(far);
    hub.until_empty().await;
    reported("disconnected", 5).await;
    // Too slow, and closed for it all the same.
    let (near, far) = tokio::io::duplex(8);
    let slow = hub.add_connection(near, None).await.unwrap();
    slow.dispatch_event(EventEnvelope::new("a", "b", &"x".repeat(100)).unwrap()).unwrap();
    slow.dispatch_event(EventEnvelope::new("a", "b", &"x".repeat(2000)).unwrap()).unwrap();
    reported("backpressure", 6).await;
    Raw::over(far).is_closed_with(1013).await;
}

/// What a program lends to a hub, or leaves with it, may panic anywhere.
struct Bomb {
    socket: tokio::io::DuplexStream,
    armed: Arc<std::sync::Mutex<Option<&'static str>>>,
}

impl Bomb {
    fn check(&self, place: &str) {
        let armed = *self.armed.lock().unwrap();
        assert!(armed != Some(place) && armed != Some("everywhere"), "in {place}");
    }
}

impl AsyncRead for Bomb {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check("read");
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Bomb {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check("write");
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check("flush");
        Pin::new(&mut self.socket).poll_flush(context)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check("shutdown");
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        self.check("drop");
    }
}

#[tokio::test]
async fn a_lent_socket_that_panics_ends_its_own_connection_alone() {
    let (hub, mut record) = recorded(ServerOptions::new().relay()).await;
    let mut errors = hub.notices("error");
    let mut other = hub.subscriber(&["a:b"]).await;
    record.connected().await;
    for place in ["read", "write", "flush", "shutdown", "drop", "everywhere"] {
        let (near, far) = tokio::io::duplex(4096);
        let armed = Arc::new(std::sync::Mutex::new(None));
        hub.add_connection(Bomb { socket: near, armed: armed.clone() }, None).await.unwrap();
        let spoke = record.connected().await;
        let mut far = Raw::over(far);
        far.subscribe("a:b").await;
        let before = hub.stats().panicked;
        *armed.lock().unwrap() = Some(place);
        if matches!(place, "shutdown" | "drop") {
            far.send(crate::support::close(1000)).await;
            far.is_closed_with(1000).await;
        } else {
            other.publish("a", "b", "1").await;
            assert_eq!(other.flush().await, [envelope("a", "b", "1")], "{place}");
            // Where it was not written to, it is read from.
            let _ = far.socket.write_all(&text(&subscribe("c:d"))).await;
        }
        // As far as it could still be told.
        if matches!(place, "read" | "flush") {
            far.is_closed_with(1011).await;
        }
        drop(far);
        let (link, reason) = record.disconnected().await;
        assert_eq!(link, spoke.id());
        assert_eq!(reason.code(), if matches!(place, "shutdown" | "drop") { 1000 } else { 1011 }, "{place}");
        let told = next("the report", &mut errors).await;
        let Notice::Error(TargetError::ConnectionPanicked { message }) = told else { panic!("{told}") };
        assert!(message.starts_with("in "), "{message}");
        let stats = hub.until("left by it", |stats| stats.links == 1).await;
        assert!(stats.panicked > before, "{place}");
        while errors.try_recv().is_ok() {}
        *armed.lock().unwrap() = None;
        assert_eq!(other.flush().await, [""; 0], "{place}");
    }
    other.publish("a", "b", "2").await;
    assert_eq!(other.flush().await, [envelope("a", "b", "2")]);
    assert_eq!(hub.until("one link", |stats| stats.links == 1).await.topics, 1);
}

/// The listener was removed while it ran, and the hub's task drops the last of it; or the hub's end does.
#[tokio::test]
async fn what_a_listener_owns_may_panic_when_it_is_dropped() {
    struct Owned;
    impl Drop for Owned {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let hub = Hub::relaying().await;
    let mut errors = hub.notices("error");
    let id = Arc::new(std::sync::OnceLock::new());
    let (target, own, owned) = (Arc::downgrade(&hub.target), id.clone(), Owned);
    let listener = move |_: &EventEnvelope| {
        let _ = &owned;
        target.upgrade().unwrap().remove_event_listener(*own.get().unwrap());
    };
    id.set(hub.add_event_listener("a:b", Arc::new(listener)).unwrap()).unwrap();
    let mut client = hub.subscriber(&["a:b"]).await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")]);
    let told = next("the report", &mut errors).await;
    let Notice::Error(TargetError::ListenerPanicked { name, message }) = told else { panic!("{told}") };
    assert_eq!((&*name, &*message), ("a:b", "dropped"));
    for _ in 0..2 {
        let owned = Owned;
        hub.add_event_listener("c:d", Arc::new(move |_: &EventEnvelope| _ = &owned)).unwrap();
    }
    hub.close();
    client.closes_with(1001).await;
    within("the end", hub.closed()).await;
    assert_eq!(hub.stats().panicked, 3);
}

#[tokio::test]
async fn a_listener_that_panics_harms_no_other_and_is_reported_once() {
    let hub = Hub::relaying().await;
    let mut errors = hub.notices("error");
    hub.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| panic!("on purpose"))).unwrap();
    let mut after = hub.hear("a:b");
    let mut client = hub.subscriber(&["a:b"]).await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")], "it was relayed all the same");
    next("the event", &mut after).await;
    let Notice::Error(TargetError::ListenerPanicked { name, message }) =
        next("the report", &mut errors).await
    else {
        panic!()
    };
    assert_eq!((&*name, &*message), ("a:b", "on purpose"));
    assert!(errors.try_recv().is_err());
    assert_eq!(hub.stats().panicked, 1);
}

#[tokio::test]
async fn any_socket_can_be_added() {
    let hub = Hub::relaying().await;
    let (near, far) = tokio::io::duplex(16);
    let spoke = hub.add_connection(near, Some("ann")).await.unwrap();
    let mut heard = hear(&*spoke, "a:b");
    // A pipe of 16 bytes: every write of the hub's is one of many.
    let mut client = Raw::over(far);
    client.subscribe("a:b").await;
    let long = format!(r#""{}""#, "x".repeat(1000));
    client.publish("a", "b", &long).await;
    assert_eq!(client.text().await, envelope("a", "b", &long));
    next("the event", &mut heard).await;
    client.leave().await;
    hub.until_empty().await;
    assert_eq!(spoke.closed().await.code(), 1000);
}

#[tokio::test]
async fn a_removed_connection_leaves_a_socket_that_can_be_used() {
    let (hub, mut record) = recorded(ServerOptions::new().relay()).await;
    let mut client = hub.subscriber(&["a:b"]).await;
    let spoke = record.connected().await;
    client.publish("a", "b", "1").await;
    assert_eq!(client.flush().await, [envelope("a", "b", "1")]);
    let socket = within("the socket", hub.remove_connection(spoke.id())).await.expect("it is there");
    assert_eq!(record.disconnected().await, (spoke.id(), CloseReason::Closed));
    assert!(hub.remove_connection(spoke.id()).await.is_none(), "it is gone");
    hub.until_empty().await;
    // Nothing was sent, nothing closed; another hub takes it over.
    let other = Hub::relaying().await;
    let moved = other.add_connection(socket, None).await.unwrap();
    client.subscribe("c:d").await;
    client.publish("c", "d", "2").await;
    client.publish("a", "b", "2").await;
    assert_eq!(client.flush().await, [envelope("c", "d", "2")]);
    assert_eq!(moved.stats().received, 2);
}

#[tokio::test]
async fn what_was_dispatched_before_a_removal_is_sent() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut client = hub.client().await;
    let spoke = record.connected().await;
    spoke.dispatch_event(event("a", "b", 1)).unwrap();
    let socket = within("the socket", hub.remove_connection(spoke.id())).await.expect("it is there");
    drop(socket);
    assert_eq!(client.text().await, envelope("a", "b", "1"));
    client.ends().await;
}

#[tokio::test]
async fn a_closed_hub_takes_no_connection() {
    let hub = Hub::relaying().await;
    hub.close();
    let error = hub.add_connection(tokio::io::duplex(64).0, None).await.unwrap_err();
    assert_eq!(error, AddConnectionError::Closed);
    assert!(hub.remove_connection(alkpubsub_link()).await.is_none());
}

/// A link of another hub, which is none here.
fn alkpubsub_link() -> alkpubsub::LinkId {
    let text = alkpubsub::websocket_server::HubLimits::DEFAULT;
    let mut hub = alkpubsub::protocol::hub::Hub::<Nothing>::new(text, Default::default(), false);
    hub.connect(None, std::time::Duration::ZERO).unwrap()
}

#[derive(Clone, Debug)]
struct Nothing;

impl alkpubsub::protocol::Message for Nothing {
    type Framing = ();

    fn from_text(_: String, (): ()) -> Self {
        Self
    }
    fn weight(&self) -> usize {
        0
    }
    fn is_control(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_spoke_kept_by_the_program_after_the_hub_is_gone_is_closed() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let _client = hub.client().await;
    let spoke = record.connected().await;
    let waits = tokio::spawn({
        let spoke = spoke.clone();
        async move { spoke.closed().await }
    });
    hub.serving.abort();
    within("the end of serving", async {
        while !hub.serving.is_finished() {
            tokio::task::yield_now().await
        }
    })
    .await;
    drop(hub);
    assert_eq!(within("the end", waits).await.unwrap(), CloseReason::Closed);
    assert!(matches!(record.0.recv().await, Some(Saw::Disconnected(_, CloseReason::Closed))));
    assert!(matches!(spoke.dispatch_event(event("a", "b", 1)), Err(DispatchError::Closed(_))));
    spoke.room().await;
    assert_eq!(spoke.ready("a:b").await, Readiness::Closed);
    assert!(spoke.add_event_listener("a:b", Arc::new(|_: &EventEnvelope| ())).is_err());
    spoke.disconnect(1000, "");
    spoke.close();
}

#[tokio::test]
async fn closing_a_spokes_target_leaves_its_connection_with_the_hub() {
    let (hub, mut record) = recorded(ServerOptions::new()).await;
    let mut all = hub.hear("a:b");
    let mut client = hub.client().await;
    let spoke = record.connected().await;
    let mut own = hear(&*spoke, "a:b");
    spoke.close();
    spoke.close();
    client.publish("a", "b", "1").await;
    next("the event", &mut all).await;
    assert!(own.recv().await.is_none());
    assert_eq!(spoke.closed().await, CloseReason::Closed);
    client.leave().await;
    assert_eq!(record.disconnected().await.1.code(), 1000);
}
