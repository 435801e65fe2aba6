//! How a call gets to the connection, at once if it can, else in line; and how its caller hears of its end.
//!
//! Most calls are made by tasks that the driver has just woken, so that its next turn follows. They need not ask for the time:
//! the turn does that once for all of them, and their deadlines count from there, later rather than too early.

use alloc::boxed::Box;
use core::task::{Poll, Waker};

use super::callers::{CallerKey, Polled, Queued, Spent};
use super::error::CallError;
use super::messages::Reply;
use super::shared::{CallResult, Shared, State};
use crate::error::{Refusal, Refused};
use crate::event::{Message, Timeout};
use crate::time::Instant;
use crate::wire::Extensions;

/// How a call is made.
#[derive(Clone, Copy)]
pub(super) struct Terms {
    pub(super) timeout: Timeout,
    /// It waits in line if it has to.
    pub(super) in_line: bool,
    /// Running it twice does no harm.
    pub(super) idempotent: bool,
}

impl Shared {
    /// Begins a call with this message, which is taken away: who is woken when it has ended stands among the callers.
    pub(super) fn enter(
        &self,
        message: &mut Option<Message>,
        terms: Terms,
        waker: &Waker,
    ) -> Result<CallerKey, Box<CallError>> {
        let (driver, entered) = {
            let mut state = self.lock();
            state.borrow();
            // Nobody need wake a driver whose turn is to come.
            let undated = if state.rests { None } else { state.enter_undated(message, terms, waker) };
            match undated {
                Some(key) => (None, Ok(key)),
                None => {
                    let now = self.clock.now();
                    let entered = state.enter(now, message.take().unwrap_or_default(), terms, waker);
                    state.tell_connection(now);
                    (state.take_driver(now), entered.map_err(Box::new))
                }
            }
        };
        if let Some(driver) = driver {
            driver.wake();
        }
        // Dropped without the lock, if it was not kept.
        *message = None;
        entered
    }

    /// What a call has come to, if anything; if not, `waker` is woken when it does.
    #[inline]
    pub(super) fn outcome(&self, key: CallerKey, waker: &Waker) -> Poll<CallResult> {
        let mut spent = Spent::default();
        let polled = {
            let mut state = self.lock();
            let polled = state.callers.poll(key, waker, &mut spent);
            state.count_replies();
            if !matches!(polled, Polled::Waits) && state.rests {
                // The driver has come to rest already, and this may have been the last caller, whose places are lent now.
                state.lend();
            }
            polled
        };
        match polled {
            Polled::Waits => Poll::Pending,
            Polled::Answered(body) => {
                Poll::Ready(Ok(Reply { extensions: Extensions::none(), body: body.into() }))
            }
            Polled::Ended(result) => Poll::Ready(*result),
        }
    }
}

impl State {
    /// Begins a call that the connection takes at once, or leaves its message as it is. Its deadline is set by the driver's next
    /// turn.
    #[inline]
    fn enter_undated(
        &mut self,
        message: &mut Option<Message>,
        terms: Terms,
        waker: &Waker,
    ) -> Option<CallerKey> {
        if !self.connection.is_open() || self.callers.is_line() {
            return None;
        }
        let keeps = self.keeps_calls();
        let after = terms.timeout.resolve(self.connection.config().call_timeout);
        let call = self.connection.call_at_once(message.as_mut()?, after, keeps)?;
        let again = || {
            let kept = if keeps { message.take() } else { None };
            kept.map(|message| Queued { message, deadline: None, idempotent: terms.idempotent })
        };
        let key = self.callers.add_accepted(call, again, waker);
        self.callers.date_later(key, after);
        Some(key)
    }

    fn enter(
        &mut self,
        now: Instant,
        message: Message,
        terms: Terms,
        waker: &Waker,
    ) -> Result<CallerKey, CallError> {
        let Terms { timeout, in_line, idempotent } = terms;
        let deadline = timeout.resolve(self.connection.config().call_timeout).map(|after| now + after);
        let refused = if self.is_down() {
            let allowed = if in_line { self.may_wait(&message) } else { Err(Refusal::NotOpen) };
            if let Err(refusal) = allowed {
                return Err(self.refuse(Refused { refusal, message }));
            }
            Refused { refusal: Refusal::Full, message }
        } else if self.connection.is_draining() {
            Refused { refusal: Refusal::Draining, message }
        } else if self.callers.is_line() {
            Refused { refusal: Refusal::Full, message }
        } else {
            let again = self.keeps_calls().then(|| Queued { message: message.clone(), deadline, idempotent });
            match self.connection.call(now, message, timeout) {
                Ok(call) => return Ok(self.callers.add_accepted(call, || again, waker)),
                Err(refused) => refused,
            }
        };
        match refused.refusal {
            Refusal::Full | Refusal::NoSlot if in_line => {
                let queued = Queued { message: refused.message, deadline, idempotent };
                Ok(self.callers.add_in_line(queued, waker))
            }
            _ => Err(self.refuse(refused)),
        }
    }

    /// Whether another connection may follow, on which calls are made again.
    fn keeps_calls(&self) -> bool {
        self.aside.session().is_some()
    }

    /// Says when the calls were made that were made since the driver's last turn.
    pub(super) fn date_calls(&mut self, now: Instant) {
        let Self { callers, connection, .. } = self;
        connection.date_calls(now);
        callers.date(now, |call, deadline| connection.set_deadline(call, deadline));
    }
}
