//! The readers of what peers send, beside second ones that were written to be right and not to be fast.
//!
//! proptest prints the seed and the shortest case of a failure. `fuzz/` runs the same comparisons on other input.

mod check;
mod length_prefix;
mod naive_frames;
mod naive_json;
