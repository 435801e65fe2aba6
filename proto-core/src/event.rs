//! What goes into a connection and what comes out of it: messages and events.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;

use crate::error::{CloseReason, Delivery};
use crate::time::Instant;
use crate::wire::{
    CloseCode, ExtensionError, ExtensionFields, Extensions, Hello, Lane, Sequence, StatusCode,
};

/// A request or a push on its way out, or on its way in.
///
/// ```
/// use proto_core::{Message, Route};
///
/// let by_number = Message::new(7, "body");
/// assert_eq!(by_number.route(), Route::Number(7));
///
/// let by_name = Message::named("echo", "body")?;
/// assert_eq!(by_name.route(), Route::Name("echo"));
/// # Ok::<(), proto_core::wire::ExtensionError>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// The number of the route; 0 if the route has a name.
    pub number: u32,
    /// How urgent it is. Order is kept among the requests of one lane, and among the pushes of one lane.
    pub lane: Lane,
    /// What else is said, the route's name among it.
    pub extensions: Extensions,
    /// The body.
    pub body: Bytes,
}

impl Message {
    /// A message for a route with a number.
    #[inline]
    pub fn new(route: u32, body: impl Into<Bytes>) -> Self {
        Self { number: route, lane: Lane::Normal, extensions: Extensions::none(), body: body.into() }
    }

    /// A message for a route with a name.
    ///
    /// # Errors
    /// If the name is empty or has more than 255 bytes.
    pub fn named(route: &str, body: impl Into<Bytes>) -> Result<Self, ExtensionError> {
        let extensions = Extensions::new(&ExtensionFields { route: Some(route), ..Default::default() })?;
        Ok(Self { number: 0, lane: Lane::Normal, extensions, body: body.into() })
    }

    /// The same message with this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The same message with these extensions, a route's name among them if it has one.
    #[must_use]
    pub fn with_extensions(mut self, extensions: Extensions) -> Self {
        self.extensions = extensions;
        self
    }

    /// The same message in this lane. The reply to a request comes in the request's lane.
    #[must_use]
    pub const fn in_lane(mut self, lane: Lane) -> Self {
        self.lane = lane;
        self
    }

    /// Where it goes.
    pub fn route(&self) -> Route<'_> {
        Route::of(&self.extensions, self.number)
    }

    /// The code of its header: the route's number, or 0 beside a name (LW-4.8).
    pub(crate) fn code(&self) -> u32 {
        match self.route() {
            Route::Name(_) => 0,
            Route::Number(number) => number,
        }
    }

    /// Its length on the wire, as the limits count it.
    pub(crate) fn length(&self, deadline: bool) -> usize {
        self.extensions.block_len(deadline) + self.body.len()
    }

    /// Bytes that it holds in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.extensions.held_bytes() + self.body.len()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug_message(f, "Message", self.route(), &self.body)
    }
}

/// Shows a message without all of its body, which may be large and end up in a log.
pub(crate) fn debug_message(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    route: Route<'_>,
    body: &Bytes,
) -> fmt::Result {
    f.debug_struct(name).field("route", &route).field("body", &Brief(body)).finish_non_exhaustive()
}

/// Shows how a body begins and how long it is.
pub(crate) struct Brief<'a>(pub(crate) &'a [u8]);

impl fmt::Debug for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 32;
        match self.0.get(..SHOWN) {
            Some(start) if self.0.len() > SHOWN => {
                write!(f, "b\"{}\"... ({} bytes)", start.escape_ascii(), self.0.len())
            }
            _ => write!(f, "b\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// Where a request or a push goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route<'a> {
    /// A route by name.
    Name(&'a str),
    /// A route by number.
    Number(u32),
}

impl<'a> Route<'a> {
    /// The name if there is one, else the number (LW-4.8).
    pub(crate) fn of(extensions: &'a Extensions, number: u32) -> Self {
        let name = if extensions.is_empty() { None } else { extensions.fields().route };
        name.map_or(Self::Number(number), Self::Name)
    }
}

impl<'a> From<&'a str> for Route<'a> {
    fn from(name: &'a str) -> Self {
        Self::Name(name)
    }
}

impl<'a> From<&'a alloc::string::String> for Route<'a> {
    fn from(name: &'a alloc::string::String) -> Self {
        Self::Name(name)
    }
}

impl From<u32> for Route<'_> {
    fn from(number: u32) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Route<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "#{number}"),
        }
    }
}

/// How long a call waits for its reply.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Timeout {
    /// As long as [`Config::call_timeout`](crate::Config::call_timeout) says.
    #[default]
    Default,
    /// This long, counted from the call, time in the queue included.
    After(Duration),
    /// For ever.
    Never,
}

impl Timeout {
    /// How long that is, given what the configuration says; `None` is for ever.
    pub(crate) const fn resolve(self, default: Option<Duration>) -> Option<Duration> {
        match self {
            Self::Default => default,
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }
}

/// A call that this side made.
///
/// Meaningful on the connection that gave it, where no other call has the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(pub(crate) Sequence);

impl CallId {
    /// The id on the wire.
    pub const fn sequence(self) -> Sequence {
        self.0
    }
}

/// A call that the peer made and that wants one reply, on the connection that gave it.
///
/// It cannot be copied, since a call is answered once.
#[derive(Debug, PartialEq, Eq, Hash)]
#[must_use = "every request wants a reply"]
pub struct RequestId(pub(crate) Sequence);

impl RequestId {
    /// The id on the wire.
    pub const fn sequence(&self) -> Sequence {
        self.0
    }
}

/// The credit that a push holds until it is released, on the connection that gave it.
///
/// It cannot be copied, since credit is given back once. One that is dropped keeps its credit for as long as the
/// connection lives.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a push holds its credit until it is released"]
pub struct PushToken(pub(crate) u64);

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Acceptor only: a dialer introduced itself. Answer with
    /// [`accept`](crate::Connection::accept) or [`refuse`](crate::Connection::refuse).
    Hello(Box<Hello>),
    /// The handshake is over: calls and pushes go both ways. The dialer gets the acceptor's answer with it.
    Open(Option<Box<Hello>>),
    /// The peer calls.
    Request {
        /// What to give to [`reply`](crate::Connection::reply).
        id: RequestId,
        /// When the caller stops waiting, by this side's clock.
        deadline: Option<Instant>,
        /// Route, extensions and body.
        message: Message,
    },
    /// The peer pushes.
    Push {
        /// What to give to [`release`](crate::Connection::release) once the push has been dealt with.
        token: PushToken,
        /// Route, extensions and body.
        message: Message,
    },
    /// A call of this side ended. Every accepted call gets exactly one of these unless it was
    /// [cancelled](crate::Connection::cancel).
    Ended {
        /// The call.
        call: CallId,
        /// How it ended.
        outcome: Outcome,
    },
    /// The caller of a request that was handed out no longer waits for its reply. The work may be stopped; the request
    /// still wants its [`reply`](crate::Connection::reply), of which status `CANCELLED` is the usual one.
    Cancelled(Sequence),
    /// The connection is coming to its end, and takes no further calls: the peer asked for it, or a limit of this side was
    /// reached (age, idleness). Calls in flight, both ways, are still served.
    Draining(CloseCode),
    /// A message had been refused for lack of room or of a slot, and there is room again.
    Writable,
    /// The connection has ended. Nothing comes after it.
    Closed(CloseReason),
}

/// How a call ended.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The peer replied. Any status but `OK` is an error.
    Reply {
        /// How it went.
        status: StatusCode,
        /// What the reply says beside its body.
        extensions: Extensions,
        /// The result, or what describes the error.
        body: Bytes,
    },
    /// The peer replied, but more replies wait for the application than the configuration allows. The body is lost.
    Discarded,
    /// The deadline passed first.
    TimedOut(Delivery),
    /// The connection ended first.
    Lost(Delivery),
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { status, body, .. } => {
                let mut shown = f.debug_struct("Reply");
                shown.field("status", status).field("body", &Brief(body)).finish_non_exhaustive()
            }
            Self::Discarded => f.write_str("Discarded"),
            Self::TimedOut(delivery) => f.debug_tuple("TimedOut").field(delivery).finish(),
            Self::Lost(delivery) => f.debug_tuple("Lost").field(delivery).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_body_does_not_fill_a_log() {
        let message = Message::new(7, vec![b'x'; 1 << 20]);
        let shown = alloc::format!("{message:?}");
        assert!(shown.len() < 200, "{} characters", shown.len());
        assert!(shown.contains("(1048576 bytes)"), "{shown}");
        assert_eq!(
            alloc::format!("{:?}", Message::new(7, "short")),
            "Message { route: Number(7), body: b\"short\", .. }"
        );
    }
}
