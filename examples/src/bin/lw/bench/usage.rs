//! What processes cost: time on processors and memory, as Linux tells in `/proc`. Elsewhere nothing is known.

use std::fs;
use std::time::Duration;

use super::clock::Nanos;

/// Ticks in a second, in which Linux tells the time that a process has used: the same on every machine.
const TICKS: u64 = 100;

/// A process, told from others that have had its number before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    pub(super) name: String,
    /// In ticks since the system began.
    started: u64,
}

/// What a process has used since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Time on processors, in its own code and in the system's.
    pub(super) user: Duration,
    pub(super) system: Duration,
    /// The most memory that it has had, in bytes.
    pub(super) peak_memory: Option<u64>,
}

impl Process {
    /// The process with this number, if there is one and the system tells.
    pub(super) fn find(id: u32) -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)?;
        Some(Self { id, name: stat.name, started: stat.started })
    }

    /// What it has used; `None` if it has ended.
    pub(super) fn usage(&self) -> Option<Usage> {
        let stat = Stat::parse(&fs::read_to_string(format!("/proc/{}/stat", self.id)).ok()?)?;
        if stat.started != self.started {
            return None;
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.id)).unwrap_or_default();
        Some(Usage { peak_memory: peak_memory(&status), ..stat.usage })
    }
}

/// What a thread has had of the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ThreadTime {
    pub(super) ran: Nanos,
    /// It could have run, and had to wait for a processor.
    pub(super) waited: Nanos,
    /// How often it began to run.
    pub(super) turns: u64,
}

impl ThreadTime {
    /// That of the calling thread since it began.
    pub(super) fn own() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)
    }

    pub(super) const fn since(&self, before: &Self) -> Self {
        Self {
            ran: self.ran.saturating_sub(before.ran),
            waited: self.waited.saturating_sub(before.waited),
            turns: self.turns.saturating_sub(before.turns),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let mut fields = text.split_whitespace().map(str::parse);
        let mut next = || fields.next()?.ok();
        Some(Self { ran: next()?, waited: next()?, turns: next()? })
    }
}

/// What is wanted of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    name: String,
    usage: Usage,
    started: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The name may contain anything, blanks and brackets too.
        let (_, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        // The state is field 3.
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u64>().ok();
        let time = |ticks: u64| Duration::from_millis(ticks.saturating_mul(1000 / TICKS));
        let usage = Usage { user: time(field(14)?), system: time(field(15)?), peak_memory: None };
        Some(Self { name: name.to_owned(), usage, started: field(22)? })
    }
}

/// The most memory that was resident, from `/proc/PID/status`.
fn peak_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_have_any_name() {
        let text = "4711 (a) (b c) S 1 4711 4711 0 -1 4194560 1533 0 0 0 250 75 0 0 20 0 3 0 98765 11427840 1377 \
                    18446744073709551615 1 1 0 0 0 0 0 4096 17474 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let expected = Stat {
            name: "a) (b c".to_owned(),
            usage: Usage {
                user: Duration::from_millis(2500),
                system: Duration::from_millis(750),
                peak_memory: None,
            },
            started: 98765,
        };
        assert_eq!(Stat::parse(text), Some(expected));
        for text in ["", "1 (x", "1 (x) S 1 2 3", "1 (x) S 1 1 1 0 -1 1 1 0 0 0 a b 0 0 20 0 3 0 1"] {
            assert_eq!(Stat::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_thread_runs_and_waits() {
        let [before, after] = ["7000 500 3", "9000 501 4\n"].map(|text| ThreadTime::parse(text).unwrap());
        assert_eq!(after.since(&before), ThreadTime { ran: 2000, waited: 1, turns: 1 });
        assert!(["", "7 8", "a b c"].iter().all(|text| ThreadTime::parse(text).is_none()));
    }

    #[test]
    fn peak_memory_is_in_bytes() {
        assert_eq!(peak_memory("Name:\tlw\nVmPeak:\t  99 kB\nVmHWM:\t    5508 kB\n"), Some(5_640_192));
        assert_eq!(peak_memory("Name:\tkthreadd\n"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_found() {
        let this = Process::find(std::process::id()).unwrap();
        assert!(!this.name.is_empty());
        assert!(this.usage().unwrap().peak_memory.unwrap() > 0);
        let other = Process { started: this.started + 1, ..this };
        assert_eq!(other.usage(), None);
    }
}
