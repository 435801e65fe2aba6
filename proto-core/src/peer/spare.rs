//! Memory that connections at rest have no use for, and that those of the same thread which begin to work borrow.
//!
//! A connection with little to say at a time begins and ends its work so often that asking the system for the same memory again and
//! again would cost more than what is done with it.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::callers::MaybeCallers;
use crate::connection::{Connection, Stock};

/// How much is kept for one thread: for so many connections that begin to work before others have ended, and so many bytes.
const KEPT: usize = 64;
const KEPT_BYTES: usize = 1 << 20;

/// What connections have lent.
#[derive(Default)]
struct Shelf {
    stock: Stock,
    callers: Vec<MaybeCallers>,
    bytes: usize,
}

std::thread_local!(static SHELF: RefCell<Shelf> = RefCell::default());

/// Lends the memory of a connection that comes to rest, but for that in which a call has its place.
pub(super) fn lend(connection: &mut Connection, callers: &mut MaybeCallers) {
    let own = if callers.is_empty() { callers.lend() } else { MaybeCallers::default() };
    let shelved = SHELF.try_with(|shelf| {
        let Shelf { stock, callers, bytes } = &mut *shelf.borrow_mut();
        *bytes += connection.lend_buffers(stock, KEPT_BYTES - *bytes, KEPT);
        let held = own.spare_bytes();
        if held > 0 && callers.len() < KEPT && *bytes + held <= KEPT_BYTES {
            *bytes += held;
            callers.push(own);
        }
    });
    if shelved.is_err() {
        // A thread that is about to end keeps nothing.
        connection.shrink();
    }
}

/// Gives a connection that begins to work what others have lent.
pub(super) fn borrow(connection: &mut Connection, callers: &mut MaybeCallers) {
    let _ = SHELF.try_with(|shelf| {
        let shelf = &mut *shelf.borrow_mut();
        shelf.bytes -= connection.borrow_buffers(&mut shelf.stock);
        if callers.is_none() {
            if let Some(lent) = shelf.callers.pop() {
                shelf.bytes -= lent.spare_bytes();
                *callers = lent;
            }
        }
    });
}
