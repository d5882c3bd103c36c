//! Where the hub program takes its options from. How they count is tested beside the code; here it is one process with
//! a file, an environment and a command line.

mod program;

use program::{Peer, Program, Scratch};

#[tokio::test]
async fn a_file_an_environment_and_a_flag_make_one_hub() {
    let file =
        Scratch::with("listen = \"127.0.0.1:0\"\nmax-links = 1\nmax-topic = 3\nmax-message = \"100\"\n");
    let variables = [
        ("ALKPUBSUB_HUB_CONFIG", file.path()),
        ("ALKPUBSUB_HUB_MAX_TOPIC", "4"),
        ("ALKPUBSUB_HUB_MAX_MESSAGE", "200"),
    ];
    let flags = ["--max-message", "1KiB"];
    let mut hub = Program::start_in(["hub"].iter().chain(&flags), &variables);
    let line = hub.line().await;
    let url = line.strip_prefix("listening on ").unwrap();
    let mut only = Peer::connect(url, None).await.unwrap();
    assert!(Peer::connect(url, None).await.is_err(), "max-links of the file");
    for (topic, answer) in [("a:bc", "__subscribed"), ("a:bcd", "topic_too_long")] {
        only.send(&format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#)).await;
        assert!(only.text().await.contains(answer), "max-topic of the environment");
    }
    let long = format!(r#"{{"type":"a","id":"bc","payload":"{}"}}"#, "x".repeat(500));
    only.send(&long).await;
    assert_eq!(only.text().await, long, "max-message of the command line");

    let printed = Program::start_in(["hub", "--print-config"].iter().chain(&flags), &variables).ended().await;
    printed.assert(0, "");
    let in_force = |line: &str| {
        let words: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            printed.stdout.lines().any(|l| l.split_whitespace().collect::<Vec<_>>().join(" ") == words),
            "{line}"
        );
    };
    in_force(&format!("max-links = 1 # {}:2", file.path()));
    in_force("max-topic = 4 # ALKPUBSUB_HUB_MAX_TOPIC");
    in_force("max-message = \"1KiB\" # --max-message");
    in_force("max-depth = 64 # default");
}

#[tokio::test]
async fn what_is_wrong_ends_it_before_it_listens() {
    let file = Scratch::with("\nmax-likns = 1\n");
    let ended = Program::start(["hub", "--config", file.path()]).ended().await;
    ended.assert(
        2,
        &format!("{}:2: \"max-likns\" is no option of the hub; did you mean max-links?", file.path()),
    );
    assert_eq!(ended.stdout, "");
    let variables = [("ALKPUBSUB_HUB_LISTEN", "0.0.0.0:0")];
    let ended = Program::start_in(["hub"], &variables).ended().await;
    ended.assert(2, "ALKPUBSUB_HUB_LISTEN 0.0.0.0:0 is not a loopback address");
    let variables = [("ALKPUBSUB_HUB_MAXLINKS", "3")];
    let ended = Program::start_in(["hub"], &variables).ended().await;
    ended.assert(2, "ALKPUBSUB_HUB_MAXLINKS is no option of the hub; did you mean ALKPUBSUB_HUB_MAX_LINKS?");
    // The environment of a hub is none of a spoke's business.
    let ended = Program::start_in(["sub", "ws://:1", "a", "b"], &variables).ended().await;
    ended.assert(2, "it names no host");
}
