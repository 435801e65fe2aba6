//! Nothing is held for the callers of a connection that has none.

use alloc::boxed::Box;
use core::mem;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use super::{Caller, CallerKey, Callers};

/// The callers of a connection, for which nothing is held while there are none: most connections of a server never call.
#[derive(Debug, Default)]
pub(in crate::peer) struct MaybeCallers(Option<Box<Callers>>);

static NOBODY: Callers = Callers::new();

impl MaybeCallers {
    /// Whether nothing is held for them.
    pub(in crate::peer) const fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Takes what is held while nobody waits, for other connections.
    pub(in crate::peer) fn lend(&mut self) -> Self {
        let mut lent = mem::take(self);
        if let Some(callers) = &mut lent.0 {
            // Those that have left it may still stand there, and must not be taken for others.
            callers.line.clear();
            callers.seats.clear();
            callers.undated.clear();
        }
        lent
    }

    /// Whether nobody waits, and there is nothing to be done about those who did.
    pub(in crate::peer) fn is_empty(&self) -> bool {
        self.table.is_empty() && !self.moved_up
    }

    /// What is held while nobody waits.
    pub(in crate::peer) fn spare_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |callers| {
            let line = callers.line.capacity() * size_of::<CallerKey>();
            size_of::<Callers>()
                + callers.table.capacity() * size_of::<Caller>()
                + line
                + callers.undated.capacity() * size_of::<(CallerKey, Duration)>()
                + callers.seats.held_bytes()
        })
    }
}

impl Deref for MaybeCallers {
    type Target = Callers;

    fn deref(&self) -> &Callers {
        self.0.as_deref().unwrap_or(&NOBODY)
    }
}

impl DerefMut for MaybeCallers {
    fn deref_mut(&mut self) -> &mut Callers {
        self.0.get_or_insert_with(|| Box::new(Callers::new()))
    }
}
