//! A message between a host and its child; that of any byte stream, but for what fails.

use super::failure::ProcessFailure;
use crate::adapter::byte_stream::ByteStreamMessage;
use crate::adapter::link::{SocketInput, SocketMessage};
use bytestring::ByteString;

pub(super) struct ProcessMessage(pub(super) ByteStreamMessage);

impl SocketMessage for ProcessMessage {
    const CLOSES_BY_EVENT: bool = true;

    type Error = ProcessFailure;

    fn text(text: ByteString) -> Self {
        Self(ByteStreamMessage::text(text))
    }

    fn close(code: u16, reason: &str) -> Self {
        Self(ByteStreamMessage::close(code, reason))
    }

    fn read(self) -> SocketInput {
        self.0.read()
    }

    fn close_code(error: &ProcessFailure) -> Option<u16> {
        error.close_code()
    }
}
