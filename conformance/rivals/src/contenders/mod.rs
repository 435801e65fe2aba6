//! Who takes part: a file for each contender, in the folder of its kind. To add one, write its file and name
//! it in the `mod.rs` beside it.

mod hand;
mod longwire;
mod raw;
#[cfg(feature = "rivals")]
mod rivals;

use crate::contender::Contender;

/// All of them, in the order in which they are shown.
pub(crate) fn all() -> Vec<Contender> {
    #[cfg(feature = "rivals")]
    let rivals: &[Contender] = rivals::ALL;
    #[cfg(not(feature = "rivals"))]
    let rivals: &[Contender] = &[];
    [raw::ALL, hand::ALL, longwire::ALL, rivals].concat()
}
