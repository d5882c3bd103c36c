//! Three hubs of ours behind a redis-server, as one: `three PROGRAM PORT`. They listen at 127.0.0.1, 127.0.0.2 and 127.0.0.3.

use anyhow::{Context as _, Result, ensure};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A child that ends with this program.
fn start(program: &str, arguments: &[&str]) -> Result<Child> {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", program]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("setpriv (of util-linux)")
}

/// Waits for a line with these words.
fn until(child: &mut Child, words: &str) -> Result<()> {
    let output = BufReader::new(child.stdout.as_mut().context("no output")?);
    let said = output.lines().map_while(Result::ok).any(|line| line.contains(words));
    ensure!(said, "a child ended before it said {words:?}");
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, port] = &*arguments else { anyhow::bail!("three PROGRAM PORT") };
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port().to_string();
    let given = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &free];
    let mut redis = start("redis-server", &given).context("redis-server is needed")?;
    until(&mut redis, "Ready to accept connections")?;
    let url = format!("redis://127.0.0.1:{free}");
    // The first comes last: whoever finds it finds all.
    let mut hubs = vec![];
    for host in [3, 2, 1] {
        let listen = format!("127.0.0.{host}:{port}");
        let mut hub = start(program, &["hub", "--listen", &listen, "--redis", &url])?;
        until(&mut hub, "listening on")?;
        hubs.push(hub);
    }
    for mut hub in hubs {
        hub.wait()?;
    }
    Ok(())
}
