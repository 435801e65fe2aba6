//! The line of those who wait to be accepted.

use core::mem;

use super::{CallerKey, Callers, Queued, Stage};
use crate::error::Delivery;
use crate::peer::error::CallError;
use crate::peer::shared::Wakers;
use crate::time::Instant;

impl Callers {
    /// Whether somebody waits to be accepted, so that who comes now goes behind.
    pub(in crate::peer) const fn is_line(&self) -> bool {
        self.standing > 0
    }

    /// How many callers stand in line, and how many bytes they bring.
    pub(in crate::peer) const fn line(&self) -> (usize, usize) {
        (self.standing, self.line_bytes)
    }

    /// Whether somebody has left the line since this was last asked.
    pub(in crate::peer) const fn take_moved_up(&mut self) -> bool {
        mem::replace(&mut self.moved_up, false)
    }

    pub(in crate::peer) const fn has_moved_up(&self) -> bool {
        self.moved_up
    }

    /// Takes the next caller out of the line.
    pub(in crate::peer) fn first_in_line(&mut self) -> Option<(CallerKey, Queued)> {
        loop {
            let key = self.line.pop_front()?;
            let Some(caller) = self.table.find(key).filter(|caller| matches!(caller.stage, Stage::InLine))
            else {
                continue;
            };
            caller.stage = Stage::Admitting;
            if let Some(queued) = caller.queued.take() {
                if let Some(at) = queued.deadline {
                    self.line_deadlines.remove(&(at, key));
                }
                self.count_out(&queued);
                return Some((key, queued));
            }
        }
    }

    pub(in crate::peer) fn next_deadline(&self) -> Option<Instant> {
        self.line_deadlines.first().map(|&(at, _)| at)
    }

    /// Ends the calls whose deadline has passed while they stood in line.
    pub(in crate::peer) fn time_out(&mut self, now: Instant, wakers: &mut Wakers) {
        while let Some(&(at, key)) = self.line_deadlines.first() {
            if at > now {
                return;
            }
            self.line_deadlines.pop_first();
            self.finish(key, Err(CallError::TimedOut(Delivery::NotSent)), wakers);
            self.forget_leavers();
        }
    }

    /// Puts a caller back to where it stood in line: who came first is first again.
    pub(in crate::peer) fn step_back(&mut self, key: CallerKey, queued: Queued) {
        self.count_in(&queued);
        self.line_deadlines.extend(queued.deadline.map(|at| (at, key)));
        self.put_in_line(key, queued);
        let at = self.line.partition_point(|other| other.ticket < key.ticket);
        self.line.insert(at, key);
    }

    fn put_in_line(&mut self, key: CallerKey, queued: Queued) {
        let caller = &mut self.table[key.index];
        (caller.stage, caller.queued) = (Stage::InLine, Some(queued));
    }

    pub(in crate::peer) fn count_in(&mut self, queued: &Queued) {
        self.standing += 1;
        self.line_bytes += queued.message.held_bytes();
    }

    pub(in crate::peer) fn count_out(&mut self, queued: &Queued) {
        self.standing -= 1;
        self.line_bytes -= queued.message.held_bytes();
    }

    /// Keeps the line from filling up with those that have left it.
    pub(in crate::peer) fn forget_leavers(&mut self) {
        if self.line.len() > 2 * self.table.len() + 16 {
            let Self { table, line, .. } = self;
            line.retain(|&key| table.find(key).is_some_and(|caller| matches!(caller.stage, Stage::InLine)));
        }
    }
}
