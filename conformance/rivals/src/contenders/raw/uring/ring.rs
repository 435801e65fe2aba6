//! io_uring with buffers that belong to it while an operation is under way, which makes it safe to use.
#![allow(
    unsafe_code,
    reason = "what is submitted to the ring is read and written behind the compiler's back"
)]

use std::mem::{forget, take};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::{IoUring, opcode, squeue, types};
use memmap2::MmapMut;
use slab::Slab;

use crate::Result;

/// Operations that can be submitted at once.
const ENTRIES: u32 = 1024;

pub(crate) struct Ring<B> {
    ring: IoUring,
    under_way: Slab<Operation<B>>,
}

/// An operation that the system has in hand, or has done.
pub(crate) struct Operation<B> {
    pub(crate) kind: Kind,
    /// Whose it is, as its owner said.
    pub(crate) token: usize,
    /// None that accepts has one.
    pub(crate) buffer: Option<B>,
}

/// Memory that stays where it is when its owner is moved.
pub(crate) trait Buffer {
    fn bytes(&mut self) -> &mut [u8];
}

impl Buffer for Vec<u8> {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

impl Buffer for MmapMut {
    fn bytes(&mut self) -> &mut [u8] {
        self
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Accept,
    Read,
    Write,
}

impl<B: Buffer> Ring<B> {
    pub(crate) fn new() -> Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .build(ENTRIES)?;
        Ok(Self { ring, under_way: Slab::new() })
    }

    /// Accepts connections from now on, again and again.
    pub(crate) fn accept(&mut self, listener: &TcpListener) -> Result {
        let key = self.under_way.insert(Operation { kind: Kind::Accept, token: 0, buffer: None });
        let accept = opcode::AcceptMulti::new(types::Fd(listener.as_raw_fd())).build();
        self.push(&accept.user_data(key as u64))
    }

    /// Reads into all of a buffer.
    pub(crate) fn read(&mut self, stream: &TcpStream, token: usize, mut buffer: B) -> Result {
        let (pointer, length) = (buffer.bytes().as_mut_ptr(), buffer.bytes().len() as u32);
        let key = self.under_way.insert(Operation { kind: Kind::Read, token, buffer: Some(buffer) });
        let read = opcode::Recv::new(types::Fd(stream.as_raw_fd()), pointer, length).build();
        self.push(&read.user_data(key as u64))
    }

    /// Writes this much of a buffer, all of it.
    pub(crate) fn write(&mut self, stream: &TcpStream, token: usize, mut buffer: B, length: usize) -> Result {
        let pointer = buffer.bytes()[..length].as_ptr();
        let key = self.under_way.insert(Operation { kind: Kind::Write, token, buffer: Some(buffer) });
        let write = opcode::Send::new(types::Fd(stream.as_raw_fd()), pointer, length as u32)
            .flags(MSG_WAITALL)
            .build();
        self.push(&write.user_data(key as u64))
    }

    fn push(&mut self, entry: &squeue::Entry) -> Result {
        loop {
            // SAFETY: the buffer's memory does not move with its owner, and stays in `under_way` until the
            // system says that the operation is done, or for ever; so does nobody else use it. A descriptor
            // that was closed is no harm: the system refuses it, or reads and writes another stream of this
            // process.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    /// Submits what is new, waits until something is done, and hands out all that is: operations and what
    /// they came to.
    pub(crate) fn wait(&mut self, done: &mut Vec<(Operation<B>, i32)>) -> Result {
        match self.ring.submit_and_wait(1) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => drop(result?),
        }
        for completed in self.ring.completion() {
            let key = completed.user_data() as usize;
            let operation = &mut self.under_way[key];
            let (kind, token, buffer) = (operation.kind, operation.token, operation.buffer.take());
            if kind != Kind::Accept {
                self.under_way.remove(key);
            }
            done.push((Operation { kind, token, buffer }, completed.result()));
        }
        Ok(())
    }
}

const MSG_WAITALL: i32 = nix::libc::MSG_WAITALL;

/// The stream that an accept came to.
pub(crate) fn accepted(result: i32) -> Result<TcpStream> {
    let descriptor = super::length(result)?;
    // SAFETY: the system has just made this descriptor for whoever asked, which is nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as i32) }.into())
}

impl<B> Drop for Ring<B> {
    fn drop(&mut self) {
        // The system may write into these still.
        forget(take(&mut self.under_way));
    }
}
