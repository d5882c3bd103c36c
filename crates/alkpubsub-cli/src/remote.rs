//! What `pub` and `sub` say and trust when they connect.

use crate::failure::Failure;
use crate::iroh;
use crate::link::{Address, Way};
use crate::values::KeyFile;
use alkpubsub::{ConnectError, HandshakeOptions, RequestHeader, TlsRoots};
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

#[derive(Debug, clap::Args)]
pub(crate) struct Remote {
    /// A header of the request that opens the connection, as in 'Authorization: Bearer …'; `@FILE` reads some, one a
    /// line, which keeps them out of the list of processes. May be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<Words>,
    /// For `redis:` and `rediss:`: what channels begin with, ahead of the topic.
    #[arg(long, value_name = "PREFIX", default_value = "", hide_default_value = true)]
    redis_prefix: String,
    /// For `wss:`: trust the authorities in this PEM file, in place of the system's.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// For `iroh:`: the file of the secret key by which the hub knows this end, as for `alkpubsub id`; made if there is
    /// none. Without a file the key is another one each time.
    #[arg(long, value_name = "FILE", default_value_t = KeyFile::default(), hide_default_value = true)]
    iroh_key: KeyFile,
}

/// What may hold a token: it is read by us alone, and shown nowhere.
#[derive(Clone)]
struct Words(String);

impl FromStr for Words {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Remote {
    /// The way to a hub, as all this says. What would be ignored at this URL is refused.
    pub(crate) async fn way<'u>(&self, url: &'u str) -> Result<Way<'u>, Failure> {
        let address = Address::of(url)?;
        self.check(url, address)?;
        Ok(match address {
            Address::WebSocket(url) => Way::WebSocket(url, self.handshake()?),
            Address::Unix(path) => Way::Unix(path),
            Address::Redis(url) => Way::Redis(url, self.redis_prefix.clone()),
            Address::Iroh(url) => Way::Iroh(Box::new(iroh::Way::to(url, self.iroh_key.path()).await?)),
        })
    }

    fn check(&self, url: &str, address: Address<'_>) -> Result<(), Failure> {
        let plain = url.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("ws:"));
        let is_told = self.ca.is_some() || !self.header.is_empty();
        Err(wrong(match address {
            _ if plain && self.ca.is_some() => {
                "--ca is about `wss:`, and this URL begins with `ws:`, which has no TLS"
            }
            Address::Unix(_) if is_told => {
                "--ca and --header are about `ws:` and `wss:`; a Unix socket has no TLS and no headers"
            }
            Address::Redis(_) if is_told => {
                "--ca and --header are about `ws:` and `wss:`; for `rediss:` the system's authorities are trusted"
            }
            Address::Iroh(_) if is_told => {
                "--ca and --header are about `ws:` and `wss:`; over iroh each end is known by its key"
            }
            Address::WebSocket(_) | Address::Unix(_) | Address::Iroh(_) if !self.redis_prefix.is_empty() => {
                "--redis-prefix is about `redis:` and `rediss:`"
            }
            Address::WebSocket(_) | Address::Unix(_) | Address::Redis(_)
                if self.iroh_key.path().is_some() =>
            {
                "--iroh-key is about `iroh:`"
            }
            _ => return Ok(()),
        }))
    }

    fn handshake(&self) -> Result<HandshakeOptions, Failure> {
        let mut options = HandshakeOptions::DEFAULT;
        for words in &self.header {
            let Some(file) = words.0.strip_prefix('@') else {
                options.headers.push(header(&words.0).map_err(|why| wrong(&format!("--header: {why}")))?);
                continue;
            };
            let text =
                fs::read_to_string(file).map_err(|error| wrong(&format!("--header @{file}: {error}")))?;
            for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let header = header(line).map_err(|why| wrong(&format!("{file}:{}: {why}", at + 1)))?;
                options.headers.push(header);
            }
        }
        if let Some(file) = &self.ca {
            let of_file = |why: &dyn fmt::Display| wrong(&format!("--ca {}: {why}", file.display()));
            let pem = fs::read(file).map_err(|error| of_file(&error))?;
            options.tls_roots = TlsRoots::pem(pem).map_err(|problem| of_file(&problem))?;
        }
        Ok(options)
    }

    /// Why there is no connection.
    pub(crate) fn failure(&self, error: &ConnectError, way: &Way<'_>) -> Failure {
        Failure::connect(error, self.ca.is_some(), &way.hint())
    }
}

fn wrong(words: &str) -> Failure {
    Failure::input(words.into())
}

fn header(text: &str) -> Result<RequestHeader, String> {
    let (name, value) = text
        .split_once(':')
        .ok_or("a header is a name, a colon and a value, as in 'Authorization: Bearer …'")?;
    RequestHeader::new(name, value).map_err(|error| error.to_string())
}
