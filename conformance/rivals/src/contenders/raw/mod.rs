//! The limits: the operating system, with as little as possible in front of it.

mod blocking;
mod busy;
mod epoll;
mod uring;

use crate::contender::Contender;

pub(crate) const ALL: &[Contender] =
    &[epoll::CONTENDER, blocking::CONTENDER, uring::CONTENDER, busy::CONTENDER];
