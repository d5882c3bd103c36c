//! A hub that nobody reaches but a relay: two networks without a route to each other, and one that both reach, with the
//! relay in it. `./test nat` runs it: it takes root, `ip` and `ping`.
#![cfg(target_os = "linux")]

mod program;

use alkpubsub_test_relay::Relay;
use program::{Program, in_time};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use tokio::sync::oneshot;

const RELAY: &str = "10.99.0.1";
const HUB: &str = "10.99.1.2";
const SPOKE: &str = "10.99.2.2";

/// A network of its own. It is there as long as the process that holds it, which ends with its input: however this test
/// ends, nothing is left.
struct Network(Child);

impl Network {
    fn new() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "ip link set lo up && echo up && exec cat"]);
        let mut holder =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "up\n", "a network of its own takes root");
        Self(holder)
    }

    fn file(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// What goes before a command that is to run in it.
    fn inside(&self) -> [String; 2] {
        ["nsenter".into(), format!("--net={}", self.file())]
    }

    /// Whether this ends well in it.
    fn succeeds(&self, command: &str) -> bool {
        let [nsenter, net] = self.inside();
        let mut command_line = Command::new(nsenter);
        command_line.args([&net, "sh", "-c", command]).status().expect("nsenter of util-linux").success()
    }

    #[track_caller]
    fn run(&self, command: &str) {
        assert!(self.succeeds(command), "{command}");
    }

    fn pings(&self, address: &str) -> bool {
        self.succeeds(&format!("ping -q -c 1 -W 2 {address}"))
    }

    /// A cable between both, whose far end is `eth0`.
    fn connect(&self, name: &str, other: &Self, network: &str) {
        self.run(&format!("ip link add {name} type veth peer name eth0 netns {}", other.0.id()));
        self.run(&format!("ip address add {network}.1/24 dev {name} && ip link set {name} up"));
        other.run(&format!("ip address add {network}.2/24 dev eth0 && ip link set eth0 up"));
        other.run(&format!("ip route add {RELAY} via {network}.1"));
    }

    /// A relay in it, until the sender is dropped.
    fn relay(&self) -> (oneshot::Sender<()>, oneshot::Receiver<String>) {
        let network = File::open(self.file()).unwrap();
        let ((end, ended), (tell, told)) = (oneshot::channel::<()>(), oneshot::channel());
        std::thread::spawn(move || {
            // This thread alone, and whatever it starts.
            move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let relay = Relay::listen(format!("{RELAY}:0").parse().unwrap()).await.unwrap();
                tell.send(relay.url()).unwrap();
                let _ = ended.await;
                relay.shutdown().await.unwrap();
            });
        });
        (end, told)
    }

    /// The program, in it.
    fn start(&self, args: &[&str]) -> Program {
        Program::start_under(&self.inside(), args, &[("RUST_LOG", "warn,alkpubsub=info")])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

async fn subscribed(sub: &mut Program) {
    while !sub.said().await.contains("subscribed") {}
}

#[tokio::test]
#[ignore = "makes networks, as root: ./test nat"]
async fn a_hub_without_a_route_to_its_spokes_is_reached_by_the_relay_of_both() {
    let (between, of_hub, of_spoke) = (Network::new(), Network::new(), Network::new());
    between.run(&format!("ip address add {RELAY}/32 dev lo && echo 0 >/proc/sys/net/ipv4/ip_forward"));
    between.connect("hub0", &of_hub, "10.99.1");
    between.connect("spoke0", &of_spoke, "10.99.2");
    assert!(of_hub.pings(RELAY) && of_spoke.pings(RELAY), "both reach the relay's network");
    assert!(of_hub.pings(HUB) && of_spoke.pings(SPOKE), "these are their addresses");
    assert!(!of_hub.pings(SPOKE) && !of_spoke.pings(HUB), "neither reaches the other");

    let (_until_the_end, relay) = between.relay();
    let relay = in_time(relay).await.unwrap();
    let options = ["hub", "--iroh", "--no-websocket", "--insecure", "--iroh-relay", &relay];
    let mut hub = of_hub.start(&options);
    let line = hub.line().await;
    let url = line.strip_prefix("listening on ").unwrap();
    let address = alkpubsub::iroh::address_of(url).unwrap();
    assert!(address.ip_addrs().any(|at| at.ip().to_string() == HUB), "{address:?}");

    let numbered = |number| format!("{{\"type\":\"n\",\"id\":\"\",\"payload\":{number}}}\n");
    let (first, second): (String, String) =
        ((1..=500).map(numbered).collect(), (501..=1_000).map(numbered).collect());
    let mut subs =
        [&of_spoke, &of_hub].map(|network| network.start(&["sub", url, "n", "", "--count", "1000"]));
    for sub in &mut subs {
        subscribed(sub).await;
    }
    for (network, lines) in [(&of_spoke, &first), (&of_hub, &second)] {
        let mut publisher = network.start(&["pub", url, "-"]);
        publisher.input(lines).await;
        assert_eq!(publisher.ended().await.code, Some(0));
    }
    for sub in subs {
        let ended = sub.ended().await;
        assert_eq!((ended.code, ended.stdout), (Some(0), first.clone() + &second), "{}", ended.stderr);
    }
    assert!(!of_hub.pings(SPOKE) && !of_spoke.pings(HUB), "nor did they at the end");
    hub.signal("TERM").await;
    assert_eq!(hub.ended().await.code, Some(0));
}
