//! The reference target's fixture.

use super::{Fixture, Peers};
use crate::event_target::{BoxFuture, Capabilities, EventTarget};
use crate::in_process::InProcess;
use std::sync::Arc;

/// One memory: the same target publishes and hears.
#[derive(Clone, Copy, Debug, Default)]
pub struct InProcessFixture;

impl Fixture for InProcessFixture {
    fn capabilities(&self) -> Capabilities {
        InProcess::new().capabilities()
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, String>> {
        let target: Arc<dyn EventTarget> = Arc::new(InProcess::new());
        Box::pin(std::future::ready(Ok(Peers::new(target.clone(), vec![target]))))
    }
}
