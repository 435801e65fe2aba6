//! The caller's faults, and what it is told of a call that got no answer.

use core::fmt;

use crate::event::Message;

/// Whether the peer can have run a call that got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It cannot: the request's last byte never left this side. Calling again is safe.
    NotSent,
    /// It may have: the whole request has its place in the byte stream, so it has left or will leave.
    MaybeSent,
}

/// Why a message was not accepted. It was not sent in part, and comes back in [`Refused`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// An extension that is empty or too long, or that this kind of message cannot carry: a route on a reply, or an
    /// idempotency key on anything but a request.
    BadExtension,
    /// The route's name is empty, or has more than 255 bytes.
    BadRoute,
    /// The connection is closing or closed.
    Closed,
    /// The connection is coming to its end and takes no further calls: call on another one.
    Draining,
    /// The outbox is full, or the peer has granted no more bytes: try again after `Writable`.
    Full,
    /// All slots that the peer granted are in use: try again after `Writable`.
    NoSlot,
    /// The peer takes no calls: it granted no slot at all.
    NotCallable,
    /// The handshake has not ended yet.
    NotOpen,
    /// The message is longer than the peer takes.
    TooLarge {
        /// Its length, extension block included.
        length: u64,
        /// What the peer takes.
        limit: u32,
    },
    /// The [wire format](crate::framing) of this connection cannot say such a thing.
    Unsupported,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadExtension => f.write_str("an extension does not fit this kind of message"),
            Self::BadRoute => f.write_str("a route's name has 1 to 255 bytes"),
            Self::Closed => f.write_str("the connection is closed"),
            Self::Draining => f.write_str("the connection is coming to its end and takes no further calls"),
            Self::Full => f.write_str("too much waits to be sent already"),
            Self::NoSlot => f.write_str("too many calls are in flight already"),
            Self::NotCallable => f.write_str("the peer takes no calls"),
            Self::NotOpen => f.write_str("the connection is not open yet"),
            Self::TooLarge { length, limit } => {
                write!(f, "a message of {length} bytes is over the peer's limit of {limit}")
            }
            Self::Unsupported => f.write_str("the wire format of this connection has no such thing"),
        }
    }
}

impl core::error::Error for Refusal {}

/// A message that was not accepted, given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// What stood in the way.
    pub refusal: Refusal,
    /// The message, unchanged.
    pub message: Message,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl core::error::Error for Refused {}

/// A value of a [`Config`](crate::Config) that makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The field.
    pub field: &'static str,
    /// What it must be.
    pub rule: &'static str,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "configuration: {} {}", self.field, self.rule)
    }
}

impl core::error::Error for ConfigError {}
