//! A faulty proxy between spokes and the hub: it cuts connections, also in the middle of a frame, holds them up,
//! and lets nobody in.

use crate::random::Map;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

/// What is wrong with the connections of one spoke.
pub(crate) struct Faults {
    /// Told to cut at once.
    cut: Notify,
    /// Bytes that still pass before the connection is cut; below 0: any number.
    passes: AtomicI64,
    /// Whether the cut is a reset.
    reset: AtomicBool,
    refuses: AtomicBool,
    stalled: watch::Sender<bool>,
}

const NO_BOUND: i64 = -1;

impl Default for Faults {
    fn default() -> Self {
        Self {
            cut: Notify::new(),
            passes: AtomicI64::new(NO_BOUND),
            reset: AtomicBool::new(false),
            refuses: AtomicBool::new(false),
            stalled: watch::Sender::new(false),
        }
    }
}

impl Faults {
    pub(crate) fn cut_now(&self, reset: bool) {
        self.reset.store(reset, SeqCst);
        self.cut.notify_waiters();
    }

    pub(crate) fn cut_after(&self, bytes: u32, reset: bool) {
        self.reset.store(reset, SeqCst);
        self.passes.store(bytes.into(), SeqCst);
    }

    pub(crate) fn refuse(&self) {
        self.refuses.store(true, SeqCst);
    }

    pub(crate) fn stall(&self) {
        self.stalled.send_replace(true);
    }

    pub(crate) fn heal(&self) {
        self.passes.store(NO_BOUND, SeqCst);
        self.refuses.store(false, SeqCst);
        self.stalled.send_replace(false);
    }

    /// How many of so many bytes may pass; fewer are the last.
    fn let_pass(&self, bytes: usize) -> usize {
        let passes = |left: i64| (left >= 0).then(|| (left - bytes as i64).max(0));
        match self.passes.fetch_update(SeqCst, SeqCst, passes) {
            Ok(left) => bytes.min(left as usize),
            Err(_) => bytes,
        }
    }
}

/// One port for all: the path of the request says whose faults are to be used.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    faults: Arc<Mutex<Map<u64, Arc<Faults>>>>,
    serving: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let faults: Arc<Mutex<Map<u64, Arc<Faults>>>> = Arc::default();
        let known = faults.clone();
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let Ok((stream, _)) = accepted else { continue };
                        let known = known.clone();
                        connections.spawn(async move { drop(connection(stream, hub, &known).await) });
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        Self { address, faults, serving }
    }

    pub(crate) fn faults(&self, spoke: u64) -> Arc<Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).entry(spoke).or_default().clone()
    }

    pub(crate) fn forget(&self, spoke: u64) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).remove(&spoke);
    }

    pub(crate) async fn end(mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }
}

async fn connection(
    mut spoke: TcpStream,
    hub: SocketAddr,
    known: &Mutex<Map<u64, Arc<Faults>>>,
) -> std::io::Result<()> {
    spoke.set_nodelay(true)?;
    let mut head = Vec::new();
    while !head.contains(&b'\n') {
        if spoke.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&head).into_owned();
    let path = request.split(' ').nth(1).unwrap_or_default();
    let number: Option<u64> = path.trim_start_matches('/').parse().ok();
    let faults =
        number.and_then(|number| known.lock().unwrap_or_else(PoisonError::into_inner).get(&number).cloned());
    let Some(faults) = faults.filter(|faults| !faults.refuses.load(SeqCst)) else { return Ok(()) };
    let mut hub = TcpStream::connect(hub).await?;
    hub.set_nodelay(true)?;
    hub.write_all(&head).await?;
    let (spoke_reads, spoke_writes) = spoke.into_split();
    let (hub_reads, hub_writes) = hub.into_split();
    let cut = faults.cut.notified();
    let (mut there, mut back) = (spoke_writes, hub_writes);
    let broken = {
        let up = copy(spoke_reads, &mut back, &faults);
        let down = copy(hub_reads, &mut there, &faults);
        // Where one direction breaks, the other ends with it, as on one connection.
        let both = async { tokio::try_join!(up, down) };
        tokio::pin!(both);
        tokio::select! {
            _ = &mut both => false,
            () = cut => true,
        }
    };
    if (broken || faults.passes.load(SeqCst) == 0) && faults.reset.load(SeqCst) {
        // Closed so that both get a reset.
        there.as_ref().set_zero_linger()?;
        back.as_ref().set_zero_linger()?;
    }
    Ok(())
}

/// Copies until the end, which it passes on; where the bound cut it, the other direction finds the same.
async fn copy(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, faults: &Faults) -> std::io::Result<()> {
    let mut stalled = faults.stalled.subscribe();
    let mut buffer = vec![0; 8192];
    loop {
        let read = from.read(&mut buffer).await?;
        let _ = stalled.wait_for(|stalled| !stalled).await;
        let passes = faults.let_pass(read);
        to.write_all(&buffer[..passes]).await?;
        if read == 0 || passes < read {
            let _ = to.shutdown().await;
            if passes < read {
                faults.cut.notify_waiters();
            }
            return Ok(());
        }
    }
}
