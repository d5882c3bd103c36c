//! A child process as the other end of a link, over its standard input and output.

mod failure;
mod host;
mod message;
mod options;
mod process;
mod socket;
mod stderr;
mod stdio;
mod worker;

pub use failure::{ProcessFailure, SpawnError};
pub use host::ProcessHostEventTarget;
pub use options::{ChildStderr, ProcessOptions};
pub use worker::{StdioError, WorkerProcessEventTarget};
