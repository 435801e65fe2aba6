//! Other wire formats than LW/1, through the same connections, peers, servers and clients.
//!
//! A [`Framing`] says how a message is written and found in the byte stream. Everything else stays what it is: limits on
//! lengths and memory, the outbox and its order, timers, close and drain. What a format cannot say has an answer all the
//! same:
//!
//! | LW/1 has | in a format without it |
//! |---|---|
//! | calls | a call is refused ([`Refusal::Unsupported`](crate::Refusal::Unsupported)) |
//! | routes by name, extensions | a push with them is refused likewise |
//! | a handshake | the acceptor's application still decides, without having seen a hello |
//! | credit | reading pauses while unreleased pushes fill the push window |
//! | heartbeats | [`Config::idle_timeout`](crate::Config::idle_timeout) ends connections on which nothing is said |
//! | CLOSE, DRAIN | the end of the stream, after all that was accepted |
//!
//! ```
//! use proto_core::Config;
//! use proto_core::framing::{Format, Netman};
//!
//! let config = Config { framing: Some(Format::new(Netman)), ..Config::default() };
//! assert_eq!(config.validate(), Ok(()));
//! ```

mod netman;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

pub use self::netman::Netman;

/// A wire format of messages that each have a header of fixed length, a number, and a body whose length the header says.
///
/// It keeps nothing from one message to the next: one value serves all connections.
pub trait Framing: fmt::Debug + Send + Sync + 'static {
    /// The length of a header in bytes: 1 to [`MAX_HEADER`].
    fn header_len(&self) -> usize;

    /// Reads a header, of exactly that length; `None` if it breaks a rule of the format, which ends the connection.
    fn parse(&self, header: &[u8]) -> Option<FrameHeader>;

    /// Appends a header, of exactly that length.
    fn emit(&self, header: FrameHeader, out: &mut Vec<u8>);
}

/// The longest header that a [`Framing`] can have, in bytes.
pub const MAX_HEADER: usize = 16;

/// What a foreign header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// Where the message goes: the number of its route.
    pub number: u32,
    /// The length of its body in bytes.
    pub length: u32,
}

/// A [`Framing`] that connections share. Two are equal if one is a clone of the other.
#[derive(Clone, Debug)]
pub struct Format(Arc<dyn Framing>);

impl Format {
    /// This format.
    pub fn new(framing: impl Framing) -> Self {
        Self(Arc::new(framing))
    }

    pub(crate) fn framing(&self) -> &dyn Framing {
        &*self.0
    }
}

impl PartialEq for Format {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Format {}
