//! Memory that connections at rest have no use for, and that those of the same thread which begin to work borrow.
//!
//! A connection with little to say at a time begins and ends its work so often that asking the system for the same memory again and
//! again would cost more than what is done with it.

use alloc::vec::Vec;
use core::cell::RefCell;

use super::callers::MaybeCallers;
use crate::connection::{Connection, Stock};

/// For how many connections it is kept on one thread: for those that begin to work before others have ended. The most that can
/// come together is 3 MiB, after connections that had much to do; one that has had a call lends about 1 KiB.
const KEPT: usize = 32;

/// What connections have lent.
#[derive(Default)]
struct Shelf {
    stock: Stock,
    callers: Vec<MaybeCallers>,
}

std::thread_local!(static SHELF: RefCell<Shelf> = RefCell::default());

/// Lends the memory of a connection that comes to rest, but for that in which a call has its place.
pub(super) fn lend(connection: &mut Connection, callers: &mut MaybeCallers) {
    let own = callers.lend();
    let shelved = SHELF.try_with(|shelf| {
        let Shelf { stock, callers } = &mut *shelf.borrow_mut();
        connection.lend_buffers(stock, KEPT);
        callers.extend(own.filter(|_| callers.len() < KEPT));
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
        connection.borrow_buffers(&mut shelf.stock);
        if callers.is_none() {
            *callers = shelf.callers.pop().unwrap_or_default();
        }
    });
}
