//! The conformance suite through a redis-server of each law's own: between targets, of which the first subscriber's connection
//! can be cut; and between hubs, each with its own spoke.

mod support;

use alkpubsub::conformance::{self, Fixture, Offers, Peers};
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::websocket_server::ServerOptions;
use alkpubsub::{
    BoxFuture, Capabilities, Carries, EventTarget, Lifetime, Order, WebSocketClientEventTarget,
    WebSocketServerEventTarget,
};
use std::num::NonZeroU8;
use std::sync::Arc;
use std::time::Duration;
use support::line::Line;
use support::redis::RedisServer;
use tokio::net::TcpListener;

alkpubsub::conformance_tests!(redis, ThroughRedis);
alkpubsub::conformance_tests!(hubs_behind_redis, HubsBehindRedis);

#[test]
fn matrix() {
    conformance::matrix_column(&support::docs("matrix.md"), "redis", &ThroughRedis);
    conformance::matrix_column(&support::docs("matrix.md"), "hubs_behind_redis", &HubsBehindRedis);
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

type Made = Result<Peers, Box<dyn std::error::Error + Send + Sync>>;

async fn peers() -> Made {
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

struct HubsBehindRedis;

impl Fixture for HubsBehindRedis {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            echo: true,
            order: Order::Connection,
            carries: Carries::Json,
            lifetime: Lifetime::PerConnection,
            confirms: true,
        }
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        Box::pin(async { spokes().await.map_err(|error| error.to_string()) })
    }

    fn block_on(&self, law: BoxFuture<'_, ()>) {
        support::block_on(law);
    }
}

async fn spokes() -> Made {
    let server = RedisServer::start(&[]);
    let (mut targets, mut hubs): (Vec<Arc<dyn EventTarget>>, Vec<_>) = (Vec::new(), Vec::new());
    for shards in 1..=3 {
        let redis = Arc::new(RedisEventTarget::connect(&server.url(), RedisOptions::new()).await?);
        let options = ServerOptions::new().behind(redis).shards(NonZeroU8::new(shards).ok_or("no shard")?);
        let hub = Arc::new(WebSocketServerEventTarget::try_new(options)?);
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("ws://{}/", listener.local_addr()?);
        let serving = hub.clone();
        tokio::spawn(async move { serving.serve(listener).await });
        targets.push(Arc::new(WebSocketClientEventTarget::connect(&url).await?));
        hubs.push(hub);
    }
    let publisher = targets.pop().ok_or("no publisher")?;
    Ok(Peers::new(publisher, targets).keeping((server, hubs)))
}
