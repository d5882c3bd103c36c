//! The conformance suite on a host and its child, a real process that hands on what is scripted here; and on the child's end,
//! which in a process of its own could be heard by nobody here, over a socket.
#![cfg(target_os = "linux")]

#[path = "support/child.rs"]
mod child_program;
mod support;

use alkpubsub::conformance::{self, FarSide, Fault, Fixture, Offers, Peers};
use alkpubsub::worker_process::{ProcessHostEventTarget, ProcessOptions, WorkerProcessEventTarget};
use alkpubsub::{BoxFuture, ByteStreamOptions, Capabilities, Carries, EventTarget, Lifetime, Order};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use support::RawPeer;

alkpubsub::conformance_tests!(worker_process, Scripted);
alkpubsub::conformance_tests!(worker_process_child, Child);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "worker_process", &Scripted);
    conformance::matrix_column(&support::docs("matrix.md"), "worker_process_child", &Child);
}

const PATH: &str = "ALKPUBSUB_TEST_PATH";

/// Hands its standard input on to a socket, and what comes from there to its standard output.
#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let Some(_) = child_program::role() else { return };
    let socket = UnixStream::connect(std::env::var(PATH).unwrap()).unwrap();
    let mut from = socket.try_clone().unwrap();
    let back = std::thread::spawn(move || hand_on(&mut from, &mut std::io::stdout()));
    hand_on(&mut std::io::stdin(), &mut &socket);
    let _ = socket.shutdown(Shutdown::Write);
    back.join().unwrap();
}

fn hand_on(from: &mut impl Read, to: &mut impl Write) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..count]).and_then(|()| to.flush()).is_err() {
            return;
        }
    }
}

/// A host, and a raw peer behind its child.
struct Scripted;

impl Fixture for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: false,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        let none = Offers { cut: true, stall: true, wire: None, near: true, hang_up: true, lent: false };
        Offers { wire: Some(FarSide::Peer), ..none }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { scripted().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn scripted() -> Result<Peers, Box<dyn std::error::Error + Send + Sync>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("link.sock");
    let listener = tokio::net::UnixListener::bind(&path)?;
    let mut command = child_program::command("shuttle");
    command.env(PATH, &path);
    let near = Arc::new(ProcessHostEventTarget::spawn(command, ProcessOptions::DEFAULT)?);
    let peer = RawPeer::framed(FarSide::Peer, listener.accept().await?.0);
    let wire = peer.wire.clone();
    let fault = Arc::new(Breaks { id: near.id(), peer });
    let target: Arc<dyn EventTarget> = near;
    Ok(Peers::new(wire.target(), vec![target.clone()])
        .with_wire(wire, Some(target))
        .with_fault(fault)
        .keeping(directory))
}

struct Breaks {
    id: u32,
    peer: Arc<RawPeer>,
}

impl Fault for Breaks {
    fn cut(&self) -> BoxFuture<'_, ()> {
        let pid = i32::try_from(self.id).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, Signal::KILL).expect("a child");
        Box::pin(std::future::ready(()))
    }

    fn stall(&self) -> BoxFuture<'_, ()> {
        self.peer.stall()
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        self.peer.go_on()
    }
}

/// A child's end, and a raw host.
struct Child;

impl Fixture for Child {
    fn capabilities(&self) -> Capabilities {
        Scripted.capabilities()
    }

    fn offers(&self) -> Offers {
        Scripted.offers()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async {
            let (here, there) = tokio::net::UnixStream::pair().map_err(|error| error.to_string())?;
            let near: Arc<dyn EventTarget> =
                Arc::new(WorkerProcessEventTarget::on(here, ByteStreamOptions::DEFAULT));
            let host = RawPeer::framed(FarSide::Peer, there);
            let wire = host.wire.clone();
            Ok(Peers::new(wire.target(), vec![near.clone()]).with_wire(wire, Some(near)).with_fault(host))
        })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}
