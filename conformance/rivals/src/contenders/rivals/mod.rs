//! What others offer for the same purpose, each as its own users would write it.

mod capnp;
mod jsonrpsee;
mod tarpc;
mod tonic;
mod ttrpc;

use crate::contender::Contender;

pub(crate) const ALL: &[Contender] =
    &[tarpc::CONTENDER, tonic::CONTENDER, capnp::CONTENDER, ttrpc::CONTENDER, jsonrpsee::CONTENDER];
