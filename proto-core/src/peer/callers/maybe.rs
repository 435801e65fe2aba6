//! Nothing is held for the callers of a connection that has none.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

use super::{Caller, CallerKey, Callers, Queued, Undated};
use crate::peer::shared::Wakers;
use crate::time::Instant;

/// The callers of a connection, for which nothing is held while there are none: most connections of a server never call.
///
/// What would only find that there are none is asked here; all else, by way of `DerefMut`, makes room for them.
#[derive(Debug, Default)]
pub(in crate::peer) struct MaybeCallers(Option<Box<Callers>>);

/// The most that one connection lends for callers.
const MOST_LENT: usize = 48 << 10;

static NOBODY: Callers = Callers::new();

impl MaybeCallers {
    /// Whether nothing is held for them.
    pub(in crate::peer) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether somebody has left the line since this was last asked.
    pub(in crate::peer) fn take_moved_up(&mut self) -> bool {
        self.0.as_mut().is_some_and(|callers| callers.take_moved_up())
    }

    /// Takes the next caller out of the line.
    pub(in crate::peer) fn first_in_line(&mut self) -> Option<(CallerKey, Queued)> {
        self.0.as_mut()?.first_in_line()
    }

    /// Ends the calls whose deadline has passed while they stood in line.
    pub(in crate::peer) fn time_out(&mut self, now: Instant, wakers: &mut Wakers) {
        if let Some(callers) = &mut self.0 {
            callers.time_out(now, wakers);
        }
    }

    /// Takes what is held while nobody waits, for other connections, unless it is much.
    pub(in crate::peer) fn lend(&mut self) -> Option<Self> {
        let mut lent = self.0.take_if(|callers| callers.table.is_empty() && !callers.moved_up)?;
        // Those that have left it may still stand there, and must not be taken for others.
        lent.line.clear();
        lent.seats.clear();
        lent.undated.clear();
        (lent.spare_bytes() <= MOST_LENT).then_some(Self(Some(lent)))
    }
}

impl Callers {
    /// What is held while nobody waits.
    fn spare_bytes(&self) -> usize {
        size_of::<Self>()
            + self.table.capacity() * size_of::<Caller>()
            + self.line.capacity() * size_of::<CallerKey>()
            + self.undated.capacity() * size_of::<Undated>()
            + self.seats.held_bytes()
    }
}

impl Deref for MaybeCallers {
    type Target = Callers;

    #[inline]
    fn deref(&self) -> &Callers {
        self.0.as_deref().unwrap_or(&NOBODY)
    }
}

impl DerefMut for MaybeCallers {
    #[inline]
    fn deref_mut(&mut self) -> &mut Callers {
        self.0.get_or_insert_with(|| Box::new(Callers::new()))
    }
}
