//! One end of a pair: what an event loop does for one connection.

use alloc::vec::Vec;

use super::pair::WriterKind;
use super::pipe::{Pipe, Read};
use crate::connection::Connection;
use crate::error::TransportError;
use crate::time::Instant;

/// One connection and the pipe that it writes to.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) connection: Connection,
    pub(super) outgoing: Pipe,
    /// What an owning writer has taken over and not yet written.
    owned: Vec<u8>,
    /// What it has written and not yet reported.
    unreported: usize,
    shut_down: bool,
    /// Reads so far: every second one goes straight into a body where the connection lends room for it.
    reads: u32,
    eof: bool,
    gone: bool,
}

impl Side {
    pub(super) const fn new(connection: Connection, outgoing: Pipe) -> Self {
        let owned = Vec::new();
        Self {
            connection,
            outgoing,
            owned,
            unreported: 0,
            shut_down: false,
            reads: 0,
            eof: false,
            gone: false,
        }
    }

    /// Writes the first chunk of what waits, as far as it goes; shuts down when the connection wants that.
    pub(super) fn write(&mut self, now: Instant, writer: WriterKind) -> bool {
        let connection = &mut self.connection;
        let reported = core::mem::take(&mut self.unreported);
        connection.advance_transmit(now, reported);
        let chunk = connection.transmit().next().unwrap_or_default();
        if writer == WriterKind::Owned && self.owned.is_empty() && !chunk.is_empty() {
            self.owned = chunk.to_vec();
            connection.begin_transmit(self.owned.len());
            return true;
        }
        let bytes = if self.owned.is_empty() { chunk } else { &self.owned[..] };
        if bytes.is_empty() {
            let wanted = connection.wants_shutdown() && !self.shut_down;
            if wanted {
                self.shut_down = true;
                self.outgoing.shut_down(now);
            }
            return wanted || reported > 0;
        }
        match self.outgoing.write(now, bytes) {
            Ok(written) if self.owned.is_empty() => {
                connection.advance_transmit(now, written);
                written > 0
            }
            Ok(written) => {
                self.owned.drain(..written);
                self.unreported = written;
                written > 0 || reported > 0
            }
            Err(error) => {
                self.owned = Vec::new();
                connection.handle_transport_error(now, error);
                true
            }
        }
    }

    /// Reads once from the other side's pipe.
    pub(super) fn read_from(&mut self, incoming: &mut Pipe, now: Instant) -> bool {
        if self.connection.is_closed() {
            if !self.gone {
                self.gone = true;
                incoming.close_reader();
            }
            return false;
        }
        if self.eof || !self.connection.wants_read() {
            return false;
        }
        self.reads = self.reads.wrapping_add(1);
        if self.reads % 2 == 0 {
            if let Some(space) = self.connection.body_space() {
                return match incoming.read_up_to(now, space.len()) {
                    Ok(Read::Bytes(bytes)) => {
                        space[..bytes.len()].copy_from_slice(&bytes);
                        self.connection.commit_body(now, bytes.len());
                        true
                    }
                    other => self.end_read(now, other),
                };
            }
        }
        let read = incoming.read(now);
        self.end_read(now, read)
    }

    fn end_read(&mut self, now: Instant, read: Result<Read, TransportError>) -> bool {
        match read {
            Ok(Read::Bytes(mut bytes)) => self.connection.handle_input(now, &mut bytes),
            Ok(Read::Eof) => {
                self.eof = true;
                self.connection.handle_eof(now);
            }
            Ok(Read::Pending) => return false,
            Err(error) => self.connection.handle_transport_error(now, error),
        }
        true
    }
}
