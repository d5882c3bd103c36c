//! A hub that relays nothing by itself, and a gateway on it: who may say what to whom is decided by a listener.
//!
//!     cargo run --example hub_gateway --features websocket-server
//!
//! Requests of anyone are heard; only those of connections with an identity are passed on, and the answer goes to
//! the one who asked. Everything is untyped: an envelope is passed on in the very bytes in which it came.

use alkpubsub::websocket_server::{HubHooks, ServerOptions, Spoke};
use alkpubsub::{CloseReason, EventEnvelope, EventTarget, LinkId, WebSocketServerEventTarget};
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex};
use tokio::io::DuplexStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::{Message, protocol::Role};

/// The connections there are, by the id that their events name as their source.
#[derive(Clone, Default)]
struct Members(Arc<Mutex<HashMap<LinkId, Arc<Spoke>>>>);

impl Members {
    fn find(&self, link: LinkId) -> Option<Arc<Spoke>> {
        self.0.lock().expect("nobody panics with it").get(&link).cloned()
    }
}

impl HubHooks for Members {
    fn connected(&self, spoke: &Arc<Spoke>) {
        self.0.lock().expect("nobody panics with it").insert(spoke.id(), spoke.clone());
    }

    fn disconnected(&self, spoke: &Arc<Spoke>, _: &CloseReason) {
        self.0.lock().expect("nobody panics with it").remove(&spoke.id());
    }
}

/// Passes the requests of known connections on, and tells the others why not.
fn guard(hub: &Arc<WebSocketServerEventTarget>, members: Members) -> Result<(), Box<dyn Error>> {
    let gateway = Arc::downgrade(hub);
    let decide = move |event: &EventEnvelope| {
        let (Some(hub), Some(sender)) =
            (gateway.upgrade(), event.source().and_then(|link| members.find(link)))
        else {
            return;
        };
        let passed = match sender.identity() {
            // A clone shares the text it came in.
            Some(_) => hub.dispatch_event(event.clone()),
            None => EventEnvelope::new("door.refused", event.id(), &"who are you?")
                .map_or(Ok(()), |refusal| sender.dispatch_event(refusal)),
        };
        if let Err(error) = passed {
            eprintln!("{event:?} was not passed on: {error}");
        }
    };
    hub.add_event_listener("door.open:front", Arc::new(decide))?;
    Ok(())
}

type Socket = WebSocketStream<DuplexStream>;

/// A spoke in this process; over a network the identity would come from the connection's token or key.
async fn join(
    hub: &WebSocketServerEventTarget,
    identity: Option<&str>,
    topics: &[&str],
) -> Result<Socket, Box<dyn Error>> {
    let (near, far) = tokio::io::duplex(4096);
    hub.add_connection(near, identity).await?;
    let mut socket = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
    for topic in topics {
        let ask = EventEnvelope::parse(format!(
            r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#
        ))?;
        socket.send(Message::text(ask.to_json()?)).await?;
        hear(&mut socket).await?;
    }
    Ok(socket)
}

async fn hear(socket: &mut Socket) -> Result<String, Box<dyn Error>> {
    let message = socket.next().await.ok_or("the hub closed")??;
    Ok(message.into_text()?.to_string())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let members = Members::default();
    let hub = Arc::new(WebSocketServerEventTarget::new(ServerOptions::new().hooks(members.clone())));
    guard(&hub, members)?;

    let mut door = join(&hub, Some("door"), &["door.open:front"]).await?;
    let mut stranger = join(&hub, None, &["door.open:front"]).await?;
    let mut ann = join(&hub, Some("ann"), &[]).await?;

    stranger.send(Message::text(r#"{"type":"door.open","id":"front","payload":{"please":false}}"#)).await?;
    println!("stranger: {}", hear(&mut stranger).await?);
    ann.send(Message::text(r#"{"type":"door.open","id":"front","payload":{ "please": true, "n": 1e400 }}"#))
        .await?;
    println!("door:     {}", hear(&mut door).await?);

    // Those who are gone let the hub's goodbye be short.
    drop((door, stranger, ann));
    hub.close();
    println!("closed:   {}", hub.closed().await);
    Ok(())
}
