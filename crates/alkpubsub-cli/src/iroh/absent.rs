//! What is said where this build has no iroh.
#![expect(clippy::unused_async, reason = "where there is iroh, they wait")]

use crate::config::Loaded;
use crate::failure::Failure;
use crate::link::Link;
use alkpubsub::hub::SharedHub;
use alkpubsub::{ByteStreamOptions, ConnectError, Spoke, SpokeOptions};
use std::path::Path;
use std::time::Duration;

fn lacking(what: &str) -> Failure {
    let what_to_do = "`cargo build --release --features iroh` builds one with it";
    Failure::input(format!("{what} needs iroh, and this program was built without; {what_to_do}"))
}

pub(crate) fn id(_: &Path) -> Result<String, Failure> {
    Err(lacking("`alkpubsub id`"))
}

/// There is none.
pub(crate) enum Face {}

impl Face {
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
    pub(crate) async fn to(_: &str, _: Option<&Path>) -> Result<Self, Failure> {
        Err(lacking("this URL"))
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
