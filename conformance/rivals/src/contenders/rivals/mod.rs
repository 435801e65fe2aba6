//! What others offer for the same purpose, each as its own users would write it.

mod tarpc;

use crate::contender::Contender;

pub(crate) const ALL: &[Contender] = &[tarpc::CONTENDER];
