//! Accepting, and what to do when that fails: go on, and do not spin.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use polling::Poller;
use proto_core::{Instant, SharedConfig};

use super::watched::Watched;

/// Connections that are taken before others get their turn.
const AT_ONCE: usize = 64;
/// How long to wait after a first failure, and after many.
const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// A listening socket, and what its connections are made with.
#[derive(Debug)]
pub(super) struct Listener {
    socket: Watched<TcpListener>,
    pub(super) config: SharedConfig,
    pause: Duration,
}

/// What came of accepting.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) sockets: Vec<TcpStream>,
    /// When to try again; `None` if the poller says so.
    pub(super) again: Option<Instant>,
}

impl Listener {
    pub(super) fn new(
        poller: &Arc<Poller>,
        key: usize,
        socket: TcpListener,
        config: SharedConfig,
    ) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let mut socket = Watched::new(poller, key, socket)?;
        socket.watch(true, false)?;
        Ok(Self { socket, config, pause: SHORTEST })
    }

    /// Takes connections that wait.
    pub(super) fn accept(&mut self, now: Instant) -> Accepted {
        let mut sockets = Vec::new();
        let mut failed = false;
        for _ in 0..AT_ONCE {
            match self.socket.accept() {
                Ok((socket, _)) => {
                    self.pause = SHORTEST;
                    // One for which this fails is of no use, and probably gone.
                    if prepare(&socket).is_ok() {
                        sockets.push(socket);
                    }
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => break,
                    // One connection was lost before it was taken. The next one is another matter.
                    ErrorKind::Interrupted
                    | ErrorKind::ConnectionAborted
                    | ErrorKind::ConnectionRefused
                    | ErrorKind::ConnectionReset => {}
                    // First of all a lack of descriptors: the connection stays where it is, so the poller would report it
                    // again at once, for as long as the lack lasts.
                    _ => {
                        failed = true;
                        break;
                    }
                },
            }
        }
        failed |= self.socket.watch(!failed, false).is_err();
        let again = failed.then(|| now + self.pause);
        if failed {
            self.pause = (2 * self.pause).min(LONGEST);
        }
        Accepted { sockets, again }
    }
}

/// What every stream wants: not to block, and not to hold back small frames.
pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    socket.set_nodelay(true)
}

#[cfg(test)]
mod tests {
    use socket2::{Domain, Socket, Type};

    use super::*;

    #[test]
    fn a_failure_that_lasts_is_waited_out_ever_longer() {
        // Accepting fails on a socket that does not listen.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let poller = Arc::new(Poller::new().expect("a poller"));
        let mut listener =
            Listener::new(&poller, 1, socket.into(), SharedConfig::default()).expect("watched");
        let now = Instant::EPOCH;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let Accepted { sockets, again } = listener.accept(now);
            assert!(sockets.is_empty());
            waits.push(again.expect("a time to try again").saturating_since(now));
        }
        assert_eq!((waits.first(), waits.last()), (Some(&SHORTEST), Some(&LONGEST)));
        assert!(waits.is_sorted());
    }
}
