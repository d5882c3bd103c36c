//! Nothing is owed to anybody.

use super::Owed;
use crate::protocol::hub::LinkId;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(in crate::protocol::hub) struct Deferred(());

impl Deferred {
    pub(in crate::protocol::hub) fn holds(&self, _: LinkId) -> bool {
        false
    }

    pub(in crate::protocol::hub) fn will_hold(&self, _: LinkId, _: &str) -> Option<bool> {
        None
    }

    pub(in crate::protocol::hub) fn will_hold_count(&self, _: LinkId) -> Option<usize> {
        None
    }

    pub(in crate::protocol::hub) fn open(&mut self, _: LinkId, _: &str, _: (bool, usize), _: Option<u64>) {}

    pub(in crate::protocol::hub) fn put(&mut self, _: LinkId, owed: Owed, _: bool) -> Option<Owed> {
        Some(owed)
    }

    pub(in crate::protocol::hub) fn forget(&mut self, _: LinkId) -> Vec<Arc<str>> {
        Vec::new()
    }
}
