//! What is asked of the operating system: cores, clocks, memory, and that children do not outlive their parent.

use std::fs;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::{Pid, SysconfVar, getppid, sysconf};

use crate::Result;

/// Ends this process with its parent, also if that has ended already.
pub(crate) fn end_with_parent(parent: u32) -> Result {
    set_pdeathsig(Signal::SIGKILL)?;
    if getppid().as_raw().unsigned_abs() == parent { Ok(()) } else { Err("the orchestrator has gone".into()) }
}

/// Keeps this process, with all threads that it will start, on one core.
pub(crate) fn pin(core: usize) -> Result {
    let mut cores = CpuSet::new();
    cores.set(core)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &cores)?)
}

/// A core for the server and one for the client: the same one if this process may use no other. Two threads
/// of one physical core are avoided where that is possible.
pub(crate) fn two_cores() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(Pid::from_raw(0))?;
    let cores: Vec<usize> =
        (0..CpuSet::count()).filter(|core| allowed.is_set(*core).unwrap_or(false)).collect();
    let first = *cores.first().ok_or("this process may use no core")?;
    let siblings = siblings(first);
    let second = cores
        .iter()
        .find(|core| **core != first && !siblings.contains(core))
        .or_else(|| cores.get(1))
        .unwrap_or(&first);
    Ok((first, *second))
}

/// The cores that share their hardware with this one, itself included: `0,4` or `0-1` in the system's words.
fn siblings(core: usize) -> Vec<usize> {
    let path = format!("/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list");
    let text = fs::read_to_string(path).unwrap_or_default();
    text.trim()
        .split(',')
        .filter_map(|part| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            Some(from.parse().ok()?..=to.parse().ok()?)
        })
        .flatten()
        .collect()
}

/// Allows as many open files as this process may allow itself.
pub(crate) fn raise_open_files() -> Result {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, most, most)?)
}

/// The processor's time that a process has used, all its threads together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessClock(ClockId);

impl ProcessClock {
    /// The clock of another process.
    pub(crate) fn of(process: u32) -> Result<Self> {
        Ok(Self(clock_getcpuclockid(Pid::from_raw(process.try_into()?))?))
    }

    /// The clock of this process.
    pub(crate) const fn own() -> Self {
        Self(ClockId::CLOCK_PROCESS_CPUTIME_ID)
    }

    pub(crate) fn now(self) -> Result<Duration> {
        Ok(clock_gettime(self.0)?.into())
    }
}

/// The core that a process is pinned to.
pub(crate) fn core_of(process: u32) -> Result<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(process.try_into()?))?;
    let core = (0..CpuSet::count()).find(|core| allowed.is_set(*core).unwrap_or(false));
    core.ok_or_else(|| "a process that may use no core".into())
}

/// How long a core has been busy, with whatever; what the host of a virtual machine kept for itself included.
pub(crate) fn busy(core: usize) -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let name = format!("cpu{core} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name)).ok_or("a core that has no line")?;
    let times = line.split_whitespace().map(|time| time.parse::<u32>()).collect::<Result<Vec<_>, _>>()?;
    let [user, nice, system, _idle, _waiting, interrupts, soft, stolen, ..] = times[..] else {
        return Err("/proc/stat has another form".into());
    };
    let ticks = sysconf(SysconfVar::CLK_TCK)?.ok_or("no length of a tick")?;
    let each = Duration::from_secs(1) / u32::try_from(ticks)?;
    Ok(each * (user + nice + system + interrupts + soft + stolen))
}

/// Bytes of a process that lie in memory, counted page by page.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    // Others of the system's figures are sums that each core updates when it likes.
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).ok_or("no Rss in smaps_rollup")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? << 10)
}

/// What the processor calls itself.
pub(crate) fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    name.map_or_else(|| std::env::consts::ARCH.into(), |(_, name)| name.trim().into())
}

/// The kernel's version.
pub(crate) fn kernel() -> String {
    said_by("/proc/sys/kernel/osrelease")
}

/// How TCP decides how much to send.
pub(crate) fn congestion_control() -> String {
    said_by("/proc/sys/net/ipv4/tcp_congestion_control")
}

fn said_by(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|_| "unknown".into(), |text| text.trim().into())
}
