//! What a connection has counted.

/// Counts since the start of one connection. They only grow. How much a driver reads at a time, and whether what arrives comes fast
/// enough, are told by them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Bytes taken from the transport.
    pub bytes_received: u64,
    /// Bytes written by the transport.
    pub bytes_sent: u64,
    /// Frames received whole, of any kind.
    pub frames_received: u64,
    /// Frames of unknown kinds that were skipped.
    pub frames_ignored: u32,
    /// Calls of this side that ended at their deadline.
    pub calls_timed_out: u32,
    /// Replies that came after their call had ended early.
    pub replies_late: u32,
    /// Replies of the peer that were dropped because too many waited for the application.
    pub replies_discarded: u32,
    /// Replies of this side that were replaced because they were too long or there was no room.
    pub replies_replaced: u32,
    /// Requests of the peer whose deadline passed before the application took them.
    pub requests_expired: u32,
    /// Requests that came after this side's CLOSE, and were dropped.
    pub requests_dropped: u32,
    /// Pings answered.
    pub pings_answered: u32,
    /// Requests of the peer whose caller gave them up before they were answered.
    pub requests_cancelled: u32,
}

impl Counters {
    pub(super) const fn frames(&self) -> u64 {
        self.frames_received + self.frames_ignored as u64
    }
}
