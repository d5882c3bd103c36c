//! What the programs of this package share: the frames, the messages, and what the kernel says of a process.

pub mod frame;
pub mod message;
pub mod process;
