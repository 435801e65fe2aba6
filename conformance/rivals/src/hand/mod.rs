//! The echo that is written by hand: what the limits and the contenders named `hand-` have in common. No
//! socket and no runtime is in here, so that they differ in nothing else.

mod client;
mod frames;
mod idle;
mod output;
mod stream;

pub(crate) use self::client::Client;
pub(crate) use self::frames::encode;
pub(crate) use self::idle::{connect, idle};
pub(crate) use self::stream::{Stream, call, echo};
