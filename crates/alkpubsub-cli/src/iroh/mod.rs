//! Hubs and spokes that are found by their keys, where this build has iroh.

#[cfg(not(feature = "iroh"))]
mod absent;
#[cfg(feature = "iroh")]
mod hub;
#[cfg(feature = "iroh")]
mod key;
#[cfg(feature = "iroh")]
mod spoke;

#[cfg(not(feature = "iroh"))]
pub(crate) use absent::{Face, Way, id};
#[cfg(feature = "iroh")]
pub(crate) use {hub::Face, key::id, spoke::Way};
