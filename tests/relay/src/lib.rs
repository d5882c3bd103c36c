//! A relay server of iroh's, over plain HTTP: for tests, which have no internet.

use iroh_relay::server::{RelayConfig, Server, ServerConfig};
use std::error::Error;
use std::net::SocketAddr;

/// It ends with this value.
#[derive(Debug)]
pub struct Relay {
    server: Server,
    address: SocketAddr,
}

impl Relay {
    /// Listens there; port 0 takes a free one.
    ///
    /// # Errors
    /// What iroh says, as where the address is somebody else's.
    pub async fn listen(at: SocketAddr) -> Result<Self, Box<dyn Error>> {
        let mut config = ServerConfig::default();
        config.relay = Some(RelayConfig::new(at));
        let server = Server::spawn(config).await?;
        let address = server.http_addr().ok_or("it listens nowhere")?;
        Ok(Self { server, address })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// As endpoints are told of it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Ends it, and its connections; the address is free afterwards.
    ///
    /// # Errors
    /// What of it went wrong before.
    pub async fn shutdown(self) -> Result<(), Box<dyn Error>> {
        Ok(self.server.shutdown().await?)
    }
}
