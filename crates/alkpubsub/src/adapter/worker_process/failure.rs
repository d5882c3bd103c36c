//! What goes wrong with a child.

use crate::protocol::length_prefix::LengthPrefixError;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// The child could not be started.
#[derive(Debug, thiserror::Error)]
#[error("cannot start {program:?}: {source}")]
#[non_exhaustive]
pub struct SpawnError {
    /// The program, as the command names it.
    pub program: String,
    /// What the system said.
    pub source: io::Error,
}

/// How a child failed its host; its words are those of the [`CloseReason`](crate::CloseReason).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessFailure {
    /// It exited without a `__close`.
    #[error("the child exited with code {code}, without a `__close`{}", within(*within_frame))]
    Exited {
        /// Its exit code; 0 is one, too.
        code: i32,
        /// It had begun a frame.
        within_frame: bool,
    },
    /// A signal ended it.
    #[error("the child was killed by {}{}", signal_words(*signal), within(*within_frame))]
    Signalled {
        /// The signal's number.
        signal: i32,
        /// It had begun a frame.
        within_frame: bool,
    },
    /// It lives, but what it wrote to its standard output is text and no frames.
    #[error(
        "the child wrote text to its standard output, where frames belong; it begins with {begins:?}. Print to standard error instead"
    )]
    Text {
        /// The first four bytes, which stand where a length should.
        begins: String,
    },
    /// What it wrote to its standard output are no frames.
    #[error("what the child wrote to its standard output is no frame: {0}")]
    Frame(LengthPrefixError),
    /// It lives, but closed its standard output without a `__close`.
    #[error("the child closed its standard output without a `__close`, and lives on{}", within(*within_frame))]
    ClosedOutput {
        /// It had begun a frame.
        within_frame: bool,
    },
    /// It lives, but closed its standard input.
    #[error("the child closed its standard input, and lives on")]
    ClosedInput,
    /// It lives, but answers no ping: it never read its standard input, is stopped, or hangs.
    #[error("the child answers no ping")]
    Unresponsive,
    /// What became of it is not known.
    #[error("what became of the child is not known")]
    Unknown,
}

impl ProcessFailure {
    pub(super) fn ended(status: Option<ExitStatus>, within_frame: bool) -> Self {
        let Some(status) = status else { return Self::Unknown };
        match (status.code(), status.signal()) {
            (Some(code), _) => Self::Exited { code, within_frame },
            (None, Some(signal)) => Self::Signalled { signal, within_frame },
            (None, None) => Self::Unknown,
        }
    }

    pub(super) fn bad_frame(error: LengthPrefixError) -> Self {
        if let LengthPrefixError::TooLarge { length, .. } = error
            && let Ok(length) = u32::try_from(length)
        {
            let bytes = length.to_be_bytes();
            if bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace()) {
                return Self::Text { begins: bytes.map(char::from).iter().collect() };
            }
        }
        Self::Frame(error)
    }

    pub(super) fn close_code(&self) -> Option<u16> {
        match self {
            Self::Text { .. } => Some(1002),
            Self::Frame(error) => Some(error.close_code()),
            _ => None,
        }
    }
}

fn within(within_frame: bool) -> &'static str {
    if within_frame { ", within a frame" } else { "" }
}

/// As the standard library has it, with the signal's name: `signal: 9 (SIGKILL)`.
fn signal_words(signal: i32) -> String {
    ExitStatus::from_raw(signal).to_string().replace("signal: ", "signal ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_place_of_a_length_is_told_from_a_length() {
        let begins = u32::from_be_bytes(*b"Hell") as usize;
        let text = ProcessFailure::bad_frame(LengthPrefixError::TooLarge { length: begins, limit: 65_536 });
        assert_eq!(text, ProcessFailure::Text { begins: "Hell".into() });
        assert_eq!(text.close_code(), Some(1002));
        let announced = LengthPrefixError::TooLarge { length: u32::MAX as usize, limit: 65_536 };
        assert_eq!(ProcessFailure::bad_frame(announced), ProcessFailure::Frame(announced));
        assert_eq!(ProcessFailure::bad_frame(announced).close_code(), Some(1009));
    }

    #[test]
    fn codes_and_signals_are_told_apart_by_name() {
        let words = |raw| ProcessFailure::ended(Some(ExitStatus::from_raw(raw)), false).to_string();
        assert_eq!(words(0), "the child exited with code 0, without a `__close`");
        assert_eq!(words(3 << 8), "the child exited with code 3, without a `__close`");
        assert_eq!(words(9), "the child was killed by signal 9 (SIGKILL)");
    }
}
