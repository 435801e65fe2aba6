//! glommio's sockets as descriptors: the only unsafe code of this crate.
//!
//! glommio makes a listener only by itself, with options that let a second server take half of a port, or from a
//! raw descriptor; and it lends descriptors only raw. Nothing else belongs here.

#![allow(unsafe_code, reason = "glommio gives and takes raw descriptors alone")]

use std::net::TcpListener as Listening;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd};

use glommio::net::{TcpListener, TcpStream};

/// Hands a listening socket over to the executor of this thread.
pub(crate) fn adopt(listening: Listening) -> TcpListener {
    // SAFETY: the descriptor is open and nobody else's, since `into_raw_fd` gives its ownership up; glommio's value is its only
    // owner from here on. It is a TCP socket that listens, which is all that glommio asks of it.
    unsafe { TcpListener::from_raw_fd(listening.into_raw_fd()) }
}

/// The descriptor of a stream, to set options on and to write several chunks at once.
pub(crate) fn of(stream: &TcpStream) -> BorrowedFd<'_> {
    // SAFETY: the stream owns the descriptor and closes it only when it is dropped, and the result borrows the stream.
    unsafe { BorrowedFd::borrow_raw(stream.as_raw_fd()) }
}
