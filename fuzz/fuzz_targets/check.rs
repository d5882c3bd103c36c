//! `protocol::check` beside the naive reader of the tests, and serde_json beside both.
//!
//! The first byte chooses the limits, the rest is the message.

#![no_main]

#[path = "../../crates/alkpubsub/tests/differential/naive_json.rs"]
mod naive_json;

use alkpubsub::protocol::check::{MessageLimits, parts};
use alkpubsub::protocol::control;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&choice, message)) = input.split_first() else { return };
    let mut limits = MessageLimits::DEFAULT;
    if choice & 1 == 1 {
        limits.max_depth = usize::from(choice >> 1) % 16;
        limits.max_message = usize::from(choice >> 1) * 4;
    }
    naive_json::compare(message, &limits);
    // From parts to verdict: nothing to compare with, but no panic.
    if let Ok(parts) = parts(message, &limits) {
        _ = control::read(&parts);
    }
});
