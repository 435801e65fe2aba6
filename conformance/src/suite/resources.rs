//! What the process holds, so that a long run can say whether it grows.

use std::fmt;
use std::fs;

/// What the process holds at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resources {
    /// Resident memory, in KiB.
    memory: usize,
    descriptors: usize,
    threads: usize,
}

/// Memory that allocators may keep or spread differently from round to round, in KiB.
const SLACK: usize = 8 << 10;

impl Resources {
    /// What is held now, where the system tells.
    pub(super) fn now() -> Option<Self> {
        let status = fs::read_to_string("/proc/self/status").ok()?;
        let number = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let descriptors = fs::read_dir("/proc/self/fd").ok()?.count();
        Some(Self { memory: number("VmRSS:")?, descriptors, threads: number("Threads:")? })
    }

    /// What has grown since then, beyond what is usual.
    pub(super) fn growth_since(&self, before: &Self) -> Option<String> {
        let mut grown = Vec::new();
        if self.memory > before.memory + before.memory / 4 + SLACK {
            grown.push(format!("memory from {} to {} KiB", before.memory, self.memory));
        }
        for (what, before, now) in
            [("descriptors", before.descriptors, self.descriptors), ("threads", before.threads, self.threads)]
        {
            if now > before {
                grown.push(format!("{what} from {before} to {now}"));
            }
        }
        (!grown.is_empty()).then(|| grown.join(", "))
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB of memory, {} descriptors, {} threads", self.memory, self.descriptors, self.threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_noise() {
        let before = Resources { memory: 20_000, descriptors: 10, threads: 4 };
        assert_eq!(Resources { memory: 30_000, ..before }.growth_since(&before), None);
        let leaks = Resources { memory: 40_000, descriptors: 11, threads: 4 };
        let told = "memory from 20000 to 40000 KiB, descriptors from 10 to 11";
        assert_eq!(leaks.growth_since(&before).as_deref(), Some(told));
    }
}
