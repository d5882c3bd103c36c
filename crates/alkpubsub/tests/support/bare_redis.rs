//! The bare library, to look at a redis-server from outside.

use redis::FromRedisValue;
use redis::aio::MultiplexedConnection;

pub(crate) async fn bare(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

pub(crate) async fn ask<T: FromRedisValue>(bare: &mut MultiplexedConnection, command: &[&str]) -> T {
    let mut words = redis::cmd(command[0]);
    words.arg(&command[1..]);
    words.query_async(bare).await.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// The ids of the connections of this kind, but for this one's.
pub(crate) async fn clients(bare: &mut MultiplexedConnection, kind: &str) -> Vec<String> {
    let list: String = ask(bare, &["CLIENT", "LIST", "TYPE", kind]).await;
    let own: i64 = ask(bare, &["CLIENT", "ID"]).await;
    let ids = list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next().map(String::from));
    ids.filter(|id| *id != own.to_string()).collect()
}
