//! How many files the system lets this process open: each connection is one.

/// Makes room for so many connections, as far as the system allows it: it gives few at first, and more to who asks.
#[cfg(unix)]
pub(super) fn allow(connections: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// What else is open.
    const OTHERS: u64 = 64;
    let wanted = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let most = limit.maximum.map_or(wanted, |maximum| wanted.min(maximum));
    let is_set = setrlimit(Resource::Nofile, Rlimit { current: Some(most), ..limit }).is_ok();
    if !is_set || most < wanted {
        let text =
            "more connections than the system lets a process have; raise its limit of open files (ulimit -n)";
        crate::exit::say(text);
    }
}

/// Makes room for so many connections.
#[cfg(not(unix))]
pub(super) fn allow(_: usize) {}
