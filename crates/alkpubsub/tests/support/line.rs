//! A connection that can be cut.

use alkpubsub::BoxFuture;
use alkpubsub::conformance::Fault;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Passes bytes between a target and its far side.
pub(crate) struct Line {
    whole: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

impl Line {
    pub(crate) fn lay(listener: TcpListener, to: String) -> Arc<Self> {
        let (whole, is_whole) = watch::channel(true);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut passing = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, mut is_whole) = (to.clone(), is_whole.clone());
                passing.spawn(async move {
                    if !*is_whole.borrow() {
                        return;
                    }
                    // It may be away as well.
                    let Ok(mut far) = TcpStream::connect(to).await else { return };
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_whole.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Arc::new(Self { whole, _serving: serving })
    }
}

impl Fault for Line {
    fn cut(&self) -> BoxFuture<'_, ()> {
        self.whole.send_replace(false);
        Box::pin(std::future::ready(()))
    }

    fn heal(&self) -> BoxFuture<'_, ()> {
        self.whole.send_replace(true);
        Box::pin(std::future::ready(()))
    }
}
