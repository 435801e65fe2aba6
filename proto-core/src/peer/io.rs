//! What a driver needs of a runtime: a byte stream, and to be woken at a time.

use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{IoSlice, Result};

use crate::time::Instant;

/// A byte stream that both sides can shut down separately.
///
/// No bound asks for `Send`: a stream may belong to its thread.
pub trait Io {
    /// Reads once, at most `most` bytes, into memory of the implementation's choice, and lends what was read to `sink`. The driver
    /// asks for less than it could take when both ends have more from working at the same time.
    ///
    /// Memory may be shared by all streams of a thread, since it is lent only for the call: so an idle connection holds
    /// none. `Ready(Ok(0))`, without a call of `sink`, is the end of the stream.
    ///
    /// # Errors
    /// If the stream broke.
    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
        sink: &mut dyn FnMut(&mut [u8]),
    ) -> Poll<Result<usize>>;

    /// Reads once like [`poll_read`](Self::poll_read), but asks the system itself whether there is something, and has nobody woken:
    /// for [busy polling](super::Driver::busy_poll). `None` (default) if the transport cannot, and then the driver rests
    /// instead.
    ///
    /// # Errors
    /// If the stream broke.
    fn read_now(&mut self, most: usize, sink: &mut dyn FnMut(&mut [u8])) -> Option<Poll<Result<usize>>> {
        let _ = (most, sink);
        None
    }

    /// Reads once into this memory, for large bodies that need not be copied; `None` (default) if the transport cannot, and
    /// then [`poll_read`](Self::poll_read) is asked. `Ready(Ok(0))` is the end of the stream.
    ///
    /// The connection is locked meanwhile: an implementation must not use the connection's handles.
    ///
    /// # Errors
    /// If the stream broke.
    fn poll_read_into(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Option<Poll<Result<usize>>> {
        let _ = (cx, into);
        None
    }

    /// Writes some of these chunks, in order, and says how many bytes. An implementation that cannot write several at
    /// once may write the first only.
    ///
    /// A transport that owns its buffers copies some bytes, returns `Pending` while they are being written, and says so by
    /// [`taken`](Self::taken); the same bytes are lent again until it reports them as written. The connection is locked
    /// meanwhile: an implementation must not use the connection's handles.
    ///
    /// # Errors
    /// If the stream broke. `Ready(Ok(0))` counts as broken too.
    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> Poll<Result<usize>>;

    /// How many of the bytes that were lent last are in the transport's hands and not reported as written. Default 0: that of
    /// a transport that takes only what it writes. The connection is locked meanwhile.
    fn taken(&self) -> usize {
        0
    }

    /// Says that the task was woken, and that nobody else is known to have done so: there may be something to read. For transports
    /// that would ask their runtime before they read, where asking the system itself is surer. It is a guess: whoever finds nothing
    /// then has to have the task woken like any other. The connection is locked meanwhile. Default: does nothing.
    fn may_have_come(&mut self) {}

    /// Says how long the other end may take nothing before the connection is given up, for transports that have such a limit
    /// of their own, which must not be shorter. Default: does nothing.
    fn limit_stalls(&mut self, longest: Duration) {
        let _ = longest;
    }

    /// Says how many bytes the system may keep that have arrived and not been read, for transports where that can be told. Default:
    /// does nothing.
    fn limit_receive_buffer(&mut self, most: u32) {
        let _ = most;
    }

    /// Ends writing, so that the peer reads the end of the stream after all that was written. Reading goes on. The connection is
    /// locked meanwhile, as for [`poll_write`](Self::poll_write).
    ///
    /// # Errors
    /// If the stream broke.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>>;
}

/// Wakes a task at a time.
pub trait Sleep {
    /// Ready when `at` has come. Until then the task of `cx` is woken at or after that time.
    ///
    /// The driver asks when its deadline has become earlier than what it asked for last, when that has passed, or when another
    /// task polls it: until then it relies on having the task woken that asked last. It may ask for the same instant again. Being ready
    /// early does no harm, since the driver trusts its clock alone; nor does waking the task up to 2 ms early, by that clock.
    fn poll_until(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()>;

    /// Has the task of `cx` woken as soon as everybody else had a turn: other tasks, whatever blocks on a future, and the
    /// runtime itself, which looks for what has come. For [busy polling](super::Driver::busy_poll), and for drivers that have
    /// been at work for long. Default: it is woken at once, which is right for runtimes that look often.
    fn wake_soon(&mut self, cx: &mut Context<'_>) {
        cx.waker().wake_by_ref();
    }
}
