//! Node's `EventTarget`, in a process of its own that measures when it is asked.

use crate::{TURN, Way};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;

pub(crate) struct Node(Rc<RefCell<Process>>);

struct Process {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Node {
    /// None where there is no Node.
    pub(crate) fn start() -> Option<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/event_target.mjs");
        let mut node = Command::new("node");
        let mut child = node.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().ok()?;
        let (requests, answers) = (child.stdin.take(), BufReader::new(child.stdout.take()?));
        Some(Self(Rc::new(RefCell::new(Process { child, requests, answers }))))
    }

    pub(crate) fn with(&mut self, subscribers: usize) -> impl Way + use<> {
        EventTarget { process: self.0.clone(), subscribers }
    }
}

struct EventTarget {
    process: Rc<RefCell<Process>>,
    subscribers: usize,
}

impl Way for EventTarget {
    fn turn(&mut self) -> f64 {
        let mut process = self.process.borrow_mut();
        let mut answer = String::new();
        let requests = process.requests.as_mut().expect("it is open until it is dropped");
        writeln!(requests, "{} {}", self.subscribers, TURN.as_millis()).expect("node reads");
        process.answers.read_line(&mut answer).expect("node answers");
        answer.trim().parse().expect("node answers with a number")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It ends when nothing more can be asked.
        drop(self.requests.take());
        let _ = self.child.wait();
    }
}
