//! Byte streams over Unix sockets: the file that they go by, and who may open it.

mod connect;
mod listener;

pub(crate) use connect::path_of;
pub use listener::{BindError, UnixSocketListener};
