//! What a driver does when there is nothing to do: it rests until it is woken, or goes on asking for a while.

use core::num::NonZeroU32;
use core::task::Context;
use core::time::Duration;

use super::{Driver, WakerId};
use crate::peer::desk::Desk;
use crate::peer::handler::Handler;
use crate::peer::shared::State;
use crate::peer::{Io, Sleep};
use crate::time::Instant;

/// How much too early a timer may go off, by the driver's clock.
const EARLY: Duration = Duration::from_millis(2);

/// What asking without a pause came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    /// There is something to do, or a handler waits that may go on; it comes before anything is read.
    Work,
}

impl<I: Io, S: Sleep, H: Handler> Driver<I, S, H> {
    /// Asks the transport without a pause, in place of resting: says what that comes to if it is what the driver does at
    /// present.
    pub(super) fn ask_on(&mut self, cx: &mut Context<'_>) -> Option<Asked> {
        let since = self.asking_since?;
        let most = {
            let (mut state, now) = (self.peer.shared().lock(), self.now());
            let due = state.next_deadline().is_some_and(|at| at <= now);
            let longest = self.busy_poll.map_or(0, NonZeroU32::get);
            let over = now.saturating_since(since) >= Duration::from_micros(longest.into());
            // Whether there is room to write again is known by being woken alone.
            let blocked = self.link.waits_to_write(&state.connection);
            if due || over || blocked || !state.connection.wants_read() {
                self.asking_since = None;
                return None;
            }
            self.is_idle(&state).then(|| state.appetite(true))
        };
        let Some(most) = most else { return Some(Asked::Work) };
        let Self { peer, link, desk, .. } = self;
        let came = link.read_now(peer.shared(), most, |state, at, bytes| {
            let Desk { inbox, wakers } = &mut **desk.get_or_insert_with(Desk::take);
            state.receive(at, bytes, inbox, wakers);
        });
        let Some(came) = came else {
            (self.asking_since, self.busy_poll) = (None, None);
            return None;
        };
        // Handlers that wait wake this task, and are not known from others who do.
        if came || !self.work.is_empty() {
            return Some(Asked::Work);
        }
        self.sleep.wake_soon(cx);
        Some(Asked::Nothing)
    }

    /// Goes to rest behind a turn, if there is nothing to do: begins to ask the transport without a pause, if it is to do so in
    /// place of resting, or waits to be woken, if all available input has been taken. Says whether it does.
    pub(super) fn rest(
        &mut self,
        cx: &mut Context<'_>,
        now: Instant,
        input_is_taken: bool,
        moved: bool,
    ) -> bool {
        let asks = self.asks(moved);
        if !asks && !input_is_taken {
            return false;
        }
        let (asks, retired) = {
            let mut state = self.peer.shared().lock();
            let asks = asks && state.connection.is_running();
            let wakes_in_time = || input_is_taken && self.wakes_by(cx, state.next_deadline());
            if !self.is_idle(&state) || !asks && !wakes_in_time() {
                return false;
            }
            (asks, if asks { None } else { state.park(cx) })
        };
        drop(retired);
        self.asking_since = asks.then_some(now);
        if asks {
            self.sleep.wake_soon(cx);
        } else {
            self.work.drop_spares();
        }
        true
    }

    /// Whether it asks the transport without a pause when there is nothing to do.
    pub(super) fn asks(&self, moved: bool) -> bool {
        moved && self.busy_poll.is_some() && self.work.is_empty()
    }

    /// Whether nothing is to be done but to wait.
    pub(super) fn is_idle(&self, state: &State) -> bool {
        let connection = &state.connection;
        !connection.has_events()
            && !self.has_post()
            && !state.callers.has_moved_up()
            && !state.callers.has_undated()
            && (state.ending || connection.close_reason().is_none())
            && !self.link.could_write(connection)
    }

    /// Whether the timer is set for a time not later than this deadline, and wakes this task.
    fn wakes_by(&self, cx: &Context<'_>, deadline: Option<Instant>) -> bool {
        let in_time =
            |at| self.armed.is_some_and(|(armed, task)| armed <= at && task == WakerId::of(cx.waker()));
        deadline.is_none_or(in_time)
    }

    /// Whether that is so and the timer cannot have gone off.
    pub(super) fn need_not_look(&self, cx: &Context<'_>, now: Instant, deadline: Option<Instant>) -> bool {
        let is_ahead = self.armed.is_some_and(|(armed, _)| now + EARLY < armed);
        deadline.is_none() || is_ahead && self.wakes_by(cx, deadline)
    }
}
