//! What a driver does when there is nothing to do: it rests until it is woken, or goes on asking for a while.

use core::task::Context;

use super::Driver;
use crate::peer::handler::Handler;
use crate::peer::shared::State;
use crate::peer::{Io, Sleep};
use crate::time::Instant;

/// What asking without a pause came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// There is something to do, and no need to read before it is done.
    Something,
}

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// Asks the transport without a pause, in place of resting: says what that comes to if it is what the driver does at
    /// present.
    pub(super) fn ask_on(&mut self, cx: &mut Context<'_>) -> Option<Asked> {
        let since = self.asking_since?;
        let most = {
            let (state, now) = (self.peer.shared().lock(), self.now());
            let due = state.next_deadline().is_some_and(|at| at <= now);
            let over = self.busy_poll.is_none_or(|longest| now.saturating_since(since) >= longest);
            if due || over || !state.connection.wants_read() {
                self.asking_since = None;
                return None;
            }
            self.is_idle(&state).then(|| self.appetite.next(state.connection.counters()))
        };
        let Some(most) = most else { return Some(Asked::Something) };
        let Some(came) = self.link.read_now(self.peer.shared(), most) else {
            (self.asking_since, self.busy_poll) = (None, None);
            return None;
        };
        // Handlers that wait wake this task, and are not known from others who do.
        if came || !self.work.is_empty() {
            return Some(Asked::Something);
        }
        self.sleep.wake_soon(cx);
        Some(Asked::Nothing)
    }

    /// Begins to ask the transport without a pause, if it is to do so in place of resting.
    pub(super) fn begin_asking(&mut self, cx: &mut Context<'_>) -> bool {
        if self.busy_poll.is_none() || !self.work.is_empty() {
            return false;
        }
        let begins = {
            let state = self.peer.shared().lock();
            self.is_idle(&state) && state.connection.is_running()
        };
        if begins {
            self.asking_since = Some(self.now());
            self.sleep.wake_soon(cx);
        }
        begins
    }

    /// Whether nothing is to be done but to wait.
    fn is_idle(&self, state: &State) -> bool {
        let connection = &state.connection;
        !connection.has_events()
            && !self.has_post()
            && !state.callers.has_moved_up()
            && !self.link.could_write(connection)
    }

    /// Goes to rest if there is nothing to do, and says so.
    pub(super) fn park(&mut self, cx: &Context<'_>) -> bool {
        let mut retired = None;
        let parked = {
            let mut state = self.peer.shared().lock();
            let idle = self.is_idle(&state) && self.wakes_by(state.next_deadline());
            if idle {
                retired = state.driver.replace(cx.waker().clone());
                state.lend();
            }
            idle
        };
        drop(retired);
        if parked {
            self.work.rest();
        }
        parked
    }

    /// Whether the timer goes off in time for this deadline.
    fn wakes_by(&self, deadline: Option<Instant>) -> bool {
        deadline.is_none_or(|at| self.armed.is_some_and(|armed| armed <= at))
    }
}
