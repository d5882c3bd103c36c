//! What is given on the command line.

mod program;

use program::{Program, run};

#[tokio::test]
async fn help_has_an_example_for_each_command() {
    for (command, example) in [
        (&["--help"][..], "alkpubsub pub ws://127.0.0.1:8484 call.responded uuid-123 '{\"output\":42}'"),
        (&["hub", "--help"], "alkpubsub hub --listen 127.0.0.1:0"),
        (&["pub", "--help"], "alkpubsub pub ws://127.0.0.1:8484 - <envelopes.ndjson"),
        (&["completions", "--help"], "alkpubsub completions bash >"),
        (&["sub", "--help"], "alkpubsub sub ws://127.0.0.1:8484 call.responded uuid-123"),
    ] {
        let ended = run(command).await;
        ended.assert(0, "");
        assert!(ended.stdout.contains(example), "{}", ended.stdout);
    }
    let version = run(&["--version"]).await;
    version.assert(0, "");
    assert_eq!(version.stdout, format!("alkpubsub {}\n", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn a_closed_pipe_is_no_error() {
    let mut help = Program::start(["--help"]);
    drop(help.stdout.take());
    help.ended().await.assert(0, "");
}

#[tokio::test]
async fn each_mistake_is_one_line() {
    // Nobody is connected to: the mistake is found before.
    let (url, secure) = ("ws://127.0.0.1:1", "wss://127.0.0.1:1");
    let deep = format!("{}{}", "[".repeat(1024), "]".repeat(1024));
    for (args, words) in [
        (&[][..], "say what to do: hub, pub, sub, id or completions"),
        (&["serve"], "unrecognized subcommand 'serve'; see `alkpubsub --help`"),
        (&["hub", "--listne", "x"], "a similar argument exists: '--listen'; see `alkpubsub hub --help`"),
        (&["hub", "--listen", "8484"], "an address looks like 127.0.0.1:8484"),
        (&["hub", "--listen", "0.0.0.0:0"], "add --insecure if that is meant"),
        (&["hub", "--listen", "[::]:0"], "add --insecure if that is meant"),
        (&["hub", "--fan-out", "some"], "[possible values: subscribed, all]"),
        (&["hub", "--allow-origin", "example.org"], "an origin is a scheme and a host"),
        (&["hub", "--allow-origin", "https://example.org/"], "as in https://example.org or"),
        (&["hub", "--max-message", "64kb"], "as in 65536, 64KiB or 1MiB; see `alkpubsub hub --help`"),
        (&["hub", "--ping-interval", "often"], "--ping-interval"),
        (&["hub", "--max-links", "0"], "must be at least 1"),
        (&["hub", "--max-links", "16777217"], "must be at most 16777216; see `alkpubsub hub --help`"),
        (&["hub", "--handshake-timeout", "0s"], "must be more than 0; see `alkpubsub hub --help`"),
        (&["hub", "--ping-interval", "0ms"], "must be more than 0"),
        (&["hub", "--ping-timeout", "0s"], "must be more than 0"),
        (&["hub", "--shards", "65"], "must be at most 64; see `alkpubsub hub --help`"),
        (&["hub", "--shards", "0"], "must be at least 1"),
        (&["hub", "--max-depth", "5000"], "must be at most 1024; see `alkpubsub hub --help`"),
        (&["pub", url, "a", "b", "1", "--max-depth", "1025"], "must be at most 1024"),
        (&["pub", url, "a", "b", &deep, "--max-depth", "1024"], "the limit of 1024, and no limit is higher"),
        (&["hub", "--health=perhaps"], "must be true or false"),
        (&["hub", "--config", "/no/such/file"], "cannot read the configuration /no/such/file: "),
        (&["hub", "--print-config", "--log", "a=loud"], "--log \"a=loud\": "),
        (&["completions"], "<SHELL>"),
        (&["completions", "tcsh"], "[possible values: bash, elvish, fish, powershell, zsh]"),
        (&["pub", url], "<TYPE ID PAYLOAD>"),
        (&["pub", url, "a"], "an event is TYPE ID PAYLOAD, or `-` alone"),
        (&["pub", url, "a", "b"], "an event is TYPE ID PAYLOAD, or `-` alone"),
        (&["pub", url, "a", "b", "1", "2"], "see `alkpubsub pub --help`"),
        (&["pub", url, "a", "b", "1", "--skip-bad"], "--skip-bad is about lines of standard input"),
        (&["pub", url, "", "b", "1"], "the event type is empty"),
        (&["pub", url, "__subscribe", "", "{}"], "reserved for control events"),
        (&["pub", url, "a", "b", "hello"], "the payload is not JSON: expected value at line 1 column 1"),
        (&["pub", url, "a", "b", r#"1,"id":"c""#], "the payload is not JSON: trailing characters"),
        (&["pub", url, "a", "b", &"[".repeat(200)], "the payload is not JSON"),
        (&["pub", url, "a", "b", &format!("{}{}", "[".repeat(64), "]".repeat(64))], "see --max-depth"),
        (&["pub", "127.0.0.1:8484", "a", "b", "1"], "one looks like ws://127.0.0.1:8484"),
        (&["pub", "http://127.0.0.1:8484", "a", "b", "1"], "its scheme is `http`, not `ws` or `wss`"),
        (&["pub", "wss://", "a", "b", "1"], "it names no host"),
        (&["pub", "wss://me:secret@hub", "a", "b", "1"], "it holds a name or a password"),
        (
            &["pub", url, "a", "b", "1", "--header", "Authorization"],
            "a header is a name, a colon and a value",
        ),
        (
            &["pub", url, "a", "b", "1", "--header", "Host: x"],
            "the header `host` is set by the handshake itself",
        ),
        (&["sub", url, "a", "b", "--header", "a b: c"], "the name of a header is made of letters"),
        (&["sub", url, "a", "b", "--header", "@/no/such/file"], "--header @/no/such/file: "),
        (&["sub", url, "a", "b", "--ca", "/no/such/file"], "--ca is about `wss:`"),
        (&["pub", "WS://127.0.0.1:1", "a", "b", "1", "--ca", "/no/such/file"], "--ca is about `wss:`"),
        (&["sub", secure, "a", "b", "--ca", "/no/such/file"], "--ca /no/such/file: "),
        (&["sub", secure, "a", "b", "--ca", "Cargo.toml"], "the PEM holds no certificate"),
        (&["sub", url], "<TYPE ID>"),
        (&["sub", url, "a"], "the type \"a\" has no id"),
        (&["sub", url, "a", "b", "c"], "the type \"c\" has no id"),
        (&["sub", url, "__gap", ""], "reserved for control events"),
        (&["sub", url, "a", "b", "--count", "0"], "--count"),
        (&["sub", url, "a", "b", "--timeout", "soon"], "--timeout"),
        (&["sub", url, "a", "b", "--timeout", "0s"], "must be more than 0; see `alkpubsub sub --help`"),
        (&["sub", "ws://:8484", "a", "b"], "it names no host"),
        (&["--log", "a=loud", "sub", url, "a", "b"], "a level is error, warn, info, debug or trace"),
    ] {
        let ended = run(args).await;
        ended.assert(2, words);
        assert_eq!(ended.stdout, "");
    }
}

#[cfg(not(feature = "iroh"))]
#[tokio::test]
async fn what_was_not_built_says_how_to_build_it() {
    for args in [
        &["hub", "--iroh", "--no-websocket"][..],
        &["sub", "iroh:x", "a", "b"],
        &["id", "--iroh-key", "/no/such/file"],
    ] {
        run(args).await.assert(2, "`cargo build --release --features iroh` builds one with it");
    }
}

#[tokio::test]
async fn the_commands_own_options_stand_before_those_of_logging() {
    for (command, own) in [("hub", "--drain-limit"), ("pub", "--max-depth"), ("sub", "--no-reconnect")] {
        let help = run(&[command, "--help"]).await.stdout;
        let at = |words: &str| help.find(words).unwrap_or_else(|| panic!("{words:?} is not in {help}"));
        assert!(at(own) < at("\nLogging:") && at("\nLogging:") < at("--log <FILTER>"), "{help}");
    }
}

#[tokio::test]
async fn completions_know_commands_and_options() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = run(&["completions", shell]).await;
        ended.assert(0, "");
        for word in ["hub", "pub", "sub", "completions", "max-links", "print-config", "skip-bad"] {
            assert!(ended.stdout.contains(word), "{word} for {shell}");
        }
    }
}

/// Bash itself finds no fault with its script, where it is there.
#[cfg(unix)]
#[tokio::test]
async fn bash_completes() {
    let script = run(&["completions", "bash"]).await.stdout;
    let ask = "COMP_WORDS=(alkpubsub hub --print-c); COMP_CWORD=2; _alkpubsub alkpubsub --print-c hub; echo ${COMPREPLY[@]}";
    let bash = tokio::process::Command::new("bash").arg("-c").arg(format!("{script}\n{ask}")).output().await;
    let Ok(bash) = bash else { return };
    assert_eq!(String::from_utf8_lossy(&bash.stdout).trim(), "--print-config", "{bash:?}");
}
