//! What handlers are given and what they give back.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use super::handle::Peer;
use crate::event::{Brief, Message, Route, debug_message};
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo, Extensions, Lane};

/// A call that came in.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Request {
    /// When the caller stops waiting, by the clock of its connection ([`Peer::now`]); `None` means never.
    pub deadline: Option<Instant>,
    /// How urgent it is to the caller; the reply is as urgent.
    pub lane: Lane,
    /// What else the caller says.
    pub extensions: Extensions,
    /// The body.
    pub body: Bytes,
    number: u32,
}

impl Request {
    /// A call as it comes in: for tests of handlers.
    #[inline]
    pub fn new(message: Message, deadline: Option<Instant>) -> Self {
        let Message { number, lane, extensions, body } = message;
        Self { deadline, lane, extensions, body, number }
    }

    /// How long the caller will still wait; `None` means for ever. The connection that the call came on knows the time.
    pub fn time_left(&self, peer: &Peer) -> Option<Duration> {
        self.deadline.map(|at| at.saturating_since(peer.now()))
    }

    /// Where it goes.
    pub fn route(&self) -> Route<'_> {
        Route::of(&self.extensions, self.number)
    }

    /// The body as a text, with what is no UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_message(f, "Request", self.route(), &self.body)
    }
}

/// A push that came in.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Push {
    /// How urgent it is to the sender.
    pub lane: Lane,
    /// What else the sender says.
    pub extensions: Extensions,
    /// The body.
    pub body: Bytes,
    number: u32,
}

impl Push {
    /// A push as it comes in: for tests of handlers.
    #[inline]
    pub fn new(message: Message) -> Self {
        let Message { number, lane, extensions, body } = message;
        Self { lane, extensions, body, number }
    }

    /// Where it goes.
    pub fn route(&self) -> Route<'_> {
        Route::of(&self.extensions, self.number)
    }

    /// The body as a text, with what is no UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Debug for Push {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_message(f, "Push", self.route(), &self.body)
    }
}

/// A successful answer. Bytes and texts become one with `into()`.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// What is said beside the body.
    pub extensions: Extensions,
    /// The result.
    pub body: Bytes,
}

impl Reply {
    /// The body as a text, with what is no UTF-8 replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("body", &Brief(&self.body)).finish_non_exhaustive()
    }
}

macro_rules! replies_from {
    ($($body:ty),*) => {
        $(impl From<$body> for Reply {
            fn from(body: $body) -> Self {
                Self { extensions: Extensions::none(), body: body.into() }
            }
        })*
    };
}

replies_from!(Bytes, Vec<u8>, String, &'static [u8], &'static str);

/// Sends a dialer away, with what it is told.
///
/// ```
/// use proto_core::CloseCode;
/// use proto_core::peer::Refuse;
///
/// let refuse = Refuse::new(CloseCode::BAD_CREDENTIALS, "unknown token");
/// assert_eq!(refuse.code, CloseCode::BAD_CREDENTIALS);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refuse {
    /// What the dialer is told about the reason; usually REFUSED, BAD_CREDENTIALS or OVERLOADED.
    pub code: CloseCode,
    /// What else may help.
    pub info: CloseInfo,
}

impl Refuse {
    /// A refusal with words for people.
    pub fn new(code: CloseCode, text: &str) -> Self {
        Self { code, info: CloseInfo::with_text(text) }
    }
}
