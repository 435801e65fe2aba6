//! Who takes part. One file for each; to add one, write a file and name it here.

mod hand_tokio;
mod longwire;
mod longwire_glommio;
mod longwire_smol;
mod longwire_tokio;
mod raw_epoll;
#[cfg(feature = "rivals")]
mod tarpc;

use crate::contender::Contender;

/// All of them, in the order in which they are shown.
pub(crate) fn all() -> Vec<Contender> {
    vec![
        raw_epoll::CONTENDER,
        hand_tokio::CONTENDER,
        longwire_tokio::CONTENDER,
        longwire_smol::CONTENDER,
        longwire_glommio::CONTENDER,
        // What is Longwire with `busy_poll` finds its place here, as `longwire-*-busy`, when there is such a thing.
        #[cfg(feature = "rivals")]
        tarpc::CONTENDER,
    ]
}
