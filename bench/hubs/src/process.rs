//! What the kernel says of a process and of the machine.

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;
use std::fs::read_to_string;
use std::time::Duration;

/// A process and those that it started.
#[derive(Debug, Clone)]
pub struct Process {
    pids: Vec<i32>,
}

impl Process {
    /// The process and its descendants as they are now.
    #[must_use]
    pub fn with_descendants(pid: i32) -> Self {
        let mut pids = vec![pid];
        let mut at = 0;
        while let Some(pid) = pids.get(at) {
            for task in std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
                let children = read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(children.split_whitespace().filter_map(|child| child.parse::<i32>().ok()));
            }
            at += 1;
        }
        Self { pids }
    }

    /// The time that all threads had a CPU, those that have ended among them: user and system time, and whatever
    /// the kernel did for the network while one of them ran. To the nanosecond, where /proc/PID/stat counts ticks.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn cpu(&self) -> Result<Duration> {
        self.pids.iter().try_fold(Duration::ZERO, |sum, pid| {
            let clock =
                clock_getcpuclockid(Pid::from_raw(*pid)).with_context(|| format!("process {pid} is gone"))?;
            Ok(sum + Duration::from(clock_gettime(clock)?))
        })
    }

    /// Memory of the processes in KiB: what is resident. The kernel's own memory for sockets is not in it.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn memory(&self) -> Result<u64> {
        self.pids.iter().try_fold(0, |sum, pid| {
            let path = format!("/proc/{pid}/smaps_rollup");
            let text = read_to_string(&path).with_context(|| path.clone())?;
            Ok(sum + named(&text, "Rss:").with_context(|| path)?)
        })
    }
}

/// The time that this process had a CPU.
///
/// # Errors
///
/// The kernel has no such clock.
pub fn own_cpu() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID)?.into())
}

/// How long all CPUs together were busy since the machine started, with what was stolen from it.
///
/// # Errors
///
/// There is no /proc/stat.
pub fn machine_cpu() -> Result<Duration> {
    let text = read_to_string("/proc/stat")?;
    let numbers: Vec<u64> =
        text.lines().next().unwrap_or("").split_whitespace().skip(1).flat_map(str::parse).collect();
    // user, nice, system, idle, iowait, irq, softirq, steal
    let busy: u64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| numbers.get(*at)).sum();
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK)?.unwrap_or(100);
    Ok(Duration::from_secs_f64(busy as f64 / ticks as f64))
}

/// Segments with data that the machine has sent over TCP.
///
/// # Errors
///
/// There is no /proc/net/netstat, or it does not count them.
pub fn tcp_segments() -> Result<u64> {
    let text = read_to_string("/proc/net/netstat")?;
    let mut lines = text.lines().filter(|line| line.starts_with("TcpExt:"));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    let at = names.split(' ').position(|name| name == "TCPOrigDataSent").context("no TCPOrigDataSent")?;
    Ok(values.split(' ').nth(at).context("no value")?.parse()?)
}

/// What the kernel holds in KiB for itself that has to do with sockets: its objects and TCP's buffers, of all
/// processes.
///
/// # Errors
///
/// /proc does not say.
pub fn kernel_memory() -> Result<u64> {
    let slab = named(&read_to_string("/proc/meminfo")?, "Slab:").context("no Slab in /proc/meminfo")?;
    let sockets = read_to_string("/proc/net/sockstat")?;
    let pages = sockets
        .lines()
        .find(|line| line.starts_with("TCP:"))
        .and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
        .context("no TCP in /proc/net/sockstat")?;
    Ok(slab + pages * 4)
}

/// Connections that are open at this end, which has the port: those that it has not begun to close.
///
/// # Errors
///
/// /proc does not say.
pub fn open_connections(port: u16) -> Result<usize> {
    let text = read_to_string("/proc/net/tcp")?;
    let (end, established) = (format!(":{port:04X}"), "01");
    let open = |line: &&str| {
        let mut words = line.split_whitespace().skip(1);
        words.next().is_some_and(|local| local.ends_with(&end)) && words.nth(1) == Some(established)
    };
    Ok(text.lines().filter(open).count())
}

fn named(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok())
}

/// Raises the limit of open files as far as it goes, and says how far.
///
/// # Errors
///
/// The kernel does not say.
pub fn raise_open_files() -> Result<u64> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to() {
        let own = Process::with_descendants(i32::try_from(std::process::id()).expect("a pid"));
        let before = own.cpu().expect("time");
        let started = std::time::Instant::now();
        while started.elapsed() < Duration::from_millis(20) {
            std::hint::black_box(0);
        }
        let spent = own.cpu().expect("time") - before;
        assert!(spent >= Duration::from_millis(1), "{spent:?}");
        assert!(own.memory().expect("memory") > 100);
        assert!(kernel_memory().expect("memory") > 100);
        tcp_segments().expect("segments");
        machine_cpu().expect("time");
    }

    #[test]
    fn a_connection_is_open_until_this_end_closes_it() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let far = std::net::TcpStream::connect(address).expect("a connection");
        let (near, _) = listener.accept().expect("its end");
        assert_eq!(open_connections(address.port()).expect("a number"), 1);
        near.shutdown(std::net::Shutdown::Write).expect("closed");
        assert_eq!(open_connections(address.port()).expect("a number"), 0);
        drop(far);
    }

    #[test]
    fn a_process_that_is_gone_is_an_error() {
        assert!(Process { pids: vec![5_000_000] }.cpu().is_err());
    }
}
