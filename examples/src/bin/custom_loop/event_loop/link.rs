//! One socket and the connection on it: this is all that it takes to drive one.

use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{Shutdown, TcpStream};

use proto_core::{Connection, TransportError};

use super::Clock;
use super::watched::Watched;

/// Reads and writes before others get their turn.
const AT_ONCE: usize = 16;
/// Reads when time matters, or when they are the last: more than a system keeps for one socket.
const ALL: usize = 256;
/// Chunks of one vectored write.
const CHUNKS: usize = 32;

#[derive(Debug)]
pub(super) struct Link {
    socket: Watched<TcpStream>,
    pub(super) connection: Connection,
    /// The key of the client that it belongs to.
    pub(super) client: Option<usize>,
    shut_down: bool,
    /// It stands in line to be asked for events; the application has had it in its hands.
    pub(super) talking: bool,
    pub(super) touched: bool,
}

impl Link {
    pub(super) const fn new(
        socket: Watched<TcpStream>,
        connection: Connection,
        client: Option<usize>,
    ) -> Self {
        Self { socket, connection, client, shut_down: false, talking: false, touched: false }
    }

    /// Whether the peer has proved to be more than somebody who answers: the first frame belongs to the handshake.
    pub(super) fn has_heard_more_than_the_handshake(&self) -> bool {
        self.connection.peer_has_spoken()
    }

    /// Takes what came, lets the time act if it has come, and sends what there is.
    pub(super) fn serve(&mut self, clock: Clock, buffer: &mut [u8], due: bool) {
        // Whatever lies in the socket has come before its time was over.
        self.read(clock, buffer, if due { ALL } else { AT_ONCE });
        if due {
            self.connection.handle_timeout(clock.now());
        }
        self.flush(clock, buffer);
    }

    /// Sends what there is, and says what is to be reported of the socket.
    pub(super) fn flush(&mut self, clock: Clock, buffer: &mut [u8]) {
        if let Err(error) = self.write(clock) {
            // What the peer said before it went is still worth hearing: perhaps why.
            self.read(clock, buffer, ALL);
            self.connection.handle_transport_error(clock.now(), error);
        }
        if self.connection.is_closed() {
            // The socket is closed as soon as the application has heard of it.
            return;
        }
        // Whatever the last write has left is what the socket had no room for, or others had to get their turn.
        let (read, write) = (self.connection.wants_read(), self.connection.transmit_len() > 0);
        if self.socket.watch(read, write).is_err() {
            self.connection.handle_transport_error(clock.now(), TransportError::Other);
        }
    }

    /// Reads until there is nothing left, at most so many times.
    fn read(&mut self, clock: Clock, buffer: &mut [u8], most: usize) {
        let mut socket: &TcpStream = &self.socket;
        for _ in 0..most {
            if !self.connection.wants_read() {
                return;
            }
            // The rest of a large body goes straight to where it will be used.
            let (result, room, lent) = match self.connection.body_space() {
                Some(space) => (socket.read(space), space.len(), true),
                None => (socket.read(buffer), buffer.len(), false),
            };
            let now = clock.now();
            match result {
                Ok(0) => self.connection.handle_eof(now),
                Ok(n) => {
                    if lent {
                        self.connection.commit_body(now, n);
                    } else {
                        self.connection.handle_input(now, &mut buffer[..n]);
                    }
                    // Less than there was room for: that was all. The poller knows better if more has come since.
                    if n < room {
                        return;
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => return,
                    ErrorKind::Interrupted => {}
                    kind => self.connection.handle_transport_error(now, kind.into()),
                },
            }
        }
    }

    /// Writes until nothing is left or the socket takes no more, and ends the stream after the last byte.
    fn write(&mut self, clock: Clock) -> Result<(), TransportError> {
        let mut socket: &TcpStream = &self.socket;
        for _ in 0..AT_ONCE {
            let mut chunks = [IoSlice::new(&[]); CHUNKS];
            let mut filled = 0;
            for (slot, chunk) in chunks.iter_mut().zip(self.connection.transmit()) {
                *slot = IoSlice::new(chunk);
                filled += 1;
            }
            if filled == 0 {
                break;
            }
            match socket.write_vectored(&chunks[..filled]) {
                Ok(0) => return Err(TransportError::BrokenPipe),
                Ok(n) => self.connection.advance_transmit(clock.now(), n),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    ErrorKind::Interrupted => {}
                    kind => return Err(kind.into()),
                },
            }
        }
        // The peer is to see that this was the last, while it may still be speaking: only one direction ends.
        if self.connection.wants_shutdown() && !self.shut_down {
            self.shut_down = true;
            return socket.shutdown(Shutdown::Write).map_err(|error| error.kind().into());
        }
        Ok(())
    }
}
