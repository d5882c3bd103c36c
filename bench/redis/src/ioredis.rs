//! npm's `ioredis` on Node, which takes its turns in a process of its own.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

/// A Node that publishes and hears when it is told to.
pub(crate) struct Ioredis {
    child: Child,
    turns: ChildStdin,
    times: Lines<BufReader<ChildStdout>>,
}

impl Ioredis {
    /// Installs what is missing, and starts it; or why that is not possible.
    pub(crate) fn start(url: &str, channel: &str) -> Result<Self, String> {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
        if !peers.join("node_modules/ioredis").exists() {
            eprintln!("installing bench/peers/package-lock.json");
            let installed = Command::new("npm").args(["ci", "--silent"]).current_dir(&peers).status();
            if !installed.map_err(|error| format!("npm: {error}"))?.success() {
                return Err(format!("npm ci failed in {}", peers.display()));
            }
        }
        let mut child = Command::new("node")
            .arg(peers.join("redis.mjs"))
            .args([url, channel])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("node: {error}"))?;
        let (turns, times) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Ok(Self { child, turns, times: BufReader::new(times).lines() })
    }

    /// One turn; by Node's own clock, from the first message to the last.
    pub(crate) fn turn(&mut self, way: &str, text: &str, messages: usize, pipelining: bool) -> Duration {
        let quoted = text.replace('"', "\\\"");
        writeln!(
            self.turns,
            r#"{{"way":"{way}","messages":{messages},"pipelining":{pipelining},"text":"{quoted}"}}"#
        )
        .expect("node has ended");
        let nanoseconds = self.times.next().expect("node has ended").expect("a line");
        Duration::from_nanos(nanoseconds.parse().expect("a number"))
    }
}

impl Drop for Ioredis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
