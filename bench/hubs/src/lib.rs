//! What the benchmarks of hubs share.
