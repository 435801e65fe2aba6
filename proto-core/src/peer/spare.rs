//! Memory that connections at rest have no use for, and that those of the same thread which begin to work borrow.
//!
//! A connection with little to say at a time begins and ends its work so often that asking the system for the same memory again and
//! again would cost more than what is done with it.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::callers::MaybeCallers;
use crate::connection::{Buffers, Connection};

/// How much is kept for one thread: for so many connections that begin to work before others have ended, and so many bytes.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1 << 20;

/// What one connection has lent.
#[derive(Debug, Default)]
pub(super) struct Spare {
    buffers: Buffers,
    callers: MaybeCallers,
}

#[derive(Default)]
struct Shelf {
    spares: Vec<Spare>,
    bytes: usize,
}

std::thread_local!(static SHELF: RefCell<Shelf> = RefCell::default());

/// Lends the memory of a connection that comes to rest, unless a call is in flight: what that has a place in cannot be lent.
/// Says whether it did.
pub(super) fn lend(connection: &mut Connection, callers: &mut MaybeCallers) -> bool {
    if connection.calls_in_flight() + connection.requests_in_flight() > 0 {
        return false;
    }
    let callers = if callers.is_empty() { callers.lend() } else { MaybeCallers::default() };
    let spare = Spare { buffers: connection.lend_buffers(), callers };
    let bytes = spare.buffers.held_bytes() + spare.callers.spare_bytes();
    // A thread that is about to end keeps nothing.
    let _ = SHELF.try_with(|shelf| {
        let mut shelf = shelf.borrow_mut();
        if bytes > 0 && shelf.spares.len() < KEPT && shelf.bytes + bytes <= KEPT_BYTES {
            shelf.bytes += bytes;
            shelf.spares.push(spare);
        }
    });
    true
}

/// Gives a connection that begins to work what another one has lent.
pub(super) fn borrow(connection: &mut Connection, callers: &mut MaybeCallers) {
    let spare = SHELF.try_with(|shelf| {
        let mut shelf = shelf.borrow_mut();
        let spare = shelf.spares.pop()?;
        shelf.bytes -= spare.buffers.held_bytes() + spare.callers.spare_bytes();
        Some(spare)
    });
    if let Ok(Some(mut spare)) = spare {
        connection.borrow_buffers(&mut spare.buffers);
        if callers.is_none() {
            *callers = spare.callers;
        }
    }
}
