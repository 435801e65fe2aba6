//! What one would write for a runtime if an echo were all that is wanted.

mod glommio;
mod smol;
mod tokio;
mod tokio_busy;

use crate::contender::Contender;

pub(crate) const ALL: &[Contender] =
    &[tokio::CONTENDER, smol::CONTENDER, glommio::CONTENDER, tokio_busy::CONTENDER];
