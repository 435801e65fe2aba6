//! Nothing is held for the callers of a connection that has none.

use alloc::boxed::Box;
use core::ops::{Deref, DerefMut};

use super::{Caller, CallerKey, Callers, Undated};

/// The callers of a connection, for which nothing is held while there are none: most connections of a server never call.
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
