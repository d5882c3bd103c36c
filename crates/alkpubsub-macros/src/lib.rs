//! `derive(Event)`.
