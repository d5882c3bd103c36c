//! A child's standard error, line by line.

use super::options::ChildStderr;
use crate::caught::caught;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a line.
const LINE: usize = 8 * 1024;

/// Reads to the end, and gives each line to whoever wants them.
pub(super) async fn pass_on(mut stderr: impl AsyncRead + Unpin, to: ChildStderr, pid: u32) {
    let to: Arc<dyn Fn(&str) + Send + Sync> = match to {
        ChildStderr::Lines(to) => to,
        _ => Arc::new(move |line| tracing::info!(target: "alkpubsub::worker_process", pid, "{line}")),
    };
    let tell = |line: &[u8]| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Err(message) = caught(|| to(&String::from_utf8_lossy(line))) {
            tracing::error!(message, "what takes a child's standard error panicked");
        }
    };
    let mut buffer = vec![0; LINE];
    let mut filled = 0;
    while let Ok(count @ 1..) = stderr.read(&mut buffer[filled..]).await {
        filled += count;
        let mut begin = 0;
        while let Some(length) = buffer[begin..filled].iter().position(|byte| *byte == b'\n') {
            tell(&buffer[begin..begin + length]);
            begin += length + 1;
        }
        if begin == 0 && filled == LINE {
            tell(&buffer);
            begin = LINE;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
    }
    if filled > 0 {
        tell(&buffer[..filled]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn lines_come_as_they_were_written_and_long_ones_in_pieces() {
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let to = {
            let lines = lines.clone();
            ChildStderr::Lines(Arc::new(move |line| {
                lines.lock().unwrap().push(line.to_owned());
                assert!(line != "panic", "as a program may");
            }))
        };
        let long = "x".repeat(LINE + 10);
        let text = format!("one\r\n\npanic\n{long}\nthe last\u{fe}").into_bytes();
        pass_on(&text[..], to, 1).await;
        let lines = lines.lock().unwrap();
        let (one, two) = long.split_at(LINE);
        assert_eq!(*lines, ["one", "", "panic", one, two, "the last\u{fe}"]);
    }
}
