//! The conformance suite on worker threads, heard from either end.

use alkpubsub::conformance::{self, Fault, Fixture, Offers, Peers};
use alkpubsub::worker::{WorkerOptions, WorkerThreadEventTarget, pair};
use alkpubsub::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot};

alkpubsub::conformance_tests!(worker_host, Host);
alkpubsub::conformance_tests!(worker_thread, Worker);

fn docs(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/conformance").join(file)
}

#[test]
fn matrix() {
    conformance::matrix_column(&docs("matrix.md"), "worker_host", &Host);
    conformance::matrix_column(&docs("matrix.md"), "worker_thread", &Worker);
}

const BOTH: Capabilities = Capabilities {
    echo: false,
    order: Order::Connection,
    carries: Carries::Reference,
    lifetime: Lifetime::PerConnection,
    confirms: true,
};

/// The worker publishes, the host hears; the worker may panic.
struct Host;

impl Fixture for Host {
    fn capabilities(&self) -> Capabilities {
        BOTH
    }

    fn offers(&self) -> Offers {
        Offers { cut: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let (host, worker) = pair(WorkerOptions::DEFAULT);
        let publisher = Arc::new(worker.handle());
        let thread = Thread::start(worker);
        let peers = Peers::new(publisher, vec![Arc::new(host)]).with_fault(thread);
        Box::pin(std::future::ready(Ok(peers)))
    }
}

/// The host publishes, the worker hears; its thread may be busy with something else.
struct Worker;

impl Fixture for Worker {
    fn capabilities(&self) -> Capabilities {
        BOTH
    }

    fn offers(&self) -> Offers {
        Offers { stall: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let (host, worker) = pair(WorkerOptions::DEFAULT);
        let subscriber: Arc<dyn EventTarget> = Arc::new(worker.handle());
        let thread = Thread::start(worker);
        let peers = Peers::new(Arc::new(host), vec![subscriber]).with_fault(thread);
        Box::pin(std::future::ready(Ok(peers)))
    }
}

enum Told {
    Panic,
    Stall(oneshot::Sender<()>),
    GoOn,
}

/// A thread that serves a worker's end until it is told otherwise.
struct Thread {
    orders: Option<mpsc::UnboundedSender<Told>>,
    thread: Option<JoinHandle<()>>,
}

impl Thread {
    fn start(mut worker: WorkerThreadEventTarget) -> Arc<Self> {
        let (orders, mut given) = mpsc::unbounded_channel();
        let thread = std::thread::spawn(move || {
            while let Some(order) = worker.block_on(given.recv()) {
                match order {
                    Told::Panic => std::panic::resume_unwind(Box::new("cut")),
                    Told::Stall(stalled) => {
                        let _ = stalled.send(());
                        // Whatever it is told.
                        let _ = given.blocking_recv();
                    }
                    Told::GoOn => {}
                }
            }
        });
        Arc::new(Self { orders: Some(orders), thread: Some(thread) })
    }

    fn order(&self, order: Told) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order);
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Fault for Thread {
    fn cut(&self) -> BoxFuture<'_, ()> {
        self.order(Told::Panic);
        Box::pin(std::future::ready(()))
    }

    fn stall(&self) -> BoxFuture<'_, ()> {
        let (stalled, is_stalled) = oneshot::channel();
        self.order(Told::Stall(stalled));
        Box::pin(async { is_stalled.await.expect("a thread") })
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        self.order(Told::GoOn);
        Box::pin(std::future::ready(()))
    }
}
