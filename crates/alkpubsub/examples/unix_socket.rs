//! One hub with two faces: a spoke on a Unix socket and one over a WebSocket hear each other.
//!
//!     cargo run --example unix_socket --features unix-socket,websocket-client,websocket-server

#[cfg(unix)]
#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    use alkpubsub::unix_socket::UnixSocketListener;
    use alkpubsub::websocket_server::ServerOptions;
    use alkpubsub::{ByteStreamHubEventTarget, PubSub, Spoke, SpokeOptions, WebSocketServerEventTarget};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::net::TcpListener;

    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().relay()));
    let streams = ByteStreamHubEventTarget::of(hub.share());

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("ws://{}/", listener.local_addr()?);
    let websockets = hub.clone();
    tokio::spawn(async move { websockets.serve(listener).await });

    let directory = std::env::temp_dir().join(format!("alkpubsub-example-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let path = directory.join("hub.sock");
    // The file is this user's alone, and goes with the listener.
    let sockets = UnixSocketListener::bind(&path)?;
    let serving = tokio::spawn(async move { sockets.serve(&streams).await });
    println!("a hub on {url} and unix:{}", path.display());

    let here = PubSub::new(Spoke::unix(&path, SpokeOptions::DEFAULT).await?);
    let there = PubSub::new(Spoke::connect(&url).await?);
    let mut heard_here = here.subscribe_envelopes("greeting", "").await?.events();
    let mut heard_there = there.subscribe_envelopes("greeting", "").await?.events();
    here.publish_json("greeting", "", &"from the Unix socket").await?;
    println!("over the WebSocket: {:?}", heard_there.next().await.map(|event| event.payload::<String>()));
    there.publish_json("greeting", "", &"from the WebSocket").await?;
    // A spoke that subscribed hears its own, too.
    for _ in 0..2 {
        println!("on the Unix socket: {:?}", heard_here.next().await.map(|event| event.payload::<String>()));
    }

    // Either face ends the hub.
    hub.shutdown(Duration::from_secs(5)).await;
    serving.await??;
    std::fs::remove_dir_all(directory)?;
    Ok(())
}

#[cfg(not(unix))]
fn main() {
    println!("there are no Unix sockets on this system");
}
