//! A peer that is none of ours: it sends what is wrong, and valid events between.

use crate::ledger::{Source, TopicNumber};
use crate::world::World;
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finale {
    TooLarge,
    NotUtf8,
    HundredBad,
    Reserved,
    Unmasked,
    Vanishes,
    HalfAFrame,
    Closes,
}

impl Finale {
    pub(crate) const ALL: [Self; 8] = [
        Self::TooLarge,
        Self::NotUtf8,
        Self::HundredBad,
        Self::Reserved,
        Self::Unmasked,
        Self::Vanishes,
        Self::HalfAFrame,
        Self::Closes,
    ];

    fn code(self) -> Option<u16> {
        match self {
            Self::TooLarge => Some(1009),
            Self::NotUtf8 | Self::HundredBad => Some(1007),
            Self::Reserved | Self::Unmasked => Some(1002),
            Self::Closes => Some(1000),
            Self::Vanishes | Self::HalfAFrame => None,
        }
    }
}

fn bad_texts() -> Vec<String> {
    let nested = format!(r#"{{"type":"a","id":"b","payload":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let texts = [
        "",
        "{",
        "[]",
        r#"{"type":"a","id":"b","payload":1} x"#,
        "\u{feff}{\"type\":\"a\",\"id\":\"b\"}",
        r#"{"type":"a"}"#,
        r#"{"type":1,"id":"b"}"#,
        r#"{"type":"","id":"b"}"#,
        r#"{"type":"a","t\u0079pe":"a","id":"b"}"#,
        r#"{"type":"\ud800","id":"b"}"#,
        r#"{"type":"a","id":"b","__x":1}"#,
        r#"{"type":"__subscribe","id":"","payload":{"topic":1}}"#,
        r#"{"type":"__what","id":"","payload":{}}"#,
        r#"{"type":"__subscribed","id":"","payload":{"topic":"a:b"}}"#,
    ];
    texts.into_iter().map(str::to_owned).chain([nested]).collect()
}

pub(crate) struct Raw {
    pub(crate) world: Arc<World>,
    pub(crate) address: SocketAddr,
    pub(crate) number: u64,
    pub(crate) topics: Vec<TopicNumber>,
    pub(crate) events: u64,
    pub(crate) finale: Finale,
    /// Whether connections may break at any time, as the hub is ended meanwhile.
    pub(crate) disturbed: bool,
}

/// Why it went otherwise than planned.
enum Trouble {
    /// The hub closed with this code, or the connection broke.
    Ended(Option<u16>),
    Wrong(String),
}

impl Raw {
    pub(crate) async fn run(self) {
        let who = format!("raw {}", self.number);
        let told = tokio::time::timeout(Duration::from_secs(30), self.talk(&who)).await;
        let why = match told {
            Ok(Ok(())) => return,
            Err(_) => "it takes too long".into(),
            Ok(Err(Trouble::Wrong(why))) => why,
            // What the hub closes at random may be this connection.
            Ok(Err(Trouble::Ended(Some(1001 | 1011 | 1012 | 1013)))) => return,
            Ok(Err(Trouble::Ended(_))) if self.disturbed => return,
            Ok(Err(Trouble::Ended(code))) => format!("it ended with {code:?}"),
        };
        self.world.fail(&who, None, &format!("{:?}: {why}", self.finale));
    }

    async fn talk(&self, who: &str) -> Result<(), Trouble> {
        let broken = |_| Trouble::Ended(None);
        let stream = TcpStream::connect(self.address).await.map_err(|_| Trouble::Ended(None))?;
        let url = format!("ws://{}/", self.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.map_err(broken)?;
        let mut send = Vec::new();
        for topic in &self.topics {
            let name = self.world.topics[*topic].name();
            self.world.did(who, format_args!("subscribes {name} "));
            send.push(format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{name}"}}}}"#));
        }
        send.extend(bad_texts());
        for text in send {
            socket.send(Message::text(text)).await.map_err(broken)?;
        }
        let source = Source { publisher: self.number, life: 1 };
        for _ in 0..self.events {
            for topic in &self.topics {
                let number = self.world.ledger.calls(*topic, source);
                let event = self.world.event(*topic, source, number, 10);
                let text = event.to_json().expect("JSON").to_owned();
                socket.send(Message::binary(text)).await.map_err(broken)?;
                self.world.did(who, format_args!("published {} {number}", self.world.topics[*topic].name()));
            }
        }
        let ping = r#"{"type":"__ping","id":"","payload":{"n":7}}"#;
        socket.send(Message::text(ping)).await.map_err(broken)?;
        self.until(&mut socket, |text| text.starts_with(r#"{"type":"__pong""#)).await?;
        match self.finale {
            Finale::TooLarge => {
                socket.send(Message::text("x".repeat(64 * 1024 + 1))).await.map_err(broken)?
            }
            Finale::NotUtf8 => bytes(&mut socket, &[0x81, 0x81, 0, 0, 0, 0, 0xff]).await?,
            Finale::HundredBad => {
                for _ in 0..100 {
                    bytes(&mut socket, &[0x81, 0x81, 0, 0, 0, 0, b'{']).await?;
                }
            }
            Finale::Reserved => bytes(&mut socket, &[0x83, 0x80, 0, 0, 0, 0]).await?,
            Finale::Unmasked => bytes(&mut socket, &[0x81, 0x01, b'x']).await?,
            Finale::HalfAFrame => bytes(&mut socket, &[0x81, 0xfe, 0x10, 0x00, 0, 0, 0, 0, b'x']).await?,
            Finale::Vanishes => {}
            Finale::Closes => {
                let frame = tokio_tungstenite::tungstenite::protocol::CloseFrame {
                    code: 1000.into(),
                    reason: "".into(),
                };
                socket.close(Some(frame)).await.map_err(broken)?;
            }
        }
        match (self.finale.code(), self.finale.code().map(|_| self.until(&mut socket, |_| false))) {
            (Some(code), Some(until)) => match until.await {
                Err(Trouble::Ended(Some(with))) if with == code => Ok(()),
                Err(trouble) => Err(trouble),
                Ok(()) => Err(Trouble::Wrong("it goes on".into())),
            },
            _ => Ok(()),
        }
    }

    async fn until(
        &self,
        socket: &mut WebSocketStream<TcpStream>,
        found: impl Fn(&str) -> bool,
    ) -> Result<(), Trouble> {
        loop {
            match socket.next().await {
                Some(Ok(Message::Text(text))) if found(&text) => return Ok(()),
                Some(Ok(Message::Text(text))) => {
                    let strange = !["{\"type\":\"t\"", "{\"type\":\"fickle\"", "{\"type\":\"__"]
                        .iter()
                        .any(|begin| text.starts_with(begin));
                    if strange {
                        return Err(Trouble::Wrong(format!("it hears {text}")));
                    }
                }
                Some(Ok(Message::Close(frame))) => {
                    return Err(Trouble::Ended(frame.map(|frame| frame.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Err(Trouble::Ended(None)),
            }
        }
    }
}

async fn bytes(socket: &mut WebSocketStream<TcpStream>, bytes: &[u8]) -> Result<(), Trouble> {
    socket.get_mut().write_all(bytes).await.map_err(|_| Trouble::Ended(None))
}
