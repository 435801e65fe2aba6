//! How calls fail, seen from both ends.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::fmt;

use bytes::Bytes;

use crate::error::{CloseReason, Delivery, Refusal, Refused, harmless};
use crate::event::Brief;
use crate::wire::StatusCode;

/// An answer that is not a success: what a handler returns, and what its caller gets.
///
/// ```
/// use proto_core::StatusCode;
/// use proto_core::peer::Status;
///
/// let status = Status::new(StatusCode::BAD_REQUEST, "the amount is negative");
/// assert_eq!(status.to_string(), "BAD_REQUEST: the amount is negative");
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// How the call went. Never `OK` in an answer that was received.
    pub code: StatusCode,
    /// What describes it: a text, unless both sides agree on something else.
    pub body: Bytes,
}

impl Status {
    /// A status with something that describes it.
    pub fn new(code: StatusCode, body: impl Into<Bytes>) -> Self {
        Self { code, body: body.into() }
    }

    /// The description as a text, with what is no UTF-8 and what would move a terminal's cursor replaced.
    pub fn text(&self) -> String {
        harmless(&String::from_utf8_lossy(&self.body)).to_string()
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Status").field("code", &self.code).field("body", &Brief(&self.body)).finish()
    }
}

impl From<StatusCode> for Status {
    fn from(code: StatusCode) -> Self {
        Self { code, body: Bytes::new() }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if self.body.is_empty() { Ok(()) } else { write!(f, ": {}", self.text()) }
    }
}

impl core::error::Error for Status {}

/// Why a call has no result.
///
/// [`may_have_run`](Self::may_have_run) says whether calling again could do the work twice. What to do:
///
/// | error | do |
/// |---|---|
/// | `Discarded` | take replies faster, or allow more of them |
/// | `Lost` | call again if that does no harm; a client that comes back does so by itself where it may |
/// | `Refused` with `Full`, `NoSlot` | call less at once; `call` waits in line, `try_call` does not |
/// | `Refused` with `Draining`, `NotOpen` | call on another connection, or on the next one |
/// | `Refused`, any other | the call can never be made like this: see [`Refusal`] |
/// | `Status` | it was answered: see its code and body |
/// | `TimedOut` | wait longer, or find out what takes so long: with `NotSent`, it never left this end |
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The reply came, but too many replies waited on this side. Take replies faster, or allow more
    /// ([`Config::undelivered_limit`](crate::Config::undelivered_limit)).
    Discarded,
    /// The connection ended first.
    Lost {
        /// Whether the peer can have the call.
        delivery: Delivery,
        /// Why the connection ended.
        reason: CloseReason,
    },
    /// The call was not accepted; here it is.
    Refused(Box<Refused>),
    /// The peer answered with an error.
    Status(Box<Status>),
    /// The deadline passed first. Whether the peer can have the call is said.
    TimedOut(Delivery),
}

impl CallError {
    /// Whether the peer may have run the call. If not, calling again is safe whatever the call does.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Discarded => true,
            Self::Refused(_) => false,
            Self::Status(status) => status.code.may_have_run(),
            Self::Lost { delivery, .. } | Self::TimedOut(delivery) => *delivery == Delivery::MaybeSent,
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discarded => f.write_str("the reply was dropped, because too many replies waited already"),
            Self::Lost { reason, .. } => reason.fmt(f),
            Self::Refused(refused) => refused.fmt(f),
            Self::Status(status) => status.fmt(f),
            Self::TimedOut(_) => f.write_str("the deadline passed"),
        }?;
        match self {
            Self::Lost { delivery: Delivery::NotSent, .. } | Self::TimedOut(Delivery::NotSent) => {
                f.write_str("; the call was not sent")
            }
            Self::Lost { .. } | Self::TimedOut(_) => f.write_str("; the peer may have run the call"),
            Self::Discarded | Self::Refused(_) | Self::Status(_) => Ok(()),
        }
    }
}

impl core::error::Error for CallError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Lost { reason, .. } => Some(reason),
            Self::Refused(refused) => Some(&**refused),
            Self::Status(status) => Some(&**status),
            Self::Discarded | Self::TimedOut(_) => None,
        }
    }
}

impl From<Refused> for CallError {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

impl CallError {
    /// Why the call was not accepted, if that is what happened.
    pub fn refusal(&self) -> Option<Refusal> {
        match self {
            Self::Refused(refused) => Some(refused.refusal),
            _ => None,
        }
    }
}
