//! The limits: the operating system, with as little as possible in front of it.

mod blocking;
mod busy;
mod epoll;
mod uring;

use crate::contender::Contender;

pub(crate) const ALL: &[Contender] =
    &[epoll::CONTENDER, epoll::SMALL_TURNS, blocking::CONTENDER, uring::CONTENDER, busy::CONTENDER];

/// Most bytes that are read at once. What is large travels faster in large turns; what is small does not care.
const READ: usize = 256 << 10;
