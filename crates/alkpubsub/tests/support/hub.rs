//! A raw hub, whose every message is scripted.

use super::RawPeer;
use alkpubsub::BoxFuture;
use alkpubsub::conformance::{FarSide, Fault, RawMessage, Wire};
use std::sync::{Arc, Mutex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// A hub of one spoke at a time, on one wire.
pub(crate) struct RawHub {
    pub(crate) wire: Arc<Wire>,
    pub(crate) now: watch::Sender<Option<Arc<RawPeer>>>,
    pub(crate) open: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

impl RawHub {
    /// `shake` makes a connection of what was accepted, `adopt` a raw peer of that.
    pub(crate) fn serve<S, F, T>(
        listener: TcpListener,
        shake: S,
        adopt: fn(Arc<Wire>, mpsc::UnboundedReceiver<RawMessage>, T) -> Arc<RawPeer>,
    ) -> Arc<Self>
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = Option<T>> + Send,
        T: Send + 'static,
    {
        let to_send: Arc<Mutex<Option<mpsc::UnboundedSender<RawMessage>>>> = Arc::default();
        let wire = {
            let to_send = to_send.clone();
            Wire::new(FarSide::Hub, move |message| {
                if let Some(to_send) = &*to_send.lock().unwrap() {
                    let _ = to_send.send(message);
                }
            })
        };
        let now = watch::Sender::new(None);
        let (open, opened) = watch::channel(true);
        let mut serving = JoinSet::new();
        let (at, on) = (now.clone(), wire.clone());
        serving.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if !*opened.borrow() {
                    continue;
                }
                stream.set_nodelay(true).expect("a socket");
                let Some(socket) = shake(stream).await else { continue };
                let (sender, sending) = mpsc::unbounded_channel();
                *to_send.lock().unwrap() = Some(sender);
                // Under its lock: a law that hears of the connection may cut it at once.
                at.send_modify(|at| *at = Some(adopt(on.clone(), sending, socket)));
            }
        });
        Arc::new(Self { wire, now, open, _serving: serving })
    }

    fn now(&self) -> Arc<RawPeer> {
        self.now.borrow().clone().expect("a connection")
    }
}

impl Fault for RawHub {
    fn cut(&self) -> BoxFuture<'_, ()> {
        self.open.send_replace(false);
        Box::pin(async { self.now().cut().await })
    }

    fn heal(&self) -> BoxFuture<'_, ()> {
        self.open.send_replace(true);
        Box::pin(std::future::ready(()))
    }

    fn stall(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.now().stall().await })
    }

    fn go_on(&self) -> BoxFuture<'_, ()> {
        Box::pin(async { self.now().go_on().await })
    }
}
