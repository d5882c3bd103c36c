//! Why the program ends otherwise than well: an exit code and one line that says what was wrong and what to do.

use crate::signals::Signal;
use alkpubsub::{CloseReason, ConnectError, DispatchError, MessageLimits, TlsProblem};
use std::fmt;
use std::process::ExitCode;

#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    line: String,
}

impl Failure {
    /// 1: the connection, or what carries it.
    pub(crate) fn connection(line: String) -> Self {
        Self { code: 1, line }
    }

    /// 2: what was given.
    pub(crate) fn input(line: String) -> Self {
        Self { code: 2, line }
    }

    /// 3: the hub said no.
    pub(crate) fn refused(line: String) -> Self {
        Self { code: 3, line }
    }

    /// 4: the time that was given has passed.
    pub(crate) fn timeout(line: String) -> Self {
        Self { code: 4, line }
    }

    /// 130 or 143: told once more to end, before it had ended in good order.
    pub(crate) fn cut_short(signal: Signal, line: String) -> Self {
        Self { code: signal.exit_code(), line }
    }

    /// The command line cannot be read. Clap says so in several paragraphs; here it is one line.
    pub(crate) fn of_usage(error: &clap::Error) -> Self {
        use clap::error::ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingSubcommand};
        if matches!(error.kind(), DisplayHelpOnMissingArgumentOrSubcommand | MissingSubcommand) {
            return Self::input(
                "say what to do: hub, pub, sub, id or completions; see `alkpubsub --help`".into(),
            );
        }
        let text = error.to_string();
        let told =
            text.split("\n\n").filter(|part| !part.starts_with("Usage:") && !part.starts_with("For more"));
        let words = |part: &str| part.split_whitespace().collect::<Vec<_>>().join(" ");
        let line = told.map(words).collect::<Vec<_>>().join("; ");
        let line = line.strip_prefix("error: ").unwrap_or(&line);
        let command = std::env::args()
            .skip(1)
            .find(|word| ["hub", "pub", "sub", "id", "completions"].contains(&word.as_str()));
        let help = command.map_or_else(|| "--help".into(), |command| format!("{command} --help"));
        Self::input(format!("{line}; see `alkpubsub {help}`"))
    }

    /// There is no first connection. `ca` says whether `--ca` was given, `hint` what to do where nobody is there.
    pub(crate) fn connect(error: &ConnectError, ca: bool, hint: &str) -> Self {
        let line = error.to_string();
        match error {
            ConnectError::BadUrl { .. } | ConnectError::NoSuchTarget { .. } => Self::input(line),
            ConnectError::Tls { problem: TlsProblem::NotTrusted, .. } if ca => {
                Self::connection(format!("{line}; with --ca, those in its file alone are"))
            }
            ConnectError::Tls { problem: TlsProblem::NotTrusted | TlsProblem::NoRoots { .. }, .. } => {
                Self::connection(format!("{line}; --ca FILE names one"))
            }
            // From 500 it is trouble that may pass: a hub that is full, or a proxy without one.
            ConnectError::Refused { status: 400..500 } | ConnectError::NotLetIn { .. } => Self::refused(line),
            ConnectError::Unreachable { .. } => Self::connection(format!("{line}; {hint}")),
            _ => Self::connection(line),
        }
    }
    /// The connection ended, and was still wanted.
    pub(crate) fn ended(reason: &CloseReason) -> Self {
        let code = match reason {
            // The first attempt succeeded, so that nothing is wrong with the URL: what is final then is the hub's no.
            CloseReason::GivenUp { .. } => return Self::refused(reason.to_string()),
            CloseReason::ByPeer { code, .. } => *code,
            _ => return Self::connection(format!("the connection has ended: {reason}")),
        };
        // Some APIs cannot send the codes below 3000, and send these instead.
        let meaning = if let 4000..4100 = code { code - 3000 } else { code };
        match meaning {
            1002 | 1003 | 1007..=1010 => Self::refused(format!("the hub refused what was sent: {reason}")),
            1001 => Self::connection(format!("the hub shuts down: {reason}; try again later")),
            1013 => Self::connection(format!("too much waited for this connection: {reason}")),
            _ => Self::connection(format!("the connection has ended: {reason}")),
        }
    }

    /// An event cannot be sent.
    pub(crate) fn dispatch(error: DispatchError) -> Self {
        match error {
            DispatchError::Closed(reason) => Self::ended(&reason),
            DispatchError::TooDeep { limit } => Self::input(format!("{error}{}", deeper(limit))),
            other => Self::input(other.to_string()),
        }
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        self.code.into()
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

/// What to do about what nests deeper than this.
pub(crate) fn deeper(limit: usize) -> &'static str {
    if limit < MessageLimits::MOST_DEPTH { "; see --max-depth" } else { ", and no limit is higher" }
}

/// One line, whatever the far side or the system put into its words.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.chars().map(|c| if c.is_control() { ' ' } else { c }).try_for_each(|c| write!(f, "{c}"))
    }
}
