//! The hubs that are measured: how each is got and started.

use anyhow::{Context as _, Result, bail, ensure};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A hub that can be started.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) name: String,
    /// For `sh`; `{port}` is put in.
    pub(crate) command: String,
    pub(crate) nats: bool,
    /// Whether it is ours, and takes our options.
    pub(crate) ours: bool,
    /// How many addresses it listens at, from 127.0.0.1 on.
    hosts: u8,
    pub(crate) version: String,
}

/// One that runs, and ends with this.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
    hosts: u8,
    log: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has nothing to save, and its drain is not what is measured.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> String {
        let each: Vec<_> = (1..=self.hosts).map(|host| format!("127.0.0.{host}:{}", self.port)).collect();
        each.join(",")
    }

    /// The last lines that it wrote.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Hub {
    /// One of the user's: NAME=COMMAND.
    pub(crate) fn given(text: &str) -> Result<Self> {
        let (name, command) = text.split_once('=').context("--hub takes NAME=COMMAND")?;
        ensure!(command.contains("{port}"), "--hub {name}: {{port}} has to stand where the port belongs");
        Ok(Self::new(name, command.to_owned(), String::new()))
    }

    fn new(name: &str, command: String, version: String) -> Self {
        Self { name: name.to_owned(), command, nats: name == "nats", ours: false, hosts: 1, version }
    }

    /// The same with more options.
    pub(crate) fn with(&self, options: &str) -> Self {
        let name = format!("{} {options}", self.name);
        Self { name, command: format!("{} {options}", self.command), ..self.clone() }
    }

    /// Starts it on these cores, and waits until it listens.
    pub(crate) fn start(&self, cores: &str, logs: &Path, settle: bool) -> Result<Running> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = logs.join(self.name.replace(' ', "_"));
        let file = File::create(&log)?;
        let command = format!("exec {}", self.command.replace("{port}", &port.to_string()));
        let child = pinned(cores)
            .args(["sh", "-c", &command])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .context("setpriv and taskset (of util-linux)")?;
        let mut running = Running { child, port, hosts: self.hosts, log };
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("{} ended with {status}:\n{}", self.name, running.last_words());
            }
            if started.elapsed() > Duration::from_secs(20) {
                bail!("{} did not listen after 20 s:\n{}", self.name, running.last_words());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        if settle {
            // Whatever it still does for itself after that.
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(running)
    }
}

/// What runs a command on these cores, and ends it if this program ends.
pub(crate) fn pinned(cores: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "taskset", "-c", cores]);
    command
}

/// The first line of what a program prints.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.lines().next().unwrap_or("").trim().to_owned())
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display())
}

/// Our own program, built from this checkout unless it is given. Of one that is given, it is not known from where: its
/// version is what it says itself.
pub(crate) fn ours(root: &Path, profile: &str, given: Option<&Path>) -> Result<Hub> {
    let (program, version) = match given {
        Some(path) => {
            let program = path.canonicalize().with_context(|| path.display().to_string())?;
            let version = first_line(&program.display().to_string(), &["--version"]);
            (program, version.map(|version| version.trim_start_matches("alkpubsub ").to_owned()))
        }
        None => {
            let root_path = root.display().to_string();
            (built(root, profile)?, first_line("git", &["-C", &root_path, "describe", "--always", "--dirty"]))
        }
    };
    let command = format!("{} hub --listen 127.0.0.1:{{port}}", quoted(&program));
    Ok(Hub { ours: true, ..Hub::new("alkpubsub", command, version.unwrap_or_default()) })
}

fn built(root: &Path, profile: &str) -> Result<PathBuf> {
    eprintln!("building alkpubsub");
    let output = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--profile", profile, "--package", "alkpubsub-cli"])
        .args(["--message-format", "json-render-diagnostics", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .stderr(Stdio::inherit())
        .output()
        .context("cargo")?;
    ensure!(output.status.success(), "alkpubsub was not built");
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .context("cargo did not say where the program is")
}

/// The floor, which was built with this program.
pub(crate) fn floor(programs: &Path) -> Hub {
    Hub::new("floor", format!("{} {{port}}", quoted(&programs.join("floor"))), String::new())
}

/// Three of ours behind a redis-server.
pub(crate) fn three(programs: &Path, ours: &Hub) -> Result<Hub> {
    ensure!(first_line("redis-server", &["--version"]).is_some(), "three: redis-server is not installed");
    let program = ours.command.split(" hub ").next().unwrap_or_default();
    let command = format!("{} {program} {{port}}", quoted(&programs.join("three")));
    Ok(Hub { hosts: 3, ..Hub::new("three", command, String::new()) })
}

/// The peers that can be had here, and why the others cannot.
pub(crate) fn peers(bench: &Path, wanted: impl Fn(&str) -> bool) -> Vec<Hub> {
    let mut hubs = vec![];
    let peers = bench.join("peers");
    let (bun, node) = (wanted("bun"), wanted("node"));
    if bun || node {
        if let Err(error) = install(&peers) {
            eprintln!("without Bun and Node: {error:#}");
        } else {
            let program = peers.join("node_modules/.bin/bun");
            match first_line(&program.display().to_string(), &["--version"]) {
                Some(version) if bun => {
                    let command = format!("{} {} {{port}}", quoted(&program), quoted(&peers.join("bun.ts")));
                    hubs.push(Hub::new("bun", command, version));
                }
                None if bun => eprintln!("without Bun: {} does not run here", program.display()),
                _ => {}
            }
            if node {
                let command = format!("node {} {{port}}", quoted(&peers.join("node.mjs")));
                hubs.push(Hub::new("node", command, first_line("node", &["--version"]).unwrap_or_default()));
            }
        }
    }
    if wanted("nats") {
        match first_line("nats-server", &["--version"]) {
            Some(version) => {
                let command =
                    format!("env BENCH_PORT={{port}} nats-server -c {}", quoted(&peers.join("nats.conf")));
                hubs.push(Hub::new("nats", command, version));
            }
            None => eprintln!("without NATS: nats-server is not installed"),
        }
    }
    hubs
}

/// Installs what the lockfile names, if that was not done.
fn install(peers: &Path) -> Result<()> {
    let lock = fs::read_to_string(peers.join("package-lock.json"))?;
    let stamp = peers.join("node_modules/.stamp");
    let want = format!("{}\n{lock}", first_line("node", &["--version"]).context("node is not installed")?);
    if fs::read_to_string(&stamp).is_ok_and(|have| have == want) {
        return Ok(());
    }
    eprintln!("installing bench/peers/package-lock.json");
    let status = Command::new("npm").args(["ci", "--silent"]).current_dir(peers).status().context("npm")?;
    ensure!(status.success(), "npm ci failed in {}", peers.display());
    fs::write(stamp, want)?;
    Ok(())
}
