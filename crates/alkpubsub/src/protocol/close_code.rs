//! What a close code asks of the end that connected.

/// What the end that connected should do after a close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterClose {
    /// Nothing: a new connection would end the same way, or nobody wants it.
    Stop,
    /// Connect anew, after a wait of random length.
    Reconnect,
    /// Connect anew, but not soon: the hub has too much to do.
    ReconnectLater,
}

impl AfterClose {
    /// What a code asks for. The codes from 4000 to 4099 mean what those from 1000 to 1099 do: some APIs cannot send
    /// the latter.
    ///
    /// ```
    /// use alkpubsub::protocol::AfterClose;
    ///
    /// assert_eq!(AfterClose::of(1001), AfterClose::Reconnect); // the hub shuts down; another will be there
    /// assert_eq!(AfterClose::of(1009), AfterClose::Stop); // the same message would be too long again
    /// assert_eq!(AfterClose::of(4013), AfterClose::ReconnectLater); // 1013: too slow
    /// ```
    #[must_use]
    pub const fn of(code: u16) -> Self {
        let meaning = match code {
            4000..4100 => code - 3000,
            other => other,
        };
        match meaning {
            1000 | 1002 | 1007 | 1008 | 1009 => Self::Stop,
            1013 => Self::ReconnectLater,
            _ => Self::Reconnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_without_a_meaning_of_ours_are_worth_another_attempt() {
        for code in [0, 999, 1003, 1005, 1006, 1011, 1012, 3000, 4001, 4100, u16::MAX] {
            assert_eq!(AfterClose::of(code), AfterClose::Reconnect, "{code}");
        }
    }

    #[test]
    fn the_terminal_codes_stop_in_both_ranges() {
        for code in [1000, 1002, 1007, 1008, 1009] {
            assert_eq!(AfterClose::of(code), AfterClose::Stop, "{code}");
            assert_eq!(AfterClose::of(code + 3000), AfterClose::Stop, "{}", code + 3000);
        }
    }
}
