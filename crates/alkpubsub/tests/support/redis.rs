//! A redis-server of one's own.

use std::io::{self, BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// Ends with this.
pub(crate) struct RedisServer {
    child: Child,
    pub(crate) port: u16,
    /// Where it was started with no port.
    _directory: tempfile::TempDir,
}

impl RedisServer {
    /// On a free port of the loopback, which stands for `{port}` in the arguments.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
            // Somebody else may take it meanwhile.
            if let Ok(server) = Self::try_start_at(free.expect("a port").port(), arguments) {
                return server;
            }
        }
        panic!("redis-server did not start five times; is it installed?");
    }

    /// On this port, which another had before; somebody's connection may hold it for a moment.
    #[allow(dead_code, reason = "each test file uses its part")]
    pub(crate) fn start_at(port: u16, arguments: &[&str]) -> io::Result<Self> {
        let mut last = Self::try_start_at(port, arguments);
        for _ in 0..20 {
            if last.is_ok() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
            last = Self::try_start_at(port, arguments);
        }
        last
    }

    fn try_start_at(port: u16, arguments: &[&str]) -> io::Result<Self> {
        let directory = tempfile::tempdir()?;
        let mut child = Command::new("redis-server")
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(directory.path())
            .args(arguments.iter().map(|argument| argument.replace("{port}", &port.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        while output.read_line(&mut line)? > 0 {
            if line.contains("Ready to accept connections") {
                // What it says later goes nowhere.
                std::thread::spawn(move || _ = io::copy(&mut output, &mut io::sink()));
                return Ok(Self { child, port, _directory: directory });
            }
            said.push_str(&std::mem::take(&mut line));
        }
        let _ = child.wait();
        Err(io::Error::other(said))
    }

    #[allow(dead_code, reason = "not every test asks")]
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Sends it a signal.
    #[allow(dead_code, reason = "not every test sends one")]
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        rustix::process::kill_process(pid.expect("it runs"), signal).expect("it is ours");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
