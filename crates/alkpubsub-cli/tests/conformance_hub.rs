//! The conformance suite on the hub program: a process of its own for each law, our clients around it, and another
//! library's spoke beside them.

#[path = "../../alkpubsub/tests/support/mod.rs"]
mod support;

use alkpubsub::conformance::{self, FarSide, Fault, Fixture, Offers, Peers};
use alkpubsub::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order, WebSocketClientEventTarget};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use support::RawPeer;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

alkpubsub::conformance_tests!(hub_program, HubProgram);
alkpubsub::conformance_tests!(hub_program_shards, ShardedProgram);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "hub_program", &HubProgram);
    conformance::matrix_column(&support::docs("matrix.md"), "hub_program_shards", &ShardedProgram);
}

/// A hub in a process of its own: clients publish and hear, the publisher itself, too.
struct HubProgram;

impl Fixture for HubProgram {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        Offers { cut: true, wire: Some(FarSide::Spoke), hang_up: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers("1").await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

/// The same with two shards, on which the peers take turns: what the publisher says crosses to one of the clients, and
/// stays in its shard for the other.
struct ShardedProgram;

impl Fixture for ShardedProgram {
    fn capabilities(&self) -> Capabilities {
        HubProgram.capabilities()
    }

    fn offers(&self) -> Offers {
        HubProgram.offers()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers("2").await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn peers(shards: &str) -> Result<Peers, Box<dyn std::error::Error + Send + Sync>> {
    let mut hub = Command::new(env!("CARGO_BIN_EXE_alkpubsub"))
        .args(["hub", "--listen", "127.0.0.1:0", "--shards", shards])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = hub.stdout.take().ok_or("the hub has no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = lines.next_line().await?.ok_or("the hub ended without a word")?;
    let url = line.strip_prefix("listening on ").ok_or("the hub's first line is another")?;
    let mut clients: Vec<Arc<dyn EventTarget>> = Vec::new();
    for _ in 0..3 {
        clients.push(Arc::new(WebSocketClientEventTarget::connect(url).await?));
    }
    let publisher = clients.remove(0);
    let spoke = RawPeer::connect(url).await?;
    let (wire, process) = (spoke.wire.clone(), Arc::new(Process(Mutex::new(hub))));
    Ok(Peers::new(publisher, clients).with_wire(wire, None).with_fault(process).keeping((spoke, lines)))
}

struct Process(Mutex<Child>);

impl Fault for Process {
    /// The whole hub is gone at once.
    fn cut(&self) -> BoxFuture<'_, ()> {
        let killed = self.0.lock().unwrap_or_else(PoisonError::into_inner).start_kill();
        killed.expect("the hub can be killed");
        Box::pin(std::future::ready(()))
    }
}
