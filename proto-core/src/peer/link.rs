//! A driver's hold on its transport: it reads and writes, and remembers what the transport last said.
//!
//! It decides nothing about the connection; it tells it what came, what went, and what failed.

use core::task::{Context, Poll};
use std::io::{self, ErrorKind, IoSlice};

use super::io::Io;
use super::shared::{Shared, State};
use crate::connection::Connection;
use crate::error::TransportError;
use crate::time::Instant;

/// Writes of one turn.
const WRITES: usize = 8;
/// Chunks of one vectored write.
const CHUNKS: usize = 32;

pub(super) struct Link<I> {
    io: I,
    /// The transport would not take more, or give more, when it was last asked.
    write_blocked: bool,
    read_blocked: bool,
    shut_down: bool,
    /// Writing has failed. What the peer said before that is still read.
    write_failed: Option<TransportError>,
}

impl<I: Io> Link<I> {
    pub(super) const fn new(io: I) -> Self {
        Self { io, write_blocked: false, read_blocked: false, shut_down: false, write_failed: None }
    }

    /// Whether all available input has been taken that the connection wants: the transport has none, and wakes the task when it has.
    pub(super) fn has_taken_all(&self, connection: &Connection) -> bool {
        // That writing has failed is told behind the last input.
        self.read_blocked || !connection.wants_read() && self.write_failed.is_none()
    }

    /// Whether there is something to write and the transport takes it later.
    pub(super) fn waits_to_write(&self, connection: &Connection) -> bool {
        connection.transmit_len() > 0 && self.write_blocked
    }

    /// Whether there is something to write and the transport might take it.
    pub(super) fn could_write(&self, connection: &Connection) -> bool {
        let wants = connection.transmit_len() > 0 || connection.wants_shutdown() && !self.shut_down;
        wants && !self.write_blocked
    }

    /// The task was woken, and nobody but the transport is known to have done so.
    pub(super) fn may_have_come(&mut self) {
        self.io.may_have_come();
    }

    /// Reads the rest of a large body straight into its own memory, if one is arriving and the transport can. Otherwise there may be
    /// something to be [read](Self::read).
    pub(super) fn read_body(
        &mut self,
        connection: &mut Connection,
        cx: &mut Context<'_>,
        now: impl FnOnce() -> Instant,
    ) -> Reading {
        if !connection.wants_read() {
            return Reading::Unwanted;
        }
        let space = connection.body_space();
        let Some(polled) = space.and_then(|space| self.io.poll_read_into(cx, space)) else {
            return Reading::Any;
        };
        if let Poll::Ready(Ok(n)) = polled {
            connection.commit_body(now(), n);
        }
        Reading::Body(polled)
    }

    /// Reads once, at most `most` bytes, unless a body has been [read](Self::read_body). `take` gives the connection what has come,
    /// behind a lock. Says whether anything came.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
        cx: &mut Context<'_>,
        reading: Reading,
        most: usize,
        take: impl FnMut(&mut State, Instant, &mut [u8]),
    ) -> bool {
        let mut came = matches!(reading, Reading::Body(Poll::Ready(Ok(1..))));
        let polled = match reading {
            // Nobody has been asked, and so nobody wakes the task.
            Reading::Unwanted => None,
            Reading::Body(polled) => Some(polled),
            Reading::Any => Some(self.io.poll_read(cx, most, &mut taker(shared, &mut came, take))),
        };
        self.read_blocked = polled.as_ref().is_some_and(Poll::is_pending);
        let polled = polled.unwrap_or(Poll::Pending);
        self.note_read(shared, polled, came)
    }

    /// Reads once, without being woken later; `take` is as for [`read`](Self::read). Says whether anything came; `None` if the
    /// transport cannot.
    pub(super) fn read_now(
        &mut self,
        shared: &Shared,
        most: usize,
        take: impl FnMut(&mut State, Instant, &mut [u8]),
    ) -> Option<bool> {
        let mut came = false;
        let polled = self.io.read_now(most, &mut taker(shared, &mut came, take))?;
        Some(self.note_read(shared, polled, came))
    }

    /// Tells the connection what reading came to beside bytes, of which some `came` or not. Says whether it came to anything.
    fn note_read(&mut self, shared: &Shared, polled: Poll<io::Result<usize>>, came: bool) -> bool {
        if let (Some(error), Poll::Pending) = (self.write_failed, &polled) {
            let connection = &mut shared.lock().connection;
            let ends_now = !connection.is_closed();
            connection.handle_transport_error(shared.clock.now(), error);
            return ends_now;
        }
        match polled {
            Poll::Pending => return false,
            Poll::Ready(Ok(_)) if came => {}
            Poll::Ready(Ok(_)) => shared.lock().connection.handle_eof(shared.clock.now()),
            Poll::Ready(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            Poll::Ready(Err(error)) => {
                let now = shared.clock.now();
                shared.lock().connection.handle_transport_error(now, error.kind().into());
            }
        }
        true
    }

    /// Writes until there is nothing left or the transport takes no more, within limits. Says whether anything was written.
    pub(super) fn write(&mut self, connection: &mut Connection, now: Instant, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        self.write_blocked = self.write_failed.is_some();
        if self.write_blocked {
            return false;
        }
        for _ in 0..WRITES {
            if connection.transmit_len() == 0 {
                break;
            }
            let mut slices = [IoSlice::new(&[]); CHUNKS];
            let mut filled = 0;
            for (slice, chunk) in slices.iter_mut().zip(connection.transmit()) {
                *slice = IoSlice::new(chunk);
                filled += 1;
            }
            let written = match self.io.poll_write(cx, &slices[..filled]) {
                Poll::Pending => {
                    // What an owning transport has taken may leave at any time, and so may have been received.
                    connection.begin_transmit(self.io.taken());
                    self.write_blocked = true;
                    return moved;
                }
                Poll::Ready(Ok(0)) => Err(io::Error::from(ErrorKind::WriteZero)),
                Poll::Ready(result) => result,
            };
            match written {
                Ok(n) => connection.advance_transmit(now, n),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.fail_to_write(&error);
                    return true;
                }
            }
            moved = true;
        }
        if connection.wants_shutdown() && !self.shut_down {
            match self.io.poll_shutdown(cx) {
                Poll::Pending => self.write_blocked = true,
                Poll::Ready(Ok(())) => self.shut_down = true,
                Poll::Ready(Err(error)) => {
                    self.shut_down = true;
                    self.fail_to_write(&error);
                    moved = true;
                }
            }
        }
        moved
    }

    /// Nothing is written any more. The connection is told so when all that has come was read.
    fn fail_to_write(&mut self, error: &io::Error) {
        self.write_failed = Some(error.kind().into());
        self.write_blocked = true;
        self.read_blocked = false;
    }
}

/// What there is to read, and where to.
pub(super) enum Reading {
    /// Nothing: the connection takes nothing now.
    Unwanted,
    /// A large body, straight into its own memory: this is what it came to.
    Body(Poll<io::Result<usize>>),
    /// Whatever comes.
    Any,
}

/// Gives the connection what has been read, and notes that there was something.
fn taker<'a>(
    shared: &'a Shared,
    came: &'a mut bool,
    mut take: impl FnMut(&mut State, Instant, &mut [u8]) + 'a,
) -> impl FnMut(&mut [u8]) + 'a {
    move |bytes| {
        *came = true;
        let mut state = shared.lock();
        let now = shared.clock.now();
        take(&mut state, now, bytes);
    }
}
