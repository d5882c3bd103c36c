//! Hosts and their children, and what goes wrong between them. The children are real processes.
#![cfg(target_os = "linux")]

#[path = "support/child.rs"]
mod child_program;

use alkpubsub::worker_process::{
    ChildStderr, ProcessFailure, ProcessHostEventTarget, ProcessOptions, StdioError, WorkerProcessEventTarget,
};
use alkpubsub::{CloseReason, DispatchError, EventEnvelope, EventTarget, PubSub, Readiness};
use child_program::{command, role, shell};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SECOND: Duration = Duration::from_secs(1);

fn event(event_type: &str, payload: &str) -> EventEnvelope {
    EventEnvelope::parse(format!(r#"{{"type":"{event_type}","id":"","payload":{payload}}}"#)).unwrap()
}

/// Less patient than a program would be.
fn options() -> ProcessOptions {
    let mut options = ProcessOptions::DEFAULT;
    options.exit_timeout = SECOND / 4;
    options.term_timeout = SECOND / 4;
    options.stream.close_timeout = SECOND / 4;
    options
}

fn spawn(command: Command) -> ProcessHostEventTarget {
    ProcessHostEventTarget::spawn(command, options()).unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Whether there is a process of that number, be it a zombie.
fn lives(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + 20 * SECOND;
    while !look() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// What the children do; not a test of its own.
#[test]
#[ignore = "the child of the other tests"]
fn child() {
    let Some(role) = role() else { return };
    match role.as_str() {
        "host" => return host(),
        "refused" => return refused(),
        _ => {}
    }
    let code = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let host = Arc::new(WorkerProcessEventTarget::from_stdio().unwrap());
        let again = WorkerProcessEventTarget::from_stdio();
        assert!(matches!(again, Err(StdioError::NoPipe)), "it takes them once");
        println!("this goes to standard error");
        let back = Arc::downgrade(&host);
        let echo = move |event: &EventEnvelope| {
            let text = event.to_json().unwrap().replace("ask", "answer");
            back.upgrade().unwrap().dispatch_event(EventEnvelope::parse(text).unwrap()).unwrap();
        };
        host.add_event_listener("ask:", Arc::new(echo)).unwrap();
        match role.as_str() {
            "echo" => {
                let reason = host.closed().await;
                eprintln!("it ended: {reason}");
                0
            }
            "leaves" => {
                host.dispatch_event(event("answer", "\"the last\"")).unwrap();
                host.disconnect(SECOND).await.unwrap();
                5
            }
            "exits" => {
                host.dispatch_event(event("answer", "\"the last\"")).unwrap();
                host.flush().await;
                3
            }
            "stays" => {
                host.closed().await;
                std::future::pending().await
            }
            other => panic!("{other}"),
        }
    });
    std::process::exit(code);
}

/// A host that starts a child, tells its number, and waits.
fn host() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let worker = spawn(command("echo"));
        worker.ping().await.unwrap();
        println!("{}", worker.id());
        std::future::pending::<()>().await;
    });
}

/// A program that might be a child, and goes on as any other where it is none.
fn refused() {
    let flags = |fd: i32| {
        let all = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
        let flags = all.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        (
            i64::from_str_radix(flags.trim(), 8).unwrap(),
            std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap(),
        )
    };
    let before = [flags(0), flags(1)];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let taken = runtime.block_on(async { WorkerProcessEventTarget::from_stdio() });
    assert!(matches!(taken, Err(StdioError::NoPipe)), "{taken:?}");
    assert_eq!([flags(0), flags(1)], before);
}

/// Whoever shares them, a shell's other programs for one, expects reading to wait.
#[test]
fn standard_input_and_output_that_are_refused_are_as_they_were() {
    let file = || Stdio::from(tempfile::tempfile().unwrap());
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    for (stdin, stdout) in [
        (Stdio::piped(), file()),
        (std::os::fd::OwnedFd::from(socket).into(), file()),
        (Stdio::null(), Stdio::piped()),
    ] {
        let child = command("refused").stdin(stdin).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    }
}

#[tokio::test]
async fn both_ways_and_an_end_in_good_order() {
    let worker = Arc::new(spawn(command("echo")));
    let pubsub = PubSub::new(worker.clone());
    assert_eq!(worker.ready("answer:").await, Readiness::Confirmed, "at once");
    let mut answers = pubsub.subscribe_envelopes("answer", "").await.unwrap();
    for payload in ["1", r#"{"b":1.0,"a":[9007199254740993]}"#] {
        // What is sent before the child is there waits for it.
        worker.dispatch_event(event("ask", payload)).unwrap();
        let Some(alkpubsub::Item::Event(answer)) = answers.next().await else { panic!() };
        assert_eq!(answer.to_json().unwrap(), event("answer", payload).to_json().unwrap());
    }
    worker.disconnect(5 * SECOND).await.unwrap();
    assert_eq!(worker.closed().await, CloseReason::Closed);
    assert_eq!(worker.exit_status().and_then(|status| status.code()), Some(0));
    assert_eq!(worker.failure(), None);
    assert!(!lives(worker.id()), "it was reaped");
}

#[tokio::test]
async fn a_child_that_leaves_in_good_order_is_no_failure() {
    let worker = Arc::new(spawn(command("leaves")));
    let mut answers = PubSub::new(worker.clone()).subscribe_envelopes("answer", "").await.unwrap();
    assert!(matches!(answers.next().await, Some(alkpubsub::Item::Event(_))));
    assert_eq!(worker.closed().await, CloseReason::ByPeer { code: 1000, reason: "".into() });
    assert_eq!((worker.failure(), worker.exit_status().unwrap().code()), (None, Some(5)));
}

#[tokio::test]
async fn what_a_child_wrote_before_its_exit_is_heard() {
    let worker = Arc::new(spawn(command("exits")));
    let mut answers = PubSub::new(worker.clone()).subscribe_envelopes("answer", "").await.unwrap();
    assert!(matches!(answers.next().await, Some(alkpubsub::Item::Event(_))));
    assert_eq!(
        worker.closed().await.to_string(),
        "the connection was lost: the child exited with code 3, without a `__close`"
    );
}

#[tokio::test]
async fn what_became_of_a_child_is_told_by_name() {
    use ProcessFailure::{ClosedInput, ClosedOutput, Exited, Signalled};
    let within_frame = false;
    for (script, expected) in [
        ("exit 0", Exited { code: 0, within_frame }),
        ("exit 3", Exited { code: 3, within_frame }),
        ("kill -9 $$", Signalled { signal: 9, within_frame }),
        ("kill -11 $$", Signalled { signal: 11, within_frame }),
        (r"printf '\0\0\0\11{'; exit 0", Exited { code: 0, within_frame: true }),
        (r"printf '\0\0'; exit 1", Exited { code: 1, within_frame: true }),
        // Somebody else holds its standard output.
        ("sleep 3 & exit 4", Exited { code: 4, within_frame }),
        ("exec 1>&-; exec sleep 100", ClosedOutput { within_frame }),
        ("exec 0<&-; exec sleep 100", ClosedInput),
        ("echo Hello, world; exec cat >/dev/null", ProcessFailure::Text { begins: "Hell".into() }),
    ] {
        let worker = spawn(shell(script));
        let sending = async {
            // So that a closed input is noticed, whenever the shell gets there.
            while worker.dispatch_event(event("ask", "1")).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let (reason, ()) = tokio::join!(worker.closed(), sending);
        assert_eq!(worker.failure(), Some(&expected), "{script}: {reason}");
        assert!(reason.to_string().contains(&expected.to_string()), "{script}: {reason}");
        assert!(!lives(worker.id()), "{script}: it was not reaped");
    }
}

#[tokio::test]
async fn frames_that_are_none_end_it_before_memory_is_taken() {
    for (script, code, words) in [
        (r"printf '\377\377\377\377'; exec cat >/dev/null", 1009, "4294967295 bytes"),
        (r"printf '\0\0\0\0'; exec cat >/dev/null", 1002, "a frame of length 0"),
    ] {
        let worker = spawn(shell(script));
        let reason = worker.closed().await;
        assert!(matches!(reason, CloseReason::Refused { .. }), "{reason}");
        assert!(reason.to_string().contains(words), "{reason}");
        assert_eq!(reason.code(), code);
    }
}

#[tokio::test]
async fn a_child_that_never_reads_fills_the_queue_and_is_given_up() {
    let mut options = options();
    options.start_timeout = SECOND / 2;
    let worker = ProcessHostEventTarget::spawn(shell("exec sleep 100"), options).unwrap();
    let long = format!("{:?}", "x".repeat(60_000));
    let refused = loop {
        if let Err(error) = worker.dispatch_event(event("ask", &long)) {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert!(matches!(refused, DispatchError::Full), "{refused}");
    let reason = worker.closed().await;
    assert!(reason.to_string().contains("answers no ping"), "{reason}");
    assert_eq!(worker.failure(), Some(&ProcessFailure::Unresponsive));
}

#[tokio::test]
async fn a_child_that_was_given_up_may_still_go_by_itself() {
    let mut options = options();
    options.start_timeout = SECOND / 10;
    options.exit_timeout = 10 * SECOND;
    let script = "sleep 0.3; cat >/dev/null; exit 6";
    let worker = ProcessHostEventTarget::spawn(shell(script), options).unwrap();
    worker.closed().await;
    assert_eq!(worker.failure(), Some(&ProcessFailure::Unresponsive));
    assert_eq!(worker.exit_status().unwrap().code(), Some(6), "at the end of its standard input");
}

#[tokio::test]
async fn a_child_that_is_stopped_is_noticed_and_killed() {
    let mut options = options();
    options.stream.heartbeat.interval = SECOND / 10;
    options.stream.heartbeat.timeout = SECOND / 5;
    let worker = ProcessHostEventTarget::spawn(command("echo"), options).unwrap();
    worker.ping().await.unwrap();
    signal(worker.id(), Signal::STOP);
    let reason = worker.closed().await;
    assert_eq!(worker.failure(), Some(&ProcessFailure::Unresponsive), "{reason}");
    assert!(!lives(worker.id()));
}

#[tokio::test]
async fn a_child_that_is_killed_is_noticed() {
    let worker = spawn(command("echo"));
    worker.ping().await.unwrap();
    signal(worker.id(), Signal::KILL);
    let reason = worker.closed().await;
    assert_eq!(reason.to_string(), "the connection was lost: the child was killed by signal 9 (SIGKILL)");
}

#[tokio::test]
async fn what_is_no_program_is_an_error_that_names_it() {
    let error = ProcessHostEventTarget::spawn(Command::new("/no/such"), options()).unwrap_err();
    assert!(error.to_string().starts_with("cannot start \"/no/such\": No such file"), "{error}");
}

#[tokio::test]
async fn a_child_that_will_not_go_is_asked_and_then_killed() {
    for (role, ignores) in [("stays", false), ("stays", true)] {
        let mut command = command(role);
        if ignores {
            // A signal that is ignored stays so in what is executed.
            let program = command.get_args().map(ToOwned::to_owned).collect::<Vec<_>>();
            let mut outer = shell(r#"trap '' TERM; exec sh "$@""#);
            outer.arg("sh").args(program).envs(command.get_envs().filter_map(|(k, v)| Some((k, v?))));
            command = outer;
        }
        let worker = spawn(command);
        worker.ping().await.unwrap();
        worker.close();
        worker.closed().await;
        let status = worker.exit_status().unwrap();
        let by = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!(by, Some(if ignores { 9 } else { 15 }), "ignores: {ignores}");
    }
}

#[tokio::test]
async fn dropping_a_host_ends_its_child() {
    let worker = spawn(command("echo"));
    worker.ping().await.unwrap();
    let id = worker.id();
    drop(worker);
    until("the child is still there", || !lives(id)).await;
}

#[tokio::test]
async fn standard_error_is_passed_on_line_by_line_to_the_last() {
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut options = options();
    let to = lines.clone();
    options.stderr = ChildStderr::Lines(Arc::new(move |line| to.lock().unwrap().push(line.to_owned())));
    // A flood of it, while nobody reads; then the last, without an end of line.
    let script =
        "i=0; while [ $i -lt 20000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; printf end >&2; exit 7";
    let worker = ProcessHostEventTarget::spawn(shell(script), options.clone()).unwrap();
    assert!(worker.closed().await.to_string().contains("code 7"));
    {
        let lines = lines.lock().unwrap();
        assert_eq!(
            (lines.len(), lines[19_999].as_str(), lines[20_000].as_str()),
            (20_001, "line 19999", "end")
        );
    }
    lines.lock().unwrap().clear();
    let worker = ProcessHostEventTarget::spawn(command("echo"), options).unwrap();
    worker.disconnect(5 * SECOND).await.unwrap();
    worker.closed().await;
    let lines = lines.lock().unwrap();
    assert!(lines.iter().any(|line| line == "this goes to standard error"), "{lines:?}");
}

#[tokio::test]
async fn a_host_that_is_killed_leaves_no_child() {
    let mut host = command("host").stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(host.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let child: u32 = line.trim().parse().unwrap();
    assert!(lives(child));
    host.kill().unwrap();
    host.wait().unwrap();
    // Its new parent reaps it, or nobody does where that is no real one.
    let gone = || match std::fs::read_to_string(format!("/proc/{child}/stat")) {
        Ok(stat) => stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z')),
        Err(_) => true,
    };
    until("the child outlived its host", gone).await;
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[tokio::test]
async fn two_hundred_at_once() {
    // A program may have 1,024 files open, as a rule: these are three for each.
    let mut options = options();
    options.stderr = ChildStderr::Discard;
    let start = |_| ProcessHostEventTarget::spawn(shell("exec cat"), options.clone()).unwrap();
    let workers: Vec<_> = (0..200).map(start).collect();
    for worker in &workers {
        // `cat` writes back what it reads: the ping, which is answered by a pong, which comes back.
        worker.ping().await.unwrap();
    }
    let ids: Vec<_> = workers.iter().map(ProcessHostEventTarget::id).collect();
    drop(workers);
    until("children are left", || !ids.iter().any(|id| lives(*id))).await;
}

#[tokio::test]
async fn one_after_the_other_leaves_nothing() {
    let rounds = std::env::var("PROCESSES").map_or(200, |rounds| rounds.parse().unwrap());
    let mut before = 0;
    for round in 0..rounds {
        let worker = spawn(shell("exec cat"));
        worker.ping().await.unwrap();
        worker.close();
        worker.closed().await;
        assert!(!lives(worker.id()), "it was not reaped");
        drop(worker);
        match round {
            10 => before = descriptors(),
            // Other tests of this program have some open, too.
            _ if round + 1 == rounds => until("descriptors are left", || descriptors() <= before + 2).await,
            _ => {}
        }
    }
}
