//! More connections than the hub's process may have files open. Three processes, this very test in three parts: the
//! hub, with 1,000 descriptors; the crowd, which needs more of them than a process usually has; and the one that
//! starts both.
//!
//! The crowd comes in waves of 1,850, half of which find a descriptor: what waits for a hub without descriptors waits
//! in the kernel, in the queue of the listener, which is 1,024 long here.
#![cfg(target_os = "linux")]

use super::stage::hear;
use crate::support::{REQUEST, Raw, envelope, within};
use alkpubsub::WebSocketServerEventTarget;
use alkpubsub::websocket_server::ServerOptions;
use std::io::BufRead;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::net::{TcpSocket, TcpStream};

const PART: &str = "ALKPUBSUB_TEST_PART";
const HUB: &str = "ALKPUBSUB_TEST_HUB";
const NAME: &str = "hostile::descriptors::twenty_thousand_connections_against_a_thousand_descriptors";
const DESCRIPTORS: usize = 1_000;
const BACKLOG: u32 = 1_024;
const WAVES: usize = 11;
/// Of each wave, those who are served at once, and those who come when nearly no descriptor is left.
const SERVED: usize = 900;
const WAITING: usize = 950;

/// A part of this test that ends with it.
struct Part(Child);

impl Part {
    fn start(part: &str, descriptors: usize, hub: &str) -> Self {
        let this = std::env::current_exe().unwrap();
        let script = format!("ulimit -n {descriptors} && exec \"$0\" --exact \"$1\" --nocapture");
        let mut command = Command::new("sh");
        command.args(["-c", &script, this.to_str().unwrap(), NAME]).env(PART, part).env(HUB, hub);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn twenty_thousand_connections_against_a_thousand_descriptors() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match std::env::var(PART).as_deref() {
        Ok("hub") => runtime.block_on(async {
            let hub = WebSocketServerEventTarget::new(ServerOptions::new().relay());
            let socket = TcpSocket::new_v4().unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            let listener = socket.listen(BACKLOG).unwrap();
            println!("\nlistening {}", listener.local_addr().unwrap());
            hub.serve(listener).await.unwrap();
        }),
        Ok(_) => {
            let hub = std::env::var(HUB).unwrap();
            let (address, process) = hub.split_once(' ').unwrap();
            runtime.block_on(crowd(address.parse().unwrap(), process));
        }
        Err(_) => {
            let mut hub = Part::start("hub", DESCRIPTORS, "");
            let lines = std::io::BufReader::new(hub.0.stdout.take().unwrap()).lines();
            let address = lines
                .map_while(Result::ok)
                .find_map(|line| line.strip_prefix("listening ").map(str::to_owned));
            let address = address.expect("the hub says where it listens");
            let mut crowd = Part::start("crowd", 4_000, &format!("{address} {}", hub.0.id()));
            assert!(crowd.0.wait().unwrap().success(), "what the crowd saw is above");
            assert!(hub.0.try_wait().unwrap().is_none(), "the hub lives");
        }
    }
}

async fn crowd(hub: SocketAddr, process: &str) {
    let mut pair = Pair::connect(hub).await;
    let quiet = descriptors(process);
    let mut came = 0;
    for wave in 0..WAVES {
        let mut served = Vec::with_capacity(SERVED);
        for _ in 0..SERVED {
            served.push(come(hub).await);
            pair.sometimes_exchange().await;
        }
        for peer in &mut served {
            assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
        }
        // A few of these find a descriptor, too. The others wait, and nobody knows of them but the kernel.
        let mut waiting = Vec::with_capacity(WAITING);
        for _ in 0..WAITING {
            waiting.push(come(hub).await);
            pair.sometimes_exchange().await;
        }
        until(|| descriptors(process) == DESCRIPTORS).await;
        pair.exchange().await;
        if wave == 0 {
            idles(process).await;
        }
        came += served.len() + waiting.len();
        for peer in served {
            drop(peer);
            pair.sometimes_exchange().await;
        }
        for mut peer in waiting {
            assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
            drop(peer);
            pair.sometimes_exchange().await;
        }
        until(|| descriptors(process) == quiet).await;
    }
    assert!(came >= 20_000, "{came}");
    pair.leave().await;
    Raw::connect(hub).await.leave().await;
}

async fn come(hub: SocketAddr) -> Raw {
    let socket = within("a place in the listener's queue", TcpStream::connect(hub)).await.unwrap();
    let mut peer = Raw::over(socket);
    peer.send(REQUEST).await;
    peer
}

/// How many files a process has open.
fn descriptors(process: &str) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count()
}

async fn until(is_so: impl Fn() -> bool) {
    within("the hub", async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Two who were there before, and whose events flow all the while.
struct Pair {
    publisher: Raw,
    subscriber: Raw,
    number: u32,
    turns: u32,
}

impl Pair {
    async fn connect(hub: SocketAddr) -> Self {
        let (publisher, mut subscriber) = (Raw::connect(hub).await, Raw::connect(hub).await);
        subscriber.subscribe("old:").await;
        Self { publisher, subscriber, number: 0, turns: 0 }
    }

    async fn exchange(&mut self) {
        self.number += 1;
        let (began, number) = (Instant::now(), self.number.to_string());
        self.publisher.publish("old", "", &number).await;
        assert_eq!(hear(&mut self.subscriber).await, envelope("old", "", &number));
        assert!(began.elapsed() < super::PATIENCE, "event {number} took {:?}", began.elapsed());
    }

    async fn sometimes_exchange(&mut self) {
        self.turns += 1;
        if self.turns.is_multiple_of(50) {
            self.exchange().await;
        }
    }

    async fn leave(mut self) {
        assert_eq!(self.subscriber.flush().await, [""; 0], "nothing twice");
        self.subscriber.leave().await;
        assert!(self.number > 400);
    }
}

/// A hub whose newcomers wait does not try again without end: it takes less than a tenth of the processor.
async fn idles(process: &str) {
    let spent = || {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        // Behind the name, which ends with the last bracket: user and system time are the 12th and 13th.
        let times: Vec<u64> = stat[stat.rfind(')').unwrap() + 2..]
            .split(' ')
            .skip(11)
            .take(2)
            .map(|time| time.parse().unwrap())
            .collect();
        times.iter().sum::<u64>()
    };
    let before = spent();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // In ticks of 10 ms.
    let spent = spent() - before;
    assert!(spent <= 5, "{spent} ticks of 50");
}
