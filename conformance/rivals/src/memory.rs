//! What connections that do nothing cost a server.

use std::time::Duration;

use crate::Result;
use crate::meter::Figures;
use crate::system::resident_bytes;

/// How long a server is left alone before it is looked at.
pub(crate) const SETTLING: Duration = Duration::from_secs(1);

/// A server's memory before the connections, when it has served one already: what it needs once is not counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    server: u32,
    before: u64,
}

impl Memory {
    pub(crate) fn before(server: u32) -> Result<Self> {
        Ok(Self { server, before: resident_bytes(server)? })
    }

    /// What so many connections have added.
    pub(crate) fn after(self, connections: usize) -> Result<Figures> {
        let added = resident_bytes(self.server)?.saturating_sub(self.before);
        Ok([
            ("bytes_per_connection".to_owned(), added as f64 / connections as f64),
            ("resident_before".to_owned(), self.before as f64),
        ]
        .into())
    }
}
