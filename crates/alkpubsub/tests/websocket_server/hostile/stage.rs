//! A hub, those who must notice nothing, and what a peer needs to misbehave.

use super::seen::{End, Seen};
use super::{Case, PATIENCE, Play};
use crate::support::{
    Heard, Hub, PONG, REQUEST, Raw, close, envelope, frame, subscribe, subscribed, text, within,
};
use alkpubsub::Stats;
use alkpubsub::websocket_server::ServerOptions;
use allocation_counter::opt_out;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::oneshot;

/// What peers publish on, and the witness hears.
pub(crate) const TOPIC: &str = "a:b";

pub(crate) struct Stage {
    pub(crate) hub: Hub,
    /// Whether this round is not measured: what does the same thing many times may do it less often.
    pub(crate) is_warming_up: bool,
    pub(crate) seen: Seen,
    /// Texts that the witness is to hear in this round, exactly.
    expected: Vec<String>,
    witness: Raw,
}

impl Stage {
    pub(crate) async fn set(case: &Case) -> (Self, Bystanders) {
        let hub = Hub::start((case.options)(ServerOptions::new().relay())).await;
        let mut witness = hub.client().await;
        ask(&mut witness, TOPIC).await;
        let bystanders = Bystanders::new(hub.address).await;
        (Self { hub, is_warming_up: true, seen: Seen::default(), expected: Vec::new(), witness }, bystanders)
    }

    /// One round of a case, up to what the witness heard of it.
    pub(crate) async fn play(&mut self, case: &Case) -> Seen {
        match case.play {
            Play::Frames(frames) => {
                // What the peer sends is no memory of the hub's.
                let mut made = Default::default();
                opt_out(|| made = frames());
                let (bytes, heard) = made;
                self.expected = heard;
                let peer = self.peer().await;
                self.converse(peer, &bytes, 1).await;
                opt_out(|| drop(bytes));
            }
            Play::Request(request) => self.ask(&request()).await,
            Play::Story(story) => story(self).await,
        }
        let heard = flush(&mut self.witness).await;
        let expected = std::mem::take(&mut self.expected);
        assert_eq!(heard.len(), expected.len(), "events that the witness heard");
        assert!(heard == expected, "{heard:?} in place of {expected:?}");
        self.seen.delivered = heard.len();
        opt_out(|| drop(expected));
        std::mem::take(&mut self.seen)
    }

    pub(crate) async fn peer(&self) -> Raw {
        self.hub.client().await
    }

    /// The witness is to hear this, too. It is no memory of the hub's.
    pub(crate) fn expect(&mut self, text: impl FnOnce() -> String) {
        opt_out(|| self.expected.push(text()));
    }

    /// A peer sends these bytes so many times; it reads meanwhile, and until the hub has said what it has to say to
    /// them. Then it leaves, where it still can.
    pub(crate) async fn converse(&mut self, mut peer: Raw, bytes: &[u8], times: usize) {
        let (read, mut write) = peer.socket.split();
        let mut reader = Raw::over(tokio::io::join(read, tokio::io::sink()));
        let end = {
            // Where the hub ends the connection, it may do so before all is written.
            let writing = async {
                for _ in 0..times {
                    write.write_all(bytes).await?;
                }
                write.write_all(&text(PING)).await
            };
            let reading = self.seen.listen(&mut reader);
            within("all to be written", async { tokio::join!(reading, writing) }).await.0
        };
        if end != End::Cut {
            let _ = write.write_all(&close(1000)).await;
        }
        match end {
            End::GoesOn => {
                assert_eq!(reader.next().await, Heard::Close(Some(1000), String::new()));
                reader.ends().await;
            }
            End::Cut => {}
            _ => reader.ends().await,
        }
        self.seen.ended(end);
    }

    /// A peer for which the kernel keeps little, as it does not read.
    pub(crate) async fn narrow_peer(&self) -> Raw {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut peer = Raw::over(within("the connection", socket.connect(self.hub.address)).await.unwrap());
        peer.send(REQUEST).await;
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
        peer
    }

    /// A new peer that sends these bytes in place of a handshake.
    pub(crate) async fn ask(&mut self, request: &[u8]) {
        let mut peer = Raw::over(Raw::tcp(self.hub.address).await);
        peer.send(request).await;
        self.answered(peer).await;
    }

    /// Reads the answer to a request that was sent.
    pub(crate) async fn answered(&mut self, mut peer: Raw) {
        let head = peer.head().await;
        let status = head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("{head}"));
        if status == 101 {
            peer.leave().await;
        } else {
            let mut body = String::new();
            let reading = tokio::io::AsyncReadExt::read_to_string(&mut peer.socket, &mut body);
            within("the end of the answer", reading).await.unwrap();
        }
        self.seen.ended(End::Http(status));
    }

    /// Lets time pass, for whoever waits for it; nothing else waits.
    pub(crate) async fn pass(&self, time: Duration) {
        tokio::time::pause();
        tokio::time::advance(time).await;
        tokio::time::resume();
        // For all tasks that this made ready, and those that they made ready.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    /// All who keep the rules answer the pings that they may have got.
    pub(crate) async fn answer_pings(&mut self) {
        for _ in 0..5 {
            assert_eq!(flush(&mut self.witness).await, [""; 0]);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn is_as_it_was(&self, before: &Stats) {
        let now = |stats: &Stats| {
            let queued = (stats.queued_messages, stats.queued_bytes, stats.incoming_bytes);
            (stats.links, stats.topics, stats.listeners, queued)
        };
        self.hub.until("as it was", |stats| now(stats) == now(before)).await;
    }

    /// After a round: a client that keeps the rules is served, the counters and tasks are back, and the hub has given
    /// back what memory it gives back with time.
    pub(crate) async fn settle(&mut self, before: &Stats, bystanders: &mut Bystanders) {
        // First, as the next one in the same place would clean up after it.
        self.is_as_it_was(before).await;
        let mut polite = self.peer().await;
        polite.subscribe("polite:client").await;
        polite.publish("polite", "client", "1").await;
        assert_eq!(polite.flush().await, [envelope("polite", "client", "1")]);
        assert_eq!(polite.leave().await, [""; 0]);
        assert_eq!(flush(&mut self.witness).await, [""; 0], "nothing came late");
        bystanders.heard_nothing_else().await;
        self.is_as_it_was(before).await;
        // It looks around once a second, and forgets an idle queue's memory at the second look.
        for _ in 0..2 {
            self.pass(Duration::from_millis(1100)).await;
        }
    }
}

/// The question whose answer shows that a connection goes on.
const PING: &str = r#"{"type":"__ping","id":"","payload":{"still":"there"}}"#;

impl Seen {
    /// Notes what comes until the answer to [`PING`], a close frame, or the end.
    pub(crate) async fn listen<S: AsyncRead + AsyncWrite + Unpin>(&mut self, peer: &mut Raw<S>) -> End {
        loop {
            match peer.next().await {
                Heard::Text(text)
                    if text.starts_with(r#"{"type":"__pong","id":"","payload":{"echo":{"still""#) =>
                {
                    return End::GoesOn;
                }
                // A hub always says why it closes; its answer to a close says nothing more.
                Heard::Close(Some(code), reason) if !reason.is_empty() => return End::Closed(code),
                Heard::Close(..) => return End::Answered,
                Heard::End | Heard::Reset => return End::Cut,
                other => self.frame(&other),
            }
        }
    }
}

/// The next text; pings are answered, as every spoke has to.
pub(crate) async fn hear(client: &mut Raw) -> String {
    loop {
        match client.next().await {
            Heard::Text(text) => return text,
            Heard::Ping(payload) => client.send(frame(PONG, &payload)).await,
            other => panic!("{other:?} in place of a text"),
        }
    }
}

async fn ask(client: &mut Raw, topic: &str) {
    client.send_text(&subscribe(topic)).await;
    assert_eq!(hear(client).await, subscribed(topic));
}

/// What the hub has for a client.
async fn flush(client: &mut Raw) -> Vec<String> {
    client.send_text(PING).await;
    let mut texts = Vec::new();
    loop {
        let text = hear(client).await;
        if text.starts_with(r#"{"type":"__pong","#) {
            return texts;
        }
        texts.push(text);
    }
}

/// A publisher and two subscribers, who must notice nothing.
#[derive(Default)]
pub(crate) struct Bystanders {
    publisher: Option<Raw>,
    subscribers: Vec<Raw>,
    number: u64,
}

impl Bystanders {
    async fn new(address: SocketAddr) -> Self {
        let mut subscribers = Vec::new();
        for _ in 0..2 {
            let mut subscriber = Raw::connect(address).await;
            ask(&mut subscriber, "bystander:").await;
            subscribers.push(subscriber);
        }
        Self { publisher: Some(Raw::connect(address).await), subscribers, number: 0 }
    }

    /// Exchanges numbered events until told to stop, and a few more.
    pub(crate) async fn exchange(mut self, mut stopped: oneshot::Receiver<()>) -> Self {
        while stopped.try_recv().is_err() {
            self.one().await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..3 {
            self.one().await;
        }
        self
    }

    /// The next event, to each of them: not another one, none left out, none twice.
    async fn one(&mut self) {
        self.number += 1;
        let began = Instant::now();
        let number = self.number.to_string();
        self.publisher.as_mut().expect("it is there").publish("bystander", "", &number).await;
        let event = envelope("bystander", "", &number);
        for subscriber in &mut self.subscribers {
            assert_eq!(hear(subscriber).await, event);
        }
        assert!(began.elapsed() < PATIENCE, "event {number} took {:?}", began.elapsed());
    }

    pub(crate) async fn heard_nothing_else(&mut self) {
        for client in self.publisher.iter_mut().chain(&mut self.subscribers) {
            assert_eq!(flush(client).await, [""; 0]);
        }
    }
}
