//! The hub in the middle: the library's server in this process, or the hub program as a child.

use crate::random::{Map, Random};
use alkpubsub::websocket_server::{HubHooks, HubLimits, ServerOptions, Spoke as Connection};
use alkpubsub::{Action, CloseReason, DenyReason, EventTarget, LinkId, Stats, WebSocketServerEventTarget};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The hub program's hooks are none; these deny, and know the connections.
#[derive(Default)]
pub(crate) struct Door {
    links: Mutex<Map<LinkId, Arc<Connection>>>,
    /// Whether `fickle` topics are denied now.
    pub(crate) fickle: AtomicBool,
}

impl HubHooks for Door {
    fn connected(&self, connection: &Arc<Connection>) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).insert(connection.id(), connection.clone());
    }

    fn disconnected(&self, connection: &Arc<Connection>, _: &CloseReason) {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).remove(&connection.id());
    }

    fn authorise(
        &self,
        _: &Arc<Connection>,
        action: Action,
        event_type: &str,
        _: &str,
    ) -> Result<(), DenyReason> {
        match (action, event_type) {
            (Action::Subscribe, "denied") | (Action::Publish, "mute") => Err(DenyReason::NotAllowed),
            (Action::Subscribe, "fickle") if self.fickle.load(SeqCst) => Err(DenyReason::NotAllowed),
            _ => Ok(()),
        }
    }
}

struct Shared(Arc<Door>);

impl HubHooks for Shared {
    fn connected(&self, connection: &Arc<Connection>) {
        self.0.connected(connection);
    }

    fn disconnected(&self, connection: &Arc<Connection>, reason: &CloseReason) {
        self.0.disconnected(connection, reason);
    }

    fn authorise(
        &self,
        spoke: &Arc<Connection>,
        action: Action,
        event_type: &str,
        id: &str,
    ) -> Result<(), DenyReason> {
        self.0.authorise(spoke, action, event_type, id)
    }
}

pub(crate) struct Library {
    target: Arc<WebSocketServerEventTarget>,
    serving: JoinHandle<std::io::Result<()>>,
    pub(crate) door: Arc<Door>,
}

pub(crate) struct Program {
    child: Child,
    path: String,
}

pub(crate) enum Inner {
    Library(Library),
    Program(Program),
}

pub(crate) struct Hub {
    pub(crate) address: SocketAddr,
    shards: NonZeroU8,
    inner: Inner,
}

impl Library {
    async fn start(address: SocketAddr, shards: NonZeroU8, door: Arc<Door>) -> (Self, SocketAddr) {
        let mut limits = HubLimits::DEFAULT;
        // So that spokes that are held up become too slow now and then.
        limits.max_outbound = 128 << 10;
        let mut options =
            ServerOptions::new().relay().limits(limits).shards(shards).hooks(Shared(door.clone()));
        options.hub.drain_window = Duration::from_millis(100);
        let target = Arc::new(WebSocketServerEventTarget::new(options));
        let listener = TcpListener::bind(address).await.expect("the port");
        let address = listener.local_addr().expect("its address");
        let served = target.clone();
        let serving = tokio::spawn(async move { served.serve(listener).await });
        (Self { target, serving, door }, address)
    }

    /// Ends it; what is left of it must be nothing.
    async fn end(&mut self, within: Duration) -> Result<(), String> {
        self.target.shutdown(within).await;
        (&mut self.serving).await.expect("no panic").expect("it served to the end");
        let stats = self.target.stats();
        match (stats.links, stats.topics, stats.queued_messages, stats.queued_bytes, stats.incoming_bytes) {
            (0, 0, 0, 0, 0) if stats.panicked == 0 => Ok(()),
            _ => Err(format!("the hub ended and left something: {stats:?}")),
        }
    }
}

impl Program {
    fn start(path: &str, address: SocketAddr, shards: NonZeroU8) -> (Self, SocketAddr) {
        let (listen, shards) = (address.to_string(), shards.to_string());
        let child = Command::new(path)
            .args(["hub", "--listen", &listen, "--drain-window", "100ms", "--drain-limit", "300ms"])
            .args(["--shards", &shards])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("cannot run {path}: {error}"));
        let stdout = child.stdout.take().expect("it is piped");
        let line = BufReader::new(stdout).lines().next().expect("a line").expect("a line");
        let told = line.trim_start_matches("listening on ws://").trim_end_matches('/').parse();
        let address = told.unwrap_or_else(|_| panic!("{path} said {line:?}"));
        (Self { child, path: path.into() }, address)
    }

    /// With SIGTERM, as an operator ends it, or with SIGKILL, as a lack of memory does.
    async fn end(&mut self, kill: bool) -> Result<(), String> {
        if kill {
            self.child.kill().map_err(|error| error.to_string())?;
        } else {
            let pid = self.child.id().to_string();
            Command::new("kill").args(["-TERM", &pid]).status().map_err(|error| error.to_string())?;
        }
        loop {
            if let Some(status) = self.child.try_wait().map_err(|error| error.to_string())? {
                return if kill || status.success() {
                    Ok(())
                } else {
                    Err(format!("the hub ended with {status}"))
                };
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Hub {
    /// The program at `path`, or the library.
    pub(crate) async fn start(path: Option<String>, shards: NonZeroU8) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (inner, address) = match path {
            Some(path) => {
                let (program, address) = Program::start(&path, any, shards);
                (Inner::Program(program), address)
            }
            None => {
                let (library, address) = Library::start(any, shards, Arc::default()).await;
                (Inner::Library(library), address)
            }
        };
        Self { address, shards, inner }
    }

    pub(crate) async fn end(&mut self, kill: bool) -> Result<(), String> {
        match &mut self.inner {
            Inner::Library(library) => library.end(Duration::from_millis(if kill { 0 } else { 300 })).await,
            Inner::Program(program) => program.end(kill).await,
        }
    }

    /// Ends it, and another one takes its place.
    pub(crate) async fn restart(&mut self, kill: bool) -> Result<(), String> {
        self.end(kill).await?;
        match &mut self.inner {
            Inner::Library(library) => {
                let door = library.door.clone();
                *library = Library::start(self.address, self.shards, door).await.0;
            }
            Inner::Program(program) => {
                let path = program.path.clone();
                *program = Program::start(&path, self.address, self.shards).0;
            }
        }
        Ok(())
    }

    pub(crate) fn door(&self) -> Option<&Arc<Door>> {
        match &self.inner {
            Inner::Library(library) => Some(&library.door),
            Inner::Program(_) => None,
        }
    }

    /// Closes one connection or other with a code of the hub's.
    pub(crate) fn close_one(&self, random: &mut Random) -> Option<u16> {
        let links = self.door()?.links.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ids: Vec<&LinkId> = links.keys().collect();
        ids.sort_unstable();
        if ids.is_empty() {
            return None;
        }
        let code = *random.pick(&[1001, 1011, 1012, 1013]);
        links[*random.pick(&ids)].disconnect(code, "");
        Some(code)
    }

    pub(crate) fn stats(&self) -> Option<Stats> {
        match &self.inner {
            Inner::Library(library) => Some(library.target.stats()),
            Inner::Program(_) => None,
        }
    }

    /// Waits until its counters are as they must be.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&Stats) -> bool) -> Result<(), String> {
        for _ in 0..3000 {
            match self.stats() {
                Some(stats) if !is_so(&stats) => tokio::time::sleep(Duration::from_millis(5)).await,
                _ => return Ok(()),
            }
        }
        Err(format!("the hub: {what}: {:?}", self.stats()))
    }
}
