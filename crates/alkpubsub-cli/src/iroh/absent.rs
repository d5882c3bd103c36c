//! What is said where this build has no iroh.

use crate::config::Loaded;
use crate::failure::Failure;
use crate::link::Link;
use alkpubsub::hub::SharedHub;
use alkpubsub::{ByteStreamOptions, ConnectError, Spoke, SpokeOptions};
use std::path::Path;
use std::time::Duration;

fn lacking(what: &str) -> Failure {
    Failure::input(format!(
        "{what}: this program was built without iroh; `cargo build --release --features iroh` has it"
    ))
}

pub(crate) fn id(_: &Path) -> Result<String, Failure> {
    Err(lacking("id"))
}

/// There is none.
pub(crate) enum Face {}

impl Face {
    #[expect(clippy::unused_async, reason = "where there is iroh, it waits")]
    pub(crate) async fn bind(loaded: &Loaded) -> Result<Option<Self>, Failure> {
        if loaded.options.iroh.0 { Err(lacking(&loaded.naming("iroh"))) } else { Ok(None) }
    }

    pub(crate) fn serve(&mut self, _: SharedHub) {
        match *self {}
    }

    pub(crate) async fn url(&self) -> String {
        match *self {}
    }

    pub(crate) async fn shutdown(&self, _: Duration) {
        match *self {}
    }
}

/// There is none.
pub(crate) enum Way {}

impl Way {
    #[expect(clippy::unused_async, reason = "where there is iroh, it waits")]
    pub(crate) async fn to(_: &str, _: Option<&Path>) -> Result<Self, Failure> {
        Err(lacking("iroh:"))
    }

    pub(crate) async fn spoke(&self, _: SpokeOptions) -> Result<Spoke, ConnectError> {
        match *self {}
    }

    pub(crate) async fn link(&self, _: ByteStreamOptions) -> Result<Link, ConnectError> {
        match *self {}
    }

    pub(crate) async fn close(&self) {
        match *self {}
    }
}
