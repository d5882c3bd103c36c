//! The locks and flags that threads share: those of the standard library, or loom's in their place.
//!
//! With `--cfg alkpubsub_loom`, tests named `loom_tests` run their threads in every order, and with every value that a
//! weakly ordered read may give (`./test loom`). Counters are no part of that: nothing is decided by them. Nor is
//! `Arc`, as loom's cannot hold a `dyn Listener`.

#[cfg(all(test, alkpubsub_loom))]
pub(crate) use loom::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, fence},
};
#[cfg(not(all(test, alkpubsub_loom)))]
pub(crate) use std::sync::{
    Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicBool, fence},
};
