//! `hub --redis`: what is between this hub and others.

use crate::config::Loaded;
use crate::failure::Failure;
use alkpubsub::redis::{RedisEventTarget, RedisOptions};
use alkpubsub::websocket_server::HubLimits;
use alkpubsub::{ConnectError, EventTarget};
use std::sync::Arc;
use std::time::Duration;

/// How long the first connection may take to come about before the hub serves without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often Redis is asked whether it is there, and how long it may take to answer: a spoke whose subscription waits for
/// Redis gives the hub up after 8 s.
const HEARTBEAT: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(3));
/// The longest wait between two attempts: out is worse for everybody than a Redis that is asked a little more often.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// What the last events have to leave.
const GOODBYE: Duration = Duration::from_secs(2);

/// The connection to Redis, where one is asked for. Without a Redis that answers, the hub begins alone.
pub(crate) async fn connect(
    loaded: &Loaded,
    limits: &HubLimits,
) -> Result<Option<Arc<RedisEventTarget>>, Failure> {
    let (Some(url), prefix) = (loaded.options.redis.url(), &loaded.options.redis_prefix) else {
        return Ok(None);
    };
    let mut options = RedisOptions::new();
    options.prefix.clone_from(prefix);
    options.spoke.message = limits.message;
    options.spoke.link.max_topic = limits.max_topic;
    options.spoke.connect_timeout = PATIENCE;
    options.spoke.backoff.max = MAX_WAIT;
    (options.spoke.heartbeat.interval, options.spoke.heartbeat.timeout) = HEARTBEAT;
    let target = match RedisEventTarget::connect(url, options.clone()).await {
        Err(error @ (ConnectError::BadUrl { .. } | ConnectError::NotLetIn { .. })) => Err(error),
        Err(error) => {
            tracing::warn!(%error, "the hub begins without Redis, and goes on trying");
            RedisEventTarget::connecting(url, options)
        }
        connected => connected,
    };
    let named = loaded.naming("redis");
    target.map(|target| Some(Arc::new(target))).map_err(|error| match error {
        ConnectError::NotLetIn { .. } => Failure::refused(format!("{named}: {error}")),
        _ => Failure::input(format!("{named}: {error}")),
    })
}

/// Lets what was published last leave.
pub(crate) async fn leave(redis: &RedisEventTarget) {
    if let Err(error) = redis.disconnect(GOODBYE).await {
        tracing::warn!(%error, "the last events may not have reached Redis");
    }
    let stats = redis.stats();
    tracing::info!(
        published = stats.sent,
        received = stats.received,
        dropped = stats.dropped,
        denied = stats.denied,
        bad_input = stats.bad_input,
        connections = stats.connections,
        "Redis: counters"
    );
}
