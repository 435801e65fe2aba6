//! LW/1: bytes to frames and back.
//!
//! Each structure has two layers. A *view* gives access to fields of bytes that are known to be long enough and
//! judges nothing. A *representation* is what a view means after every rule has been checked; it can be emitted
//! again. Nothing here knows what a connection is or in which state it is, and nothing here allocates, except to
//! take over a value that has been checked.
//!
//! `PROTOCOL.md` beside this crate's sources is the specification; clause numbers (LW-2.3) refer to it.

mod close;
mod codes;
mod control;
mod extensions;
mod fields;
mod header;
mod hello;
mod preface;
mod sequence;

pub use close::CloseInfo;
pub(crate) use close::millis_rounded_up;
pub use codes::{CloseCode, StatusCode};
pub use control::{CREDIT_LEN, Credit, PING_LEN, PONG_LEN, Pong};
pub(crate) use extensions::DEADLINE_BLOCK_LEN;
pub use extensions::{ExtensionBlock, ExtensionError, ExtensionFields, Extensions};
pub use header::{Flags, HEADER_LEN, Header, HeaderView, Kind, Lane, Parsed};
pub use hello::{Capabilities, Codec, Credentials, Heartbeat, Hello, MAX_CREDENTIALS, Versions};
pub use preface::{PREFACE, PrefaceCheck};
pub use sequence::Sequence;

/// The version of the protocol that this crate speaks.
pub const VERSION: u16 = 1;

/// The largest `length` of a frame before WELCOME (LW-2.3), in bytes.
pub const HANDSHAKE_FRAME_LIMIT: u32 = 4096;

/// What each message is charged beside its length (LW-1.3), in bytes.
pub const CHARGE_OVERHEAD: u64 = 64;

/// What a message of this length is charged against the receiver's window (LW-1.3).
pub const fn charge(length: usize) -> u64 {
    CHARGE_OVERHEAD + length as u64
}

#[cfg(test)]
mod tests;
