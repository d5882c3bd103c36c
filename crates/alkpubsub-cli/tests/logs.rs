//! What the program says on stderr.

mod program;

use alkpubsub::Stats;
use program::{Ended, Peer, Program, run};
use serde_json::Value;
use std::collections::BTreeMap;

/// The counters of a target by name, as `Debug` shows them.
fn counters() -> Vec<String> {
    let shown = format!("{:?}", Stats::default());
    let fields = shown.strip_prefix("Stats { ").unwrap().strip_suffix(" }").unwrap();
    fields.split(", ").map(|field| field.split_once(": ").unwrap().0.to_owned()).collect()
}

/// A hub that relayed one event to its publisher, and was told to end.
async fn hub_with_one_event(options: &[&str]) -> Ended {
    let (hub, url) = Program::hub(options).await;
    let mut spoke = Peer::connect(&url, None).await.unwrap();
    spoke.send(r#"{"type":"__subscribe","id":"","payload":{"topic":"a:b"}}"#).await;
    spoke.text().await;
    spoke.send("no JSON: s3cret").await;
    spoke.send(r#"{"type":"a","id":"b","payload":"s3cret"}"#).await;
    spoke.text().await;
    hub.signal("TERM").await;
    assert_eq!(spoke.closed().await, 1001);
    drop(spoke);
    let ended = hub.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains("s3cret"), "{ended:?}");
    ended
}

#[tokio::test]
async fn the_counters_are_the_last_line_of_text() {
    let ended = hub_with_one_event(&["--log", "trace"]).await;
    let last = ended.stderr.lines().last().unwrap();
    let (_, fields) = last.split_once("counters ").unwrap();
    let told: BTreeMap<_, _> = fields.split(' ').map(|field| field.split_once('=').unwrap()).collect();
    assert_eq!(told.len(), counters().len());
    for counter in counters() {
        let expected = match &*counter {
            "received" | "sent" | "bad_input" | "connections" => "1",
            "refusals" => r#""not_json=1""#,
            _ => "0",
        };
        assert_eq!(told[&*counter], expected, "{counter}");
    }
    assert!(!ended.stderr.contains('\x1b'), "no colours where there is no terminal");
}

#[tokio::test]
async fn a_hub_logs_its_beginning_and_its_end_unless_it_is_told_not_to() {
    let mut hub = Program::start(["hub", "--listen", "127.0.0.1:0", "--shards", "2"]);
    let first = hub.said().await;
    assert!(first.contains("listening address=127.0.0.1:") && first.ends_with(" shards=2\n"), "{first}");
    hub.signal("TERM").await;
    assert!(hub.said().await.contains("shutting down"));
    let last = hub.said().await;
    assert!(last.contains(" INFO ") && last.contains("counters dispatched=0"), "{last}");
    assert_eq!(hub.ended().await.code, Some(0));
}

#[tokio::test]
async fn the_counters_are_the_last_object_of_json() {
    let ended = hub_with_one_event(&["--log", "alkpubsub=debug", "--log-format", "json"]).await;
    let lines: Vec<Value> = ended.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["fields"]["message"], "listening");
    let last = &lines.last().unwrap()["fields"];
    assert_eq!(last["message"], "counters");
    for counter in counters() {
        assert!(last[&counter].is_u64() || counter == "refusals", "{counter}: {last}");
    }
    assert_eq!(last["refusals"], "not_json=1");
    assert_eq!((&last["received"], &last["sent"], &last["bad_input"]), (&1.into(), &1.into(), &1.into()));
}

#[tokio::test]
async fn a_failure_is_json_where_the_log_is() {
    for (args, code) in [
        (&["--log-format", "json", "pub", "ws://:1", "a", "b", "1"][..], 2),
        (&["hub", "--log-format", "json", "--log", "off", "--listen", "8484"], 2),
        (&["sub", "ws://127.0.0.1:1", "a", "b", "--log-format=json"], 1),
    ] {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(code), "{ended:?}");
        let line: Value = serde_json::from_str(&ended.stderr).unwrap();
        assert_eq!((&line["level"], &line["fields"]["exit_code"]), (&"ERROR".into(), &code.into()));
        assert!(!line["fields"]["message"].as_str().unwrap().is_empty());
        let order = ["timestamp", "level", "fields", "message", "exit_code", "target"];
        let places = order.map(|key| ended.stderr.find(&format!("\"{key}\":")).unwrap());
        assert!(places.is_sorted(), "another order than that of log lines: {}", ended.stderr);
    }
}

#[tokio::test]
async fn rust_log_is_read_and_the_flag_goes_before_it() {
    let lines = async |flags: &[&str], variables: &[(&str, &str)]| {
        let (hub, _) = Program::hub_in(flags, variables).await;
        hub.signal("TERM").await;
        hub.ended().await.stderr.lines().count()
    };
    assert_eq!(lines(&[], &[("RUST_LOG", "warn")]).await, 0);
    assert!(lines(&[], &[("RUST_LOG", "info")]).await > 0);
    assert_eq!(lines(&["--log", "error"], &[("RUST_LOG", "info")]).await, 0);
    assert_eq!(lines(&[], &[("RUST_LOG", "info"), ("ALKPUBSUB_HUB_LOG", "error")]).await, 0);
    let wrong = Program::start_in(["sub", "ws://:1", "a", "b"], &[("RUST_LOG", "a=loud")]).ended().await;
    wrong.assert(2, "RUST_LOG \"a=loud\": ");
}

#[tokio::test]
async fn colours_are_asked_for_and_forbidden() {
    let coloured = async |flags: &[&str], variables: &[(&str, &str)]| {
        let flags: Vec<_> = ["--log", "info"].iter().chain(flags).copied().collect();
        let (hub, _) = Program::hub_in(&flags, variables).await;
        hub.signal("TERM").await;
        let log = hub.ended().await.stderr;
        assert!(log.contains("counters"), "{log}");
        let help = Program::start_in(["hub", "--help"].iter().chain(&flags), variables).ended().await;
        let colours = [log.contains('\x1b'), help.stdout.contains('\x1b')];
        assert_eq!(colours[0], colours[1], "log and help agree");
        colours[0]
    };
    assert!(!coloured(&[], &[]).await, "no terminal");
    assert!(coloured(&[], &[("CLICOLOR_FORCE", "1")]).await);
    assert!(!coloured(&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]).await);
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]).await);
    assert!(!coloured(&["--color=never"], &[("CLICOLOR_FORCE", "1")]).await);
}
