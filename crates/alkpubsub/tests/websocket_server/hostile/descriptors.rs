//! More connections than the hub's process may have files open. Three processes, this very test in three parts: the
//! hub, with 1,000 descriptors; the crowd, which needs more of them than a process usually has; and the one that
//! starts both.
//!
//! The crowd comes in waves of 1,900: what waits for a hub without descriptors waits in the kernel, in the queue of
//! the listener, which is 1,024 long here.
#![cfg(target_os = "linux")]

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
const WAVE: usize = 1_900;

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
    let mut publisher = Raw::connect(hub).await;
    let mut subscriber = Raw::connect(hub).await;
    subscriber.subscribe("old:").await;
    let mut number = 0;
    let mut came = 0;
    for wave in 0..WAVES {
        let mut waiting = Vec::with_capacity(WAVE);
        for at in 0..WAVE {
            let mut peer =
                Raw::over(within("a place in the kernel's queue", TcpStream::connect(hub)).await.unwrap());
            peer.send(REQUEST).await;
            waiting.push(peer);
            if at % 100 == 0 {
                exchange(&mut publisher, &mut subscriber, &mut number).await;
            }
        }
        if wave == 0 {
            idles(process).await;
        }
        // In the order in which they came: those who found a descriptor, then those who waited until one was free.
        for (at, peer) in waiting.iter_mut().enumerate() {
            if at < DESCRIPTORS / 2 {
                assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
            }
        }
        for (at, mut peer) in waiting.into_iter().enumerate() {
            if at >= DESCRIPTORS / 2 {
                assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
            }
            drop(peer);
            came += 1;
            if at % 100 == 0 {
                exchange(&mut publisher, &mut subscriber, &mut number).await;
            }
        }
    }
    assert!(came >= 20_000, "{came}");
    assert_eq!(subscriber.flush().await, [""; 0]);
    publisher.leave().await;
    // Room again.
    Raw::connect(hub).await.leave().await;
}

/// Events of those who are connected flow all the while.
async fn exchange(publisher: &mut Raw, subscriber: &mut Raw, number: &mut u32) {
    *number += 1;
    let began = Instant::now();
    publisher.publish("old", "", &number.to_string()).await;
    assert_eq!(subscriber.text().await, envelope("old", "", &number.to_string()));
    assert!(began.elapsed() < super::PATIENCE, "event {number} took {:?}", began.elapsed());
}

/// A hub whose newcomers wait does not try again without end: it takes less than a tenth of the processor.
async fn idles(process: &str) {
    // Until it has taken all it can.
    let open = || std::fs::read_dir(format!("/proc/{process}/fd")).unwrap().count();
    within("the hub to be full", async {
        while open() < DESCRIPTORS {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
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
