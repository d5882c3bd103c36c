//! The program as a child, and a raw WebSocket peer for it.

#![allow(dead_code, reason = "each test file uses a part of it")]

use futures_util::{SinkExt, StreamExt};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

/// Fails rather than hangs.
pub(crate) async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("it takes too long")
}

pub(crate) struct Program {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    pub(crate) stdout: Option<BufReader<ChildStdout>>,
    stderr: BufReader<ChildStderr>,
}

/// How it ended, and what it had said that was not read before.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Program {
    pub(crate) fn start<A: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Self::start_in(args, &[])
    }

    /// With these variables in its environment.
    pub(crate) fn start_in<A: AsRef<std::ffi::OsStr>>(
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Self {
        Self::start_under(&[], args, variables)
    }

    /// By this command, which becomes the program.
    pub(crate) fn start_under<A: AsRef<std::ffi::OsStr>>(
        by: &[String],
        args: impl IntoIterator<Item = A>,
        variables: &[(&str, &str)],
    ) -> Self {
        let program = env!("CARGO_BIN_EXE_alkpubsub").to_owned();
        let mut words = by.iter().chain([&program]);
        let mut command = Command::new(words.next().unwrap_or(&program));
        command.args(words);
        // Whoever runs the tests may have them.
        for variable in
            ["RUST_LOG", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "SSL_CERT_FILE", "SSL_CERT_DIR"]
        {
            command.env_remove(variable);
        }
        let mut child = command
            .args(args)
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().map(BufReader::new);
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stdin, stdout, stderr }
    }

    /// A hub on a port of its own, and its URL.
    pub(crate) async fn hub(options: &[&str]) -> (Self, String) {
        Self::hub_in(options, &[]).await
    }

    /// It says no more than it must, unless it is told to.
    pub(crate) async fn hub_in(options: &[&str], variables: &[(&str, &str)]) -> (Self, String) {
        let words = ["hub", "--listen", "127.0.0.1:0"].iter().chain(options);
        let variables: Vec<_> = [("RUST_LOG", "warn")].iter().chain(variables).copied().collect();
        let mut hub = Self::start_in(words, &variables);
        let line = hub.line().await;
        let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line}"));
        (hub, url.to_owned())
    }

    /// The next line of its output.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = String::new();
        in_time(self.stdout.as_mut().unwrap().read_line(&mut line)).await.unwrap();
        assert!(line.ends_with('\n'), "the output has ended: {line:?}");
        line.pop();
        line
    }

    /// The next line of what it says beside its output.
    pub(crate) async fn said(&mut self) -> String {
        let mut line = String::new();
        in_time(self.stderr.read_line(&mut line)).await.unwrap();
        assert!(line.ends_with('\n'), "it says no more: {line:?}");
        line
    }

    pub(crate) async fn input(&mut self, text: impl AsRef<[u8]>) {
        in_time(self.stdin.as_mut().unwrap().write_all(text.as_ref())).await.unwrap();
    }

    pub(crate) async fn signal(&self, name: &str) {
        let process = self.child.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-s", name, &process]).status().await.unwrap();
        assert!(sent.success());
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; its input ends now.
    pub(crate) async fn ended(mut self) -> Ended {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), String::new());
        let all = async {
            let out = async {
                if let Some(output) = &mut self.stdout {
                    output.read_to_end(&mut stdout).await.unwrap();
                }
            };
            let (status, (), error) =
                tokio::join!(self.child.wait(), out, self.stderr.read_to_string(&mut stderr));
            error.unwrap();
            status.unwrap()
        };
        let status: ExitStatus = in_time(all).await;
        Ended { code: status.code(), stdout: String::from_utf8(stdout).unwrap(), stderr }
    }
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> impl Future<Output = Ended> + use<> {
    Program::start(args).ended()
}

impl Ended {
    /// It ended with this code, and said one line that holds these words, or nothing if it ended well.
    #[track_caller]
    pub(crate) fn assert(&self, code: i32, words: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        if code == 0 {
            assert_eq!(self.stderr, "");
            return;
        }
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert!(line.starts_with("alkpubsub: ") && !line.contains('\n'), "not one line: {self:?}");
        assert!(line.contains(words), "{words:?} is not in {line:?}");
    }
}

/// Asks by HTTP; gives the head and the body of the answer.
pub(crate) async fn http(url: &str, request: &str) -> (String, String) {
    let address = url.strip_prefix("ws://").unwrap().trim_end_matches('/');
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(stream.read_to_string(&mut answer)).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.to_owned(), body.to_owned())
}

/// A file that goes with this value.
pub(crate) struct Scratch(std::path::PathBuf);

impl Scratch {
    pub(crate) fn with(content: &str) -> Self {
        use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("alkpubsub-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, content).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) async fn bind() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        (Self(listener), url)
    }

    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = in_time(self.0.accept()).await.unwrap();
        Peer(in_time(accept_async(stream)).await.unwrap())
    }

    /// Answers whatever comes with these bytes.
    pub(crate) async fn answer(&self, bytes: &[u8]) {
        self.refuse(bytes).await;
    }

    /// Answers the request that comes with these bytes, and gives it.
    pub(crate) async fn refuse(&self, bytes: &[u8]) -> String {
        let (mut stream, _) = in_time(self.0.accept()).await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            assert!(stream.read_buf(&mut request).await.unwrap() > 0);
        }
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        while stream.read(&mut [0; 4096]).await.is_ok_and(|bytes| bytes > 0) {}
        String::from_utf8(request).unwrap()
    }
}

pub(crate) struct Peer(WebSocketStream<TcpStream>);

impl Peer {
    pub(crate) async fn connect(url: &str, origin: Option<&str>) -> Result<Self, Error> {
        let address = url.strip_prefix("ws://").unwrap().trim_end_matches('/');
        let mut request = Request::get(url)
            .header("host", address)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let stream = TcpStream::connect(address).await.unwrap();
        let (socket, _) = in_time(client_async(request.body(()).unwrap(), stream)).await?;
        Ok(Self(socket))
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Message, Error>> {
        in_time(self.0.next()).await
    }

    /// The next text message.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Some(Ok(Message::Text(text))) => text.to_string(),
            other => panic!("not a text message: {other:?}"),
        }
    }

    /// The code of the Close that comes after whatever else; it is answered.
    pub(crate) async fn closed(&mut self) -> u16 {
        loop {
            match self.next().await {
                Some(Ok(Message::Close(frame))) => {
                    let _ = self.0.flush().await;
                    return frame.map_or(1005, |frame| frame.code.into());
                }
                Some(Ok(_)) => {}
                other => panic!("not a Close: {other:?}"),
            }
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        in_time(self.0.send(Message::text(text.to_owned()))).await.unwrap();
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame { code: code.into(), reason: reason.to_owned().into() };
        in_time(self.0.close(Some(frame))).await.unwrap();
    }

    /// Waits for a `__subscribe` to each of these topics and answers it.
    pub(crate) async fn grant(&mut self, topics: &[&str]) {
        for topic in topics {
            let asked = self.text().await;
            assert_eq!(asked, format!(r#"{{"type":"__subscribe","id":"","payload":{{"topic":"{topic}"}}}}"#));
            self.send(&asked.replace("__subscribe", "__subscribed")).await;
        }
    }

    /// Waits for a `__ping` and answers it.
    pub(crate) async fn pong(&mut self) {
        let ping = self.text().await;
        let echo = ping.strip_prefix(r#"{"type":"__ping","id":"","payload":"#).expect(&ping);
        let pong = format!(r#"{{"echo":{},"protocol":1,"features":[]}}"#, &echo[..echo.len() - 1]);
        self.send(&format!(r#"{{"type":"__pong","id":"","payload":{pong}}}"#)).await;
    }
}
