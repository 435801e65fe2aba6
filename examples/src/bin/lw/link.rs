//! The connection as a command sees it: made at the start or in vain, lost, regained, given up.
//!
//! The library's client comes back by itself. What is added here is what a tool for the shell wants: words for whoever
//! looks on, a time after which it gives up, and the system's own words for why an address does not work.

use std::future::{Ready, ready};
use std::io::{self, IsTerminal};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapter_tokio::proto_core::client::Dialer;
use adapter_tokio::proto_core::endpoint::Runtime;
use adapter_tokio::{
    Client, ClientBuilder, ClientState, CloseCode, CloseReason, Config, ConnectError, Delay, GiveUp, Handler,
    Hello, NoHandler, Peer, Push, ReconnectConfig, Refuse, Reply, Request, Status, Tokio, TransportError,
    WhileDown, client,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::args::{LinkOptions, Patience};
use crate::exit::{Exit, Failure, say};

/// The longest wait between two attempts. Somebody sits in front of it, so it is shorter than for a fleet.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// A connection that has lasted so long was a good one.
const GOOD_AFTER: Duration = Duration::from_secs(5);
/// How long to wait for a server that does not close its side. All answers are there by then.
pub(crate) const PARTING: Duration = Duration::from_secs(1);

/// A client, and what has become of its connections.
pub(crate) struct Link {
    pub(crate) client: Client,
    /// Whether it comes back by itself.
    pub(crate) comes_back: bool,
    log: Arc<Log>,
}

/// What is noted of the connections as they end.
#[derive(Debug, Default)]
struct Log {
    ended: AtomicU64,
    /// Those of them that this side did not close.
    lost: AtomicU64,
    /// Why the last one did.
    reason: Mutex<Option<CloseReason>>,
    out_of_time: AtomicBool,
}

/// How a command wants to connect.
pub(crate) struct Plan<'a> {
    pub(crate) options: &'a LinkOptions,
    pub(crate) config: Config,
    /// How to come back when the connection is lost.
    pub(crate) patience: Option<Patience>,
    pub(crate) while_down: WhileDown,
    /// Where pushes go.
    pub(crate) pushes: Option<UnboundedSender<Heard>>,
}

/// A push, and whom to tell that it has been dealt with.
pub(crate) type Heard = (Push, oneshot::Sender<()>);

impl Plan<'_> {
    /// Connects. Tries again only if that was asked for.
    pub(crate) async fn connect(self) -> Result<Link, Failure> {
        let (runtime, log) = (Tokio::default(), Arc::default());
        let patience = self.options.patience_at_start();
        let clock = runtime.clock();
        // All addresses together are one attempt.
        let mut dialer = Dialer::new(reconnect(patience.and_then(|p| p.attempts)), 1, runtime.seed());
        let begun = Instant::now();
        let mut attempts = 0;
        let client = loop {
            dialer.start(clock.now());
            while dialer.poll_action().is_some() {}
            attempts += 1;
            let error = match self.builder(&log).connect_any(self.options.addresses.each.clone()).await {
                Ok(client) => break client,
                Err(error) => error,
            };
            let reason = match &error {
                ConnectError::Handshake { reason, .. } => reason.clone(),
                ConnectError::Config(_) => return Err(Failure::new(Exit::Usage, error)),
                _ => CloseReason::Transport(TransportError::Unreachable),
            };
            dialer.ended(clock.now(), &reason);
            let Some(patience) = patience else {
                return Err(Failure::new(Exit::Unreachable, error));
            };
            let gave_up = || {
                let text = format!("{error}; gave up after {attempts} attempts");
                Err(Failure::new(Exit::Unreachable, text))
            };
            let Some(until) = dialer.poll_timeout() else { return gave_up() };
            let mut wait = until.saturating_since(clock.now());
            if let Some(time) = patience.time {
                let left = time.saturating_sub(begun.elapsed());
                if left.is_zero() {
                    return gave_up();
                }
                wait = wait.min(left);
            }
            if self.tells() {
                say(format_args!("{error}; trying again in {:.1} s", wait.as_secs_f64()));
            }
            tokio::time::sleep(wait).await;
            dialer.handle_timeout(clock.now());
        };
        if self.tells() && attempts > 1 {
            say(format_args!("connected to {}", remote(&client)));
        }
        Ok(self.follow(client, log))
    }

    /// Makes a client that connects when it can, and does not wait for that.
    pub(crate) fn start(self) -> Result<Link, Failure> {
        let log = Arc::default();
        let started = self.builder(&log).start(self.options.addresses.each.clone());
        let client = started.map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(self.follow(client, log))
    }

    fn builder(&self, log: &Arc<Log>) -> ClientBuilder<Ears> {
        let ears = Ears { pushes: self.pushes.clone(), log: log.clone() };
        client(ears)
            .config(self.config.clone())
            .while_down(self.while_down)
            .reconnect(self.patience.map(|patience| reconnect(patience.attempts)))
    }

    fn tells(&self) -> bool {
        self.options.verbose || io::stderr().is_terminal()
    }

    fn follow(self, client: Client, log: Arc<Log>) -> Link {
        if let Some(patience) = self.patience {
            tokio::spawn(follow(client.clone(), log.clone(), patience.time, self.tells()));
        }
        Link { client, comes_back: self.patience.is_some(), log }
    }
}

/// How to come back, with so many attempts in a row.
pub(crate) fn reconnect(attempts: Option<u32>) -> ReconnectConfig {
    let defaults = ReconnectConfig::default();
    let delay = match defaults.delay {
        Delay::Exponential { base, .. } => Delay::Exponential { base, cap: LONGEST_WAIT },
        other => other,
    };
    ReconnectConfig {
        delay,
        proven_after: GOOD_AFTER,
        // What failed first is no further attempt.
        attempt_limit: attempts.map(|attempts| attempts.saturating_add(1)),
        ..defaults
    }
}

/// Says what becomes of a client's connection, and ends the client when it has had none for too long.
async fn follow(client: Client, log: Arc<Log>, longest: Option<Duration>, tells: bool) {
    let mut state = client.state();
    let mut down: Option<Instant> = None;
    let mut ever = state == ClientState::Connected;
    loop {
        match &state {
            ClientState::Connected => {
                if let Some(down) = down.take().filter(|_| tells) {
                    let (again, time) = (if ever { " again" } else { "" }, down.elapsed().as_secs_f64());
                    say(format_args!("connected{again} to {} after {time:.1} s", remote(&client)));
                }
                ever = true;
            }
            ClientState::Reconnecting { reason, .. } if down.is_none() => {
                if tells {
                    say(format_args!("{reason}; connecting{}", if ever { " again" } else { "" }));
                }
                down = Some(Instant::now());
            }
            ClientState::Connecting { .. } if down.is_none() && ever => down = Some(Instant::now()),
            _ => {}
        }
        if state.end().is_some() {
            return;
        }
        let changed = client.changed(&state);
        state = match down.zip(longest) {
            None => changed.await,
            Some((since, longest)) => match tokio::time::timeout_at(since + longest, changed).await {
                Ok(state) => state,
                Err(_) => {
                    log.out_of_time.store(true, Ordering::Relaxed);
                    client.abort(CloseCode::NORMAL);
                    return;
                }
            },
        };
    }
}

impl Link {
    /// How many connections have ended.
    pub(crate) fn ended(&self) -> u64 {
        self.log.ended.load(Ordering::Relaxed)
    }

    /// How many connections have ended, other than by this side's will.
    pub(crate) fn lost(&self) -> u64 {
        self.log.lost.load(Ordering::Relaxed)
    }

    /// Whether there is a connection, or may be one again.
    pub(crate) fn has_hope(&self) -> bool {
        if self.comes_back { self.client.state().end().is_none() } else { self.client.is_open() }
    }

    /// What to tell of a reason why there is no connection, with why it is not waited for another one.
    pub(crate) fn explain(&self, reason: &CloseReason) -> String {
        let last = || {
            let last = self.log.reason.lock().unwrap_or_else(PoisonError::into_inner);
            last.clone().unwrap_or_else(|| reason.clone())
        };
        match self.client.state() {
            ClientState::GivenUp { cause: GiveUp::TooManyAttempts(attempts), .. } => {
                let (again, s) = (attempts - 1, if attempts == 2 { "" } else { "s" });
                format!("{}; gave up after {again} attempt{s} to connect again", last())
            }
            ClientState::Stopped(_) if self.log.out_of_time.load(Ordering::Relaxed) => {
                format!("{}; gave up, as there was no connection for too long", last())
            }
            _ => reason.to_string(),
        }
    }

    /// Parts with the server.
    pub(crate) async fn finish(self) -> Option<CloseReason> {
        // The server has answered what it was asked; if it does not part in time, that is no failure.
        tokio::time::timeout(PARTING, self.client.finish()).await.ok()
    }
}

fn remote(client: &Client) -> String {
    client.remote_addr().map_or_else(|| "the server".to_owned(), |address| address.to_string())
}

/// Answers no calls, hands pushes on, and notes how connections end.
pub(crate) struct Ears {
    pushes: Option<UnboundedSender<Heard>>,
    log: Arc<Log>,
}

impl Handler for Ears {
    type Request = Ready<Result<Reply, Status>>;
    type Push = Pin<Box<dyn Future<Output = ()> + Send>>;
    type Open = Ready<Result<(), Refuse>>;

    fn request(&self, peer: Peer, request: Request) -> Self::Request {
        NoHandler.request(peer, request)
    }

    /// What has come is handed on at once, so that it outlives the connection; the server may send more when it has been
    /// dealt with.
    fn push(&self, _: Peer, push: Push) -> Self::Push {
        let (done, dealt_with) = oneshot::channel();
        match &self.pushes {
            Some(pushes) if pushes.send((push, done)).is_ok() => Box::pin(async { drop(dealt_with.await) }),
            _ => Box::pin(ready(())),
        }
    }

    fn open(&self, peer: Peer, hello: Hello) -> Self::Open {
        NoHandler.open(peer, hello)
    }

    fn close(&self, _: &Peer, reason: &CloseReason) {
        if !matches!(reason, CloseReason::Local(_)) {
            self.log.lost.fetch_add(1, Ordering::Relaxed);
        }
        *self.log.reason.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
        self.log.ended.fetch_add(1, Ordering::Relaxed);
    }
}
