//! The conformance suite through a redis-server of each law's own; the first subscriber's connection can be cut.

mod support;

use alkpubsub::conformance::{self, Fixture, Offers, Peers};
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::{BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order};
use std::sync::Arc;
use std::time::Duration;
use support::line::Line;
use support::redis::RedisServer;
use tokio::net::TcpListener;

alkpubsub::conformance_tests!(redis, ThroughRedis);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "redis", &ThroughRedis);
}

struct ThroughRedis;

impl Fixture for ThroughRedis {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::Outlives,
            confirms: true,
        }
    }

    fn offers(&self) -> Offers {
        Offers { cut: true, ..Offers::default() }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { peers().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn peers() -> Result<Peers, Box<dyn std::error::Error + Send + Sync>> {
    let server = RedisServer::start(&[]);
    let before = TcpListener::bind("127.0.0.1:0").await?;
    let cuttable = format!("redis://{}", before.local_addr()?);
    let line = Line::lay(before, format!("127.0.0.1:{}", server.port));
    let mut options = RedisOptions::new();
    options.prefix = "laws:".into();
    // Nobody else is at this server who would have to be spared.
    options.spoke.backoff.first = Duration::from_millis(1);
    options.spoke.backoff.max = Duration::from_millis(10);
    let mut targets: Vec<Arc<dyn EventTarget>> = Vec::new();
    for url in [&cuttable, &server.url(), &server.url()] {
        targets.push(Arc::new(RedisEventTarget::connect(url, options.clone()).await?));
    }
    let publisher = targets.pop().ok_or("no publisher")?;
    Ok(Peers::new(publisher, targets).with_fault(line).keeping(server))
}
