//! One connection of a run: it is made, watched, and made again when it is lost.
//!
//! The library's clients come back by themselves and call again what was certainly not run. Here every connection and every
//! lost call is to be counted, so each client has one connection and the next one is made here, at the same distances.

use adapter_tokio::proto_core::client::{DialState, Dialer};
use adapter_tokio::proto_core::endpoint::Runtime;
use adapter_tokio::{
    Address, Client, Clock, CloseReason, Config, ConnectError, NoHandler, Tokio, TransportError, client,
};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout};

use super::word::{Order, Word};
use crate::args::Patience;
use crate::link::{PARTING, reconnect};

/// Attempts of one thread to connect at a time: a listening socket has a short queue.
pub(super) const ATTEMPTS: usize = 64;

/// Keeps a connection, and tells of it.
pub(super) struct Keeper {
    /// Its number among those of its thread.
    pub(super) number: usize,
    /// The addresses, beginning with its own.
    pub(super) addresses: Vec<Address>,
    pub(super) config: Config,
    pub(super) patience_at_start: Option<Patience>,
    pub(super) patience: Option<Patience>,
    pub(super) orders: UnboundedSender<Order>,
    pub(super) words: UnboundedSender<Word>,
    pub(super) clock: Clock,
    /// Becomes true at the end.
    pub(super) end: watch::Receiver<bool>,
}

/// Why there is no connection, and none will be made.
struct GivenUp(String);

/// The run has ended.
struct Ended;

impl Keeper {
    /// Runs to the end of the run, or until the connection is given up.
    pub(super) async fn run(self, attempts: &Semaphore) {
        let mut end = self.end.clone();
        let ended = async {
            // Whoever would say so may be gone, too.
            let _ = end.wait_for(|&end| end).await;
        };
        tokio::pin!(ended);
        let mut dialer = self.dialer(self.patience_at_start);
        let mut patience = self.patience_at_start;
        let mut is_first = true;
        loop {
            let connected = tokio::select! {
                biased;
                () = &mut ended => return,
                connected = self.connect(&mut dialer, patience, attempts) => connected,
            };
            let client = match connected {
                Ok(client) => client,
                Err(GivenUp(reason)) => return self.tell(Word::GivenUp(reason)),
            };
            if std::mem::take(&mut is_first) {
                // From here on, other rules hold.
                patience = self.patience;
                dialer = self.dialer(patience);
                dialer.opened(self.clock.now());
            }
            self.tell(Word::Made(client.remote_addr()));
            self.order(Order::Up(self.number, client.clone()));
            let reason = match self.watch(&client, ended.as_mut()).await {
                Ok(reason) => reason,
                Err(Ended) => {
                    // All that counts has been answered. If it does not part in time, that is no failure.
                    let _ = timeout(PARTING, client.finish()).await;
                    return;
                }
            };
            if patience.is_none() {
                return self.tell(Word::GivenUp(reason.to_string()));
            }
            let now = self.clock.now();
            dialer.lives(now);
            dialer.ended(now, &reason);
        }
    }

    /// Waits for a connection's end. It is told as soon as no further calls are taken.
    async fn watch(
        &self,
        client: &Client,
        mut ended: std::pin::Pin<&mut impl Future<Output = ()>>,
    ) -> Result<CloseReason, Ended> {
        tokio::select! {
            biased;
            () = &mut ended => return Err(Ended),
            () = client.draining() => self.order(Order::Down(self.number)),
        }
        let drains = client.close_reason().is_none();
        tokio::select! {
            biased;
            () = ended => Err(Ended),
            reason = client.closed() => {
                self.tell(if drains { Word::Drained } else { Word::Lost(reason.to_string()) });
                Ok(reason)
            }
        }
    }

    /// Dials as often as the rules say.
    async fn connect(
        &self,
        dialer: &mut Dialer,
        patience: Option<Patience>,
        attempts: &Semaphore,
    ) -> Result<Client, GivenUp> {
        let begun = Instant::now();
        let mut last = None;
        let mut count = 0;
        loop {
            while dialer.poll_action().is_some() {}
            match dialer.state() {
                DialState::Dialing(_) => {
                    // It is never closed.
                    let permit = attempts.acquire().await;
                    let connected = self.dial().await;
                    drop(permit);
                    count += 1;
                    let error = match connected {
                        Ok(client) => {
                            dialer.opened(self.clock.now());
                            return Ok(client);
                        }
                        Err(error) => error,
                    };
                    let reason = match &error {
                        ConnectError::Handshake { reason, .. } => reason.clone(),
                        _ => CloseReason::Transport(TransportError::Unreachable),
                    };
                    dialer.ended(self.clock.now(), &reason);
                    if patience.is_none() {
                        return Err(GivenUp(error.to_string()));
                    }
                    self.tell(Word::Missed(error.to_string()));
                    last = Some(error);
                }
                DialState::Waiting { until, .. } => {
                    let mut wait = until.saturating_since(self.clock.now());
                    if let Some(time) = patience.and_then(|patience| patience.time) {
                        let left = time.saturating_sub(begun.elapsed());
                        if left.is_zero() {
                            break;
                        }
                        wait = wait.min(left);
                    }
                    sleep(wait).await;
                    dialer.handle_timeout(self.clock.now());
                }
                _ => break,
            }
        }
        let cause = last.map_or_else(|| "no connection".to_owned(), |error| error.to_string());
        let s = if count == 1 { "" } else { "s" };
        Err(GivenUp(format!("{cause}; gave up after {count} attempt{s}")))
    }

    async fn dial(&self) -> Result<Client, ConnectError> {
        let client = client(NoHandler).config(self.config.clone()).reconnect(None);
        client.connect_any(self.addresses.clone()).await
    }

    /// A dialer that begins at once.
    fn dialer(&self, patience: Option<Patience>) -> Dialer {
        let config = reconnect(patience.and_then(|patience| patience.attempts));
        // All addresses together are one attempt.
        let mut dialer = Dialer::new(config, 1, Tokio::default().seed());
        dialer.start(self.clock.now());
        dialer
    }

    /// Who listens no more has heard enough.
    fn tell(&self, word: Word) {
        let _ = self.words.send(word);
    }

    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}
