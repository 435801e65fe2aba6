//! A client: a [`Dialer`] that says when and where to connect, and whoever does it.

use std::io::{self, ErrorKind};
use std::mem;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use polling::Poller;
use proto_core::client::{Action, Attempt, DialState, Dialer, ReconnectConfig, Target};
use proto_core::wire::Credentials;
use proto_core::{CloseReason, Config, Event, Instant, SharedConfig, TransportError};
use socket2::{Domain, Protocol, Socket, Type};

use super::LinkId;
use super::listener::prepare;
use super::watched::Watched;

/// How long to wait for a stream. Systems wait for minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A client of an [`EventLoop`](super::EventLoop).
#[derive(Debug)]
pub(crate) struct Client {
    addresses: Vec<SocketAddr>,
    config: SharedConfig,
    dialer: Dialer,
    stage: Stage,
    last: Option<CloseReason>,
}

/// What is under way.
#[derive(Debug)]
enum Stage {
    Rest,
    Connecting { socket: Watched<TcpStream>, until: Instant, credentials: bool },
    Linked(LinkId),
}

/// What a client cannot do for itself.
#[derive(Debug)]
pub(super) enum Wish {
    /// Make a connection on this stream.
    Link(Watched<TcpStream>, SharedConfig),
    /// Close this connection.
    HangUp(LinkId),
}

/// What its owner may know.
impl Client {
    /// Where it stands.
    pub(crate) const fn state(&self) -> &DialState {
        self.dialer.state()
    }

    /// How its last attempt or connection ended, if one did.
    pub(crate) const fn last(&self) -> Option<&CloseReason> {
        self.last.as_ref()
    }
}

/// What the loop tells it and asks of it.
impl Client {
    pub(super) fn new(
        addresses: Vec<SocketAddr>,
        config: SharedConfig,
        reconnect: ReconnectConfig,
        now: Instant,
        seed: u64,
    ) -> Self {
        let mut dialer = Dialer::new(reconnect, addresses.len(), seed);
        dialer.start(now);
        Self { addresses, config, dialer, stage: Stage::Rest, last: None }
    }

    /// It makes no further attempt, and gives up the one under way.
    pub(super) fn stop(&mut self, now: Instant) {
        self.dialer.stop(now);
    }

    /// Its wish for a connection was fulfilled.
    pub(super) fn linked(&mut self, link: LinkId) {
        self.stage = Stage::Linked(link);
    }

    /// Something happened on its connection.
    pub(super) fn hear(&mut self, now: Instant, event: &Event) {
        match event {
            Event::Open(_) => self.dialer.opened(now),
            Event::Closed(reason) => {
                self.stage = Stage::Rest;
                self.dialer.ended(now, reason);
                self.last = Some(reason.clone());
            }
            _ => {}
        }
    }

    /// Its connection has proved to live.
    pub(super) fn lives(&mut self, now: Instant) {
        self.dialer.lives(now);
    }

    /// When it wants to be called, whatever happens until then.
    pub(super) const fn next_alarm(&self) -> Option<Instant> {
        match self.stage {
            Stage::Connecting { until, .. } => Some(until),
            Stage::Rest | Stage::Linked(_) => self.dialer.poll_timeout(),
        }
    }

    /// Gets on with whatever it is doing. Its key is what its socket is watched for while it connects.
    pub(super) fn advance(&mut self, poller: &Arc<Poller>, key: usize, now: Instant) -> Option<Wish> {
        self.dialer.handle_timeout(now);
        let connected = self.finish_connecting(now);
        while let Some(action) = self.dialer.poll_action() {
            match action {
                Action::Dial(attempt) => match self.start_connecting(poller, key, now, attempt) {
                    Ok(stage) => self.stage = stage,
                    Err(_) => self.fail(now, TransportError::Unreachable),
                },
                Action::HangUp => match mem::replace(&mut self.stage, Stage::Rest) {
                    Stage::Linked(link) => return Some(Wish::HangUp(link)),
                    // A stream on which nothing has been said is just closed.
                    Stage::Connecting { .. } | Stage::Rest => return None,
                },
            }
        }
        connected
    }

    /// Begins to connect, without waiting: the socket can be written to once that has come to an end, good or bad.
    fn start_connecting(
        &self,
        poller: &Arc<Poller>,
        key: usize,
        now: Instant,
        attempt: Attempt,
    ) -> io::Result<Stage> {
        let (address, credentials) = match attempt.target {
            Target::Listed(number) => (self.addresses[number], true),
            // To look a name up is to wait for it. A program that follows names does so on a thread of its own.
            Target::Redirected { address, credentials } => {
                (address.parse().map_err(|_| ErrorKind::InvalidInput)?, credentials)
            }
        };
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        if let Err(error) = socket.connect(&address.into())
            && !is_under_way(&error)
        {
            return Err(error);
        }
        let mut socket = Watched::new(poller, key, TcpStream::from(socket))?;
        socket.watch(false, true)?;
        Ok(Stage::Connecting { socket, until: now + CONNECT_TIMEOUT, credentials })
    }

    /// The stream, if connecting has come to a good end.
    fn finish_connecting(&mut self, now: Instant) -> Option<Wish> {
        let Stage::Connecting { socket, until, .. } = &self.stage else { return None };
        match is_connected(socket) {
            Ok(false) if now < *until => return None,
            Ok(true) => {}
            Ok(false) | Err(_) => {
                self.fail(now, TransportError::Unreachable);
                return None;
            }
        }
        let Stage::Connecting { socket, credentials, .. } = mem::replace(&mut self.stage, Stage::Rest) else {
            return None;
        };
        if prepare(&socket).is_err() {
            self.fail(now, TransportError::Unreachable);
            return None;
        }
        let config = if credentials { self.config.clone() } else { without_credentials(&self.config) };
        Some(Wish::Link(socket, config))
    }

    fn fail(&mut self, now: Instant, error: TransportError) {
        self.stage = Stage::Rest;
        let reason = CloseReason::Transport(error);
        self.dialer.ended(now, &reason);
        self.last = Some(reason);
    }
}

/// Whether a call of `connect` has begun what it was asked to, and not ended it.
fn is_under_way(error: &io::Error) -> bool {
    // The standard library has no stable name for what Unix systems say then.
    #[cfg(unix)]
    if error.raw_os_error() == Some(libc::EINPROGRESS) {
        return true;
    }
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Whether a socket that was connecting is connected, or still at it.
fn is_connected(socket: &TcpStream) -> io::Result<bool> {
    if let Some(error) = socket.take_error()? {
        return Err(error);
    }
    match socket.peer_addr() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
        Err(error) => Err(error),
    }
}

/// For somebody who is not to be shown them.
fn without_credentials(config: &SharedConfig) -> SharedConfig {
    let bare = Config { credentials: Credentials::default(), ..(**config).clone() };
    bare.share().unwrap_or_default()
}
