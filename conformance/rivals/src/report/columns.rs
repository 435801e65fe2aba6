//! Which figures of a workload are shown, and which of them it is about.

use super::numbers::Unit;
use crate::workload::{Echo, Job};

/// A figure that is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) unit: Unit,
    /// What it is multiplied by.
    pub(crate) scale: f64,
}

const fn column(title: &'static str, figure: &'static str, unit: Unit) -> Column {
    Column { title, figure, unit, scale: 1.0 }
}

/// What a workload is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Aim {
    pub(crate) column: Column,
    /// Whether more of it is better.
    pub(crate) more: bool,
}

const P50: Column = column("p50", "p50_ns", Unit::Time);
const P99: Column = column("p99", "p99_ns", Unit::Time);
const P99_9: Column = column("p99.9", "p99_9_ns", Unit::Time);
const SERVER_CPU: Column = column("CPU server", "server_cpu_ns", Unit::Time);
const CLIENT_CPU: Column = column("CPU client", "client_cpu_ns", Unit::Time);
const SERVER_ALLOCATIONS: Column = column("alloc. server", "server_allocations", Unit::Few);
const CLIENT_ALLOCATIONS: Column = column("alloc. client", "client_allocations", Unit::Few);
const BEFORE: Column = column("before", "resident_before", Unit::Bytes);
const ENCODES: Column = column("encodes", "encodes", Unit::Count);
const LONGEST: Column = column("longest", "longest_ns", Unit::Time);
const TRANSFER: Column = column("transfer", "transfer_rate", Unit::BytesPerSecond);

impl Job {
    pub(crate) fn aim(&self) -> Aim {
        match *self {
            Self::Echo(Echo { size, .. }) if size >= LARGE => {
                // Each byte of payload goes there and comes back.
                let column =
                    Column { scale: 2.0 * size as f64, ..column("payload", "rate", Unit::BytesPerSecond) };
                Aim { column, more: true }
            }
            Self::Echo(_) => Aim { column: column("calls/s", "rate", Unit::Count), more: true },
            Self::Idle { .. } => {
                Aim { column: column("bytes each", "bytes_per_connection", Unit::Bytes), more: false }
            }
            Self::Broadcast { .. } => {
                Aim { column: column("until the last", "p50_ns", Unit::Time), more: false }
            }
            Self::Mixed { .. } => Aim { column: P99, more: false },
        }
    }

    /// What is shown beside it.
    pub(crate) const fn columns(&self) -> &'static [Column] {
        match self {
            Self::Echo(_) => {
                &[P50, P99, P99_9, SERVER_CPU, CLIENT_CPU, SERVER_ALLOCATIONS, CLIENT_ALLOCATIONS]
            }
            Self::Idle { .. } => &[BEFORE],
            Self::Broadcast { .. } => {
                &[P99, SERVER_CPU, CLIENT_CPU, ENCODES, SERVER_ALLOCATIONS, CLIENT_ALLOCATIONS]
            }
            Self::Mixed { .. } => &[P50, LONGEST, TRANSFER],
        }
    }
}

/// From how many bytes on it is bytes that count, not calls.
const LARGE: usize = 16 << 10;
