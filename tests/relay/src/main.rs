//! `alkpubsub-test-relay [HOST:PORT]`: a relay on this machine, until its standard input ends.

use alkpubsub_test_relay::Relay;
use std::error::Error;
use tokio::io::{AsyncReadExt, stdin};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let at = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".into());
    let relay = Relay::listen(at.parse()?).await?;
    println!("listening on {}", relay.url());
    while stdin().read(&mut [0; 64]).await? > 0 {}
    relay.shutdown().await
}
