//! A link over a byte stream, and what goes wrong with one.

use alkpubsub::protocol::length_prefix::encode;
use alkpubsub::{
    ByteStreamEventTarget, ByteStreamOptions, CloseReason, DispatchError, EventEnvelope, EventTarget, PubSub,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

const SECOND: Duration = Duration::from_secs(1);

fn made() -> (ByteStreamEventTarget, DuplexStream) {
    let (here, there) = tokio::io::duplex(1 << 16);
    (ByteStreamEventTarget::owning(here, ByteStreamOptions::DEFAULT), there)
}

/// The next frame's text; `None` at the end of the stream.
async fn frame(there: &mut DuplexStream) -> Option<String> {
    let length = there.read_u32().await.ok()?;
    let mut text = vec![0; length as usize];
    there.read_exact(&mut text).await.expect("a whole frame");
    Some(String::from_utf8(text).expect("UTF-8"))
}

async fn say(there: &mut DuplexStream, text: &str) {
    there.write_all(&encode(text).unwrap()).await.unwrap();
}

fn text(payload: &str) -> String {
    format!(r#"{{"type":"tick","id":"","payload":{payload}}}"#)
}

fn event(payload: &str) -> EventEnvelope {
    EventEnvelope::parse(text(payload)).unwrap()
}

/// The end of a target to which these bytes come before its stream ends.
async fn ended_by(bytes: &[u8]) -> CloseReason {
    let (target, mut there) = made();
    there.write_all(bytes).await.unwrap();
    there.shutdown().await.unwrap();
    target.closed().await
}

#[tokio::test]
async fn a_ping_comes_first_whatever_was_dispatched_by_then() {
    let (target, mut there) = made();
    target.dispatch_event(event("1")).unwrap();
    assert!(frame(&mut there).await.unwrap().starts_with(r#"{"type":"__ping","id":"""#));
    assert_eq!(frame(&mut there).await.unwrap(), r#"{"type":"tick","id":"","payload":1}"#);
}

#[tokio::test(start_paused = true)]
async fn a_far_side_that_has_answered_and_falls_silent_is_lost() {
    let (target, mut there) = made();
    let ping = frame(&mut there).await.unwrap();
    let echo = ping.split_once(r#""payload":"#).unwrap().1.trim_end_matches('}').to_owned() + "}";
    say(
        &mut there,
        &format!(r#"{{"type":"__pong","id":"","payload":{{"echo":{echo},"protocol":1,"features":[]}}}}"#),
    )
    .await;
    let reason = target.closed().await;
    assert!(matches!(&reason, CloseReason::Lost { error } if error.contains("no ping")), "{reason}");
}

#[tokio::test]
async fn frames_that_are_none_end_it_by_name() {
    let half = &encode(r#"{"type":"tick","id":""}"#).unwrap()[..9];
    for (bytes, code, words) in [
        (&[0, 0, 0, 0][..], 1002, "a frame of length 0"),
        (&[0xff; 4][..], 1009, "4294967295 bytes, more than the limit of 65536"),
        (&[0, 1, 0, 1][..], 1009, "65537 bytes"),
        (half, 1006, "within a frame, after 9 of its bytes"),
        (&half[..2], 1006, "within a frame, after 2 of its bytes"),
        (&[][..], 1006, "without a word"),
    ] {
        let reason = ended_by(bytes).await;
        assert!(reason.to_string().contains(words), "{reason}");
        assert_eq!(reason.code(), code, "{reason}");
    }
}

#[tokio::test]
async fn the_far_side_may_end_at_any_byte() {
    let close = r#"{"type":"__close","id":"","payload":{"code":1000,"reason":""}}"#;
    let frames = [text("1"), close.to_owned(), text("2")].map(|text| encode(&text).unwrap());
    let (all, until_close) = (frames.concat(), frames[0].len() + frames[1].len());
    for cut in 0..=all.len() {
        let ended = tokio::time::timeout(SECOND, ended_by(&all[..cut])).await;
        let code = ended.unwrap_or_else(|_| panic!("it waits, after {cut} bytes")).code();
        assert_eq!(code, if cut < until_close { 1006 } else { 1000 }, "after {cut} bytes");
    }
}

#[tokio::test]
async fn the_far_side_is_told_what_was_wrong() {
    let (_target, mut there) = made();
    there.write_all(&[0xff; 4]).await.unwrap();
    frame(&mut there).await.unwrap();
    let close = frame(&mut there).await.unwrap();
    assert!(close.starts_with(r#"{"type":"__close","id":"","payload":{"code":1009,"reason":"#), "{close}");
    assert_eq!(frame(&mut there).await, None, "`__close` is the last frame");
}

#[tokio::test]
async fn a_close_is_answered_behind_all_that_came_before_it() {
    let (target, mut there) = made();
    let pubsub = PubSub::new(target);
    let answered = async {
        frame(&mut there).await.unwrap();
        let asked = frame(&mut there).await.unwrap();
        say(&mut there, &asked.replace("__subscribe", "__subscribed")).await;
    };
    let (ticks, ()) = tokio::join!(pubsub.subscribe_envelopes("tick", ""), answered);
    let mut ticks = ticks.unwrap();
    for payload in ["1", "2"] {
        say(&mut there, &text(payload)).await;
    }
    say(&mut there, r#"{"type":"__close","id":"","payload":{"code":1001,"reason":"bye"}}"#).await;
    let reason = pubsub.target().closed().await;
    assert_eq!(reason, CloseReason::ByPeer { code: 1001, reason: "bye".into() });
    let mut heard = Vec::new();
    while let Some(item) = ticks.next().await {
        heard.push(format!("{item:?}"));
    }
    assert_eq!(heard.len(), 2, "{heard:?}");
    let mut last = None;
    while let Some(text) = frame(&mut there).await {
        last = Some(text);
    }
    assert_eq!(last.as_deref(), Some(r#"{"type":"__close","id":"","payload":{"code":1001,"reason":""}}"#));
}

#[tokio::test]
async fn leaving_in_order_waits_for_the_far_sides_close_or_end() {
    for answers in [true, false] {
        let (target, mut there) = made();
        target.dispatch_event(event("1")).unwrap();
        let far = tokio::spawn(async move {
            let mut came = Vec::new();
            while let Some(text) = frame(&mut there).await {
                came.push(text);
            }
            if answers {
                say(&mut there, r#"{"type":"__close","id":"","payload":{"code":1000,"reason":""}}"#).await;
            }
            there.shutdown().await.unwrap();
            came
        });
        assert_eq!(target.disconnect(SECOND).await, Ok(()), "answers: {answers}");
        let came = far.await.unwrap();
        assert_eq!(came.len(), 3, "{came:?}");
        assert_eq!(came[2], r#"{"type":"__close","id":"","payload":{"code":1000,"reason":""}}"#);
    }
}

#[tokio::test]
async fn a_stream_that_is_gone_ends_it_and_one_that_is_not_read_fills_its_queue() {
    let (target, there) = made();
    let mut refused = None;
    for _ in 0..100_000 {
        if let Err(error) = target.dispatch_event(event("\"a payload of some length\"")) {
            refused = Some(error);
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(matches!(refused, Some(DispatchError::Full)), "{refused:?}");
    drop(there);
    let reason = target.closed().await;
    assert!(matches!(reason, CloseReason::Lost { .. }), "{reason}");
    assert!(matches!(target.dispatch_event(event("1")), Err(DispatchError::Closed(_))));
    assert_eq!(target.stats().links, 0);
}

/// Counts how often it was woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// A program often has nothing else to wait for, and much to send meanwhile.
#[tokio::test]
async fn who_waits_for_the_end_is_not_woken_by_what_is_sent() {
    let (target, mut there) = made();
    frame(&mut there).await.unwrap();
    let wakes = Arc::new(Wakes::default());
    let mut closed = target.closed();
    let waits = closed.as_mut().poll(&mut Context::from_waker(&Waker::from(wakes.clone())));
    assert!(waits.is_pending());
    for _ in 0..10 {
        target.dispatch_event(event("1")).unwrap();
        target.flush().await;
    }
    assert_eq!(wakes.0.load(Relaxed), 0);
    target.close();
    assert!(wakes.0.load(Relaxed) > 0);
    assert_eq!(closed.await, CloseReason::Closed);
}

#[tokio::test]
async fn a_lent_stream_is_given_back_with_what_was_read_of_it() {
    let (here, mut there) = tokio::io::duplex(1 << 16);
    let target = ByteStreamEventTarget::new(here);
    frame(&mut there).await.unwrap();
    assert!(target.release::<String>().await.is_none(), "a stream of another type");
    let socket = target.release::<DuplexStream>().await.unwrap();
    let parts = socket.into_parts().unwrap();
    assert!(parts.unread.is_empty() && parts.unwritten.is_empty());
    let mut here = parts.stream;
    here.write_all(b"mine").await.unwrap();
    let mut said = [0; 4];
    there.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"mine", "nothing was sent at the end");
}
