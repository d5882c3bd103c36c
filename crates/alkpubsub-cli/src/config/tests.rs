use super::*;

type Variables<'v> = &'v [(&'v str, &'v str)];

/// Loads as the program does.
fn try_load(flags: &[&str], variables: Variables<'_>) -> Result<Loaded, String> {
    use clap::CommandFactory;
    let words = ["alkpubsub", "hub"].iter().chain(flags);
    let matches = Args::command().try_get_matches_from(words).map_err(|error| error.to_string())?;
    let Command::Hub(hub) = Args::from_arg_matches(&matches).unwrap().command else { unreachable!() };
    let variables = variables.iter().map(|(name, value)| (name.into(), value.into()));
    load(&hub.config, matches.subcommand_matches("hub").unwrap(), variables)
        .map_err(|wrong| wrong.to_string())
}

/// What is in force of one option, and from where.
fn in_force(loaded: &Loaded, key: &str) -> (String, String) {
    let text = loaded.to_toml();
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key} = "))).unwrap();
    let (value, origin) = line.split_once("  # ").unwrap();
    (value.trim().to_owned(), origin.to_owned())
}

/// A file that goes with this value.
struct Scratch(PathBuf);

impl Scratch {
    fn with(text: &str) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("alkpubsub-{}-{}.toml", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A value for each option that is not its default, as each of the sources writes it.
fn another(key: &str) -> &'static str {
    match key {
        "listen" => "localhost:0",
        "insecure" | "iroh" | "no-websocket" => "true",
        "health" => "false",
        "fan-out" => "all",
        "allow-origin" => "https://example.org",
        "unix" => "/run/hub.sock",
        "unix-mode" => "660",
        "redis" => "redis://localhost:6379",
        "redis-prefix" => "events:",
        "iroh-key" => "hub.key",
        "iroh-allow" => "friends.txt",
        "iroh-relay" => "https://relay.example.org",
        "iroh-port" => "7777",
        "log" => "debug",
        "log-format" => "json",
        "color" => "never",
        "shards" => "7",
        key if key.starts_with("max-") => "77",
        _ => "77s",
    }
}

#[test]
fn each_option_is_a_flag_a_variable_and_a_key_and_they_count_in_this_order() {
    for key in keys() {
        let value = another(&key);
        let shown = |value: &str| match key.as_str() {
            "insecure" | "health" | "iroh" | "no-websocket" | "iroh-port" => value.to_owned(),
            "allow-origin" | "unix" | "iroh-allow" => format!("[\"{value}\"]"),
            key if key == "shards" || key.starts_with("max-") => value.to_owned(),
            _ if value == "77s" => "\"1m 17s\"".to_owned(),
            _ => format!("\"{value}\""),
        };
        let file = Scratch::with(&format!("\n{key} = {}\n", shown(value)));
        let from_file = (shown(value), format!("{}:2", file.path()));
        let name = variable(&key);
        let flag = format!("--{key}={value}");

        let default = try_load(&[], &[]).unwrap();
        let (before, origin) = in_force(&default, &key);
        assert_eq!(origin, "default");
        assert_ne!(before, shown(value), "{key}: the test's value is another than the default");

        let config = ["--config", file.path()];
        assert_eq!(in_force(&try_load(&config, &[]).unwrap(), &key), from_file);
        let by_variable = [("ALKPUBSUB_HUB_CONFIG", file.path())];
        assert_eq!(in_force(&try_load(&[], &by_variable).unwrap(), &key), from_file);
        let variables = [(&*name, value)];
        assert_eq!(in_force(&try_load(&config, &variables).unwrap(), &key), (shown(value), name.clone()));
        let flags = [config[0], config[1], &flag];
        let by_flag = try_load(&flags, &variables).unwrap();
        assert_eq!(in_force(&by_flag, &key), (shown(value), format!("--{key}")));
    }
}

#[test]
fn a_flag_takes_back_what_the_file_says() {
    let file = Scratch::with("insecure = true\nhealth = true\nallow-origin = [\"*\"]\n");
    let flags = ["--config", file.path(), "--insecure=false", "--health=false"];
    let loaded = try_load(&flags, &[("ALKPUBSUB_HUB_ALLOW_ORIGIN", "")]).unwrap();
    assert_eq!((loaded.options.insecure.0, loaded.options.health.0), (false, false));
    assert!(loaded.options.allow_origin.is_empty(), "a list is replaced, and not added to");
}

#[test]
fn lists_are_written_with_commas_where_there_are_no_lists() {
    let origins = ["https://a.example", "https://b.example"];
    let by_flags = ["--allow-origin", origins[0], "--allow-origin", origins[1]];
    let joined = origins.join(", ");
    let file = Scratch::with(&format!("allow-origin = {origins:?}"));
    for loaded in [
        try_load(&by_flags, &[]),
        try_load(&["--allow-origin", &origins.join(",")], &[]),
        try_load(&[], &[("ALKPUBSUB_HUB_ALLOW_ORIGIN", &joined)]),
        try_load(&["--config", file.path()], &[]),
    ] {
        let loaded = loaded.unwrap();
        assert_eq!(loaded.options.allow_origin.iter().map(|origin| &*origin.0).collect::<Vec<_>>(), origins);
    }
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let flags = ["--listen", "[::1]:0", "--allow-origin", "https://a.example,*", "--max-topic", "1000"];
    let variables = [("ALKPUBSUB_HUB_DRAIN_WINDOW", "1m 1s 5ms"), ("RUST_LOG", "warn,a=\"x\"")];
    let printed = try_load(&flags, &variables).unwrap().to_toml();
    let file = Scratch::with(&printed);
    let again = try_load(&["--config", file.path()], &[]).unwrap().to_toml();
    let values = |text: &str| -> Vec<_> {
        text.lines().map(|line| line.split_once("  #").unwrap().0.trim().to_owned()).collect()
    };
    assert_eq!(values(&again), values(&printed));
    assert!(printed.contains("# RUST_LOG\n"), "{printed}");
    let lines: Vec<_> =
        again.lines().map(|line| line.rsplit_once(':').unwrap().1.parse::<usize>().unwrap()).collect();
    assert_eq!(lines, (1..=keys().len()).collect::<Vec<_>>(), "each from its own line");
}

#[test]
fn what_a_file_says_wrong_is_told_with_its_line() {
    for (text, words) in [
        ("max_links = 3", ":1: \"max_links\" is no option of the hub; did you mean max-links?"),
        ("\n\nmax-mesage = 3", ":3: \"max-mesage\" is no option of the hub; did you mean max-message?"),
        ("zzz = 3", ":1: \"zzz\" is no option of the hub; `alkpubsub hub --print-config` shows"),
        ("x = 3", ":1: \"x\" is no option of the hub; `alkpubsub hub --print-config` shows"),
        ("m = 3", ":1: \"m\" is no option of the hub; `alkpubsub hub --print-config` shows"),
        ("l = 3", ":1: \"l\" is no option of the hub; `alkpubsub hub --print-config` shows"),
        ("[hub]\nmax-links = 3", ":1: \"hub\" is a table, and there are no tables"),
        ("max-depth = 1025", ":1: max-depth: must be at most 1024"),
        ("max-depth = 0", ":1: max-depth: must be at least 1"),
        ("max-links = 1\nmax-links = 2", ":2: duplicate key"),
        ("\nmax-links = ", ":2: "),
        ("max-links = 0", ":1: max-links: must be at least 1"),
        ("max-links = -1", ":1: max-links: not a whole number"),
        ("max-links = 1.5", ":1: max-links: invalid type: found float"),
        ("listen = 8484", ":1: listen: invalid type: found signed int `8484`, expected a string"),
        ("\nfan-out = \"some\"", ":2: fan-out: must be one of subscribed, all"),
        ("allow-origin = [\"example.org\"]", ":1: allow-origin: an origin is a scheme and a host"),
        ("allow-origin = 1", ":1: allow-origin: not a list of texts"),
        ("ping-interval = 25", ":1: ping-interval: not a length of time, as in 25s"),
        ("insecure = \"yes\"", ":1: insecure: must be true or false"),
        (
            "iroh-relay = \"relay.example.org\"",
            ":1: iroh-relay: a relay is a URL, as in https://relay.example.org",
        ),
        ("iroh-port = 65536", ":1: iroh-port: not a port"),
        ("iroh-allow = [\"\"]", ":1: iroh-allow: an id, as `alkpubsub id` prints it"),
        ("max-message = \"64kb\"", ":1: max-message: not a number of bytes, as in 65536, 64KiB or 1MiB"),
    ] {
        let file = Scratch::with(text);
        let error = try_load(&["--config", file.path()], &[]).unwrap_err();
        assert!(error.starts_with(&format!("{}{words}", file.path())), "{text:?}: {error}");
    }
    let error = try_load(&["--config", "/no/such/file"], &[]).unwrap_err();
    assert!(error.starts_with("cannot read the configuration /no/such/file: "), "{error}");
}

#[test]
fn what_the_environment_says_wrong_is_told_with_the_variable() {
    for (name, value, words) in [
        (
            "MAX_LINK",
            "3",
            "the variable ALKPUBSUB_HUB_MAX_LINK is no option of the hub; did you mean ALKPUBSUB_HUB_MAX_LINKS?",
        ),
        (
            "max_links",
            "3",
            "the variable ALKPUBSUB_HUB_max_links is no option of the hub; did you mean ALKPUBSUB_HUB_MAX_LINKS?",
        ),
        (
            "X",
            "3",
            "the variable ALKPUBSUB_HUB_X is no option of the hub; `alkpubsub hub --print-config` shows",
        ),
        ("MAX_DEPTH", "5000", "ALKPUBSUB_HUB_MAX_DEPTH: must be at most 1024"),
        ("MAX_LINKS", "", "ALKPUBSUB_HUB_MAX_LINKS: not a whole number"),
        ("MAX_LINKS", "many", "ALKPUBSUB_HUB_MAX_LINKS: not a whole number"),
        ("INSECURE", "1", "ALKPUBSUB_HUB_INSECURE: must be true or false"),
        ("FAN_OUT", "some", "ALKPUBSUB_HUB_FAN_OUT: must be one of subscribed, all"),
        ("PING_TIMEOUT", "8", "ALKPUBSUB_HUB_PING_TIMEOUT: not a length of time"),
        ("ALLOW_ORIGIN", "https://a.example,b", "ALKPUBSUB_HUB_ALLOW_ORIGIN: an origin is"),
    ] {
        let error = try_load(&[], &[(&format!("ALKPUBSUB_HUB_{name}"), value)]).unwrap_err();
        assert!(error.starts_with(words), "{error}");
    }
    // What only looks alike is none of ours; and a value that means something to TOML is a text here.
    let others = [("ALKPUBSUB_HUBS", "x"), ("XALKPUBSUB_HUB_A", "y"), ("ALKPUBSUB_HUB_LISTEN", "[::1]:0")];
    assert_eq!(try_load(&[], &others).unwrap().options.listen, "[::1]:0");
}

#[test]
fn what_kubernetes_says_of_a_service_of_the_hubs_name_is_no_option() {
    let of_kubernetes = [
        ("ALKPUBSUB_HUB_SERVICE_HOST", "10.0.0.11"),
        ("ALKPUBSUB_HUB_SERVICE_PORT", "8484"),
        ("ALKPUBSUB_HUB_SERVICE_PORT_WS", "8484"),
        ("ALKPUBSUB_HUB_PORT", "tcp://10.0.0.11:8484"),
        ("ALKPUBSUB_HUB_PORT_8484_TCP", "tcp://10.0.0.11:8484"),
        ("ALKPUBSUB_HUB_PORT_8484_TCP_ADDR", "10.0.0.11"),
    ];
    assert_eq!(try_load(&[], &of_kubernetes).unwrap().options.listen, "127.0.0.1:8484");
    for (name, value) in
        [("ALKPUBSUB_HUB_PORT", "8484"), ("ALKPUBSUB_HUB_PORTS", "x"), ("ALKPUBSUB_HUB_SERVICE", "x")]
    {
        let error = try_load(&[], &[(name, value)]).unwrap_err();
        assert!(error.starts_with(&format!("the variable {name} is no option of the hub")), "{error}");
    }
}

#[test]
fn rust_log_stands_between_the_file_and_the_options_own_variable() {
    let file = Scratch::with("log = \"error\"");
    let flags = ["--config", file.path()];
    let log = |variables: Variables<'_>| in_force(&try_load(&flags, variables).unwrap(), "log").0;
    assert_eq!(log(&[]), "\"error\"");
    assert_eq!(log(&[("RUST_LOG", "")]), "\"error\"");
    assert_eq!(log(&[("RUST_LOG", "info")]), "\"info\"");
    assert_eq!(log(&[("ALKPUBSUB_HUB_LOG", "debug"), ("RUST_LOG", "info")]), "\"debug\"");
}

/// The page for who runs a hub.
fn page() -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/hub.md");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn the_table_of_the_page_is_the_definition() {
    let (path, page) = page();
    let head = "| key, and flag with `--` | variable | default | what it is |\n| --- | --- | --- | --- |\n";
    let mut table = head.to_owned();
    for option in described().get_arguments() {
        let key = option.get_long().unwrap();
        let defaults: Vec<_> =
            option.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = match defaults.join(",") {
            none if none.is_empty() => "none".into(),
            default => format!("`{default}`"),
        };
        let help = option.get_help().unwrap();
        table += &format!("| `{key}` | `{}` | {default} | {help} |\n", variable(key));
    }
    let begin = page.find(head).expect("the page has the table");
    let rest = &page[begin..];
    let end = begin + rest.find("\n\n").unwrap() + 1;
    if page[begin..end] == table {
        return;
    }
    assert!(
        std::env::var_os("UPDATE").is_some(),
        "the table of docs/hub.md is another; UPDATE=1 writes it:\n{table}"
    );
    fs::write(path, format!("{}{table}{}", &page[..begin], &page[end..])).unwrap();
}

#[test]
fn the_file_of_the_page_is_one() {
    let (_, page) = page();
    let (_, rest) = page.split_once("```toml\n").expect("the page has an example");
    let file = Scratch::with(rest.split("```").next().unwrap());
    let loaded = try_load(&["--config", file.path()], &[]).unwrap();
    assert_eq!(loaded.options.listen, "0.0.0.0:8484");
}
