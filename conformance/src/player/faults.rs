//! What goes wrong on the way, and when.

use std::cell::{Cell, RefCell};
use std::mem;

use proto_core::{Instant, Role};

use crate::scenario::{Fault, Trigger, Trouble};

/// The faults that have not come yet, and what they do to all connections.
pub(crate) struct Faults {
    left: RefCell<Vec<(usize, Fault)>>,
    came: RefCell<Vec<usize>>,
    /// All that has come, and how much of it has been looked at for stalls.
    struck: RefCell<Vec<Trouble>>,
    timed: Cell<usize>,
    delivered: [Cell<u64>; 2],
    stalled: [Cell<Option<Instant>>; 2],
}

impl Faults {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        let faults = Self {
            left: RefCell::new(faults.iter().copied().enumerate().collect()),
            came: RefCell::default(),
            struck: RefCell::default(),
            timed: Cell::new(0),
            delivered: Default::default(),
            stalled: Default::default(),
        };
        for role in crate::BOTH {
            faults.arrived(role, 0);
        }
        faults
    }

    /// A side begins a deed.
    pub(crate) fn begun(&self, role: Role, number: usize) {
        self.trigger(|when| when == Trigger::Deed(role, number));
    }

    /// So many bytes more have arrived at a side.
    pub(crate) fn arrived(&self, role: Role, bytes: usize) {
        let delivered = &self.delivered[role as usize];
        delivered.set(delivered.get() + bytes as u64);
        let now = delivered.get();
        self.trigger(|when| matches!(when, Trigger::Bytes(to, at) if to == role && at <= now));
    }

    /// How many bytes may arrive at a side before the next fault.
    pub(crate) fn until_next(&self, role: Role) -> usize {
        let delivered = self.delivered[role as usize].get();
        let places = self
            .left
            .borrow()
            .iter()
            .filter_map(|(_, fault)| match fault.when {
                Trigger::Bytes(to, at) if to == role => Some(at.saturating_sub(delivered)),
                _ => None,
            })
            .min();
        places.map_or(usize::MAX, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn trigger(&self, is_due: impl Fn(Trigger) -> bool) {
        let mut left = self.left.borrow_mut();
        for (number, fault) in left.extract_if(.., |(_, fault)| is_due(fault.when)) {
            self.came.borrow_mut().push(number);
            self.struck.borrow_mut().push(fault.what);
        }
    }

    /// The faults that came, by their place in the scenario.
    pub(crate) fn came(&self) -> Vec<usize> {
        self.came.borrow().clone()
    }

    /// How much has come so far: a connection that begins now is not struck by it.
    pub(crate) fn count(&self) -> usize {
        self.struck.borrow().len()
    }

    /// What has come since a connection has last asked, which is to be done to it. Stalls are not among it: they are asked for.
    pub(crate) fn since(&self, seen: &mut usize, now: Instant) -> Vec<Trouble> {
        let struck = self.struck.borrow();
        for trouble in &struck[self.timed.replace(struck.len())..] {
            if let Trouble::Stall(to, duration) = *trouble {
                let stalled = &self.stalled[to as usize];
                stalled.set(Some(stalled.get().unwrap_or(now).max(now + duration)));
            }
        }
        let from = mem::replace(seen, struck.len());
        struck[from..].iter().copied().filter(|trouble| !matches!(trouble, Trouble::Stall(..))).collect()
    }

    /// Until when nothing arrives at a side.
    pub(crate) fn stalled_until(&self, role: Role, now: Instant) -> Option<Instant> {
        self.stalled[role as usize].get().filter(|&until| until > now)
    }
}
