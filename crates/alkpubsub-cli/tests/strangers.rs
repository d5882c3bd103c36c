//! Spokes that hold no line of ours, against the hub program: Node with npm `ws`, Python with `websockets`.
//!
//! Their libraries are installed by `./test tools`.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What is sent, in the payload, must come back byte for byte, whichever language wrote it.
const PAYLOAD: &str = r#"{"z":1,"a":[1.50,-0,1e2],"text":"é\u0000\"/\\😀","nested":{"b":null,"a":{}}}"#;

fn strangers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/strangers")
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.arg(strangers().join("spoke.mjs"));
    command
}

fn python() -> Command {
    let mut command = Command::new(strangers().join(".venv/bin/python"));
    command.arg(strangers().join("spoke.py"));
    command
}

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_alkpubsub"))
}

/// A child that is ended with the test.
struct Running {
    child: Child,
    /// Kept open: some children end with it.
    _stdin: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}; ./test tools installs what it needs"));
        let stdin = child.stdin.take().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Self { child, _stdin: stdin, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.lines.read_line(&mut line).unwrap() > 0, "it ended without a word");
        line.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a child printed that ends by itself.
fn output(command: &mut Command) -> String {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success(), "{command:?}");
    text.trim_end_matches('\n').to_owned()
}

fn events_cross_between_all(fan_out: &str, role: &str) {
    let mut hub = Running::start(program().args(["hub", "--listen", "127.0.0.1:0", "--fan-out", fan_out]));
    let listening = hub.line();
    let url = listening.strip_prefix("listening on ").unwrap_or_else(|| panic!("{listening}"));
    let topic = ["call.responded", "uuid-123"];

    let mut hearers: Vec<_> = [node(), python()]
        .into_iter()
        .map(|mut command| Running::start(command.args([url, role]).args(topic)))
        .collect();
    for hearer in &mut hearers {
        assert_eq!(hearer.line(), "open");
    }
    // Events of another id are not theirs.
    output(node().args([url, "say", "call.responded", "uuid-12", "0"]));
    let mut sent: Vec<_> = [node(), python()]
        .into_iter()
        .map(|mut command| output(command.args([url, "say"]).args(topic).arg(PAYLOAD)))
        .collect();
    assert_ne!(sent[0], sent[1], "the two write JSON differently, so that re-encoding would show");
    assert!(program().arg("pub").arg(url).args(topic).arg(PAYLOAD).status().unwrap().success());
    sent.push(format!(r#"{{"type":"call.responded","id":"uuid-123","payload":{PAYLOAD}}}"#));
    for hearer in &mut hearers {
        for text in &sent {
            assert_eq!(hearer.line(), *text);
        }
    }
}

#[test]
fn node_and_python_speak_with_the_hub_and_each_other() {
    events_cross_between_all("subscribed", "subscribe");
}

#[test]
fn without_a_subscription_they_work_under_fan_out_all() {
    events_cross_between_all("all", "hear");
}
