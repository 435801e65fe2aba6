//! Errors by fault: the peer's ([`ProtocolError`]), the transport's ([`TransportError`]), the caller's
//! ([`Refusal`], [`ConfigError`]).
//!
//! All are small, comparable and sticky: a connection that has ended goes on giving the same reason.

use alloc::sync::Arc;
use core::fmt;

use crate::event::Message;
use crate::layer::LayerError;
use crate::wire::{CloseCode, CloseInfo, Kind, Sequence};

/// What a peer did that the protocol does not allow. Each has a close code, which the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A non-zero code on a frame that has none.
    BadCode {
        /// The frame's kind.
        kind: Kind,
        /// The code that should have been 0.
        code: u32,
    },
    /// A CREDIT smaller than an earlier one.
    BadCredit,
    /// An extension block that cannot be read.
    BadExtension,
    /// A fragment that does not fit its message.
    BadFragment {
        /// What it is a fragment of.
        kind: Kind,
        /// The id of the message.
        sequence: Sequence,
    },
    /// A header that breaks a rule of the [foreign format](crate::framing) in use.
    BadForeignHeader,
    /// Flags that the kind does not allow.
    BadFlags {
        /// The frame's kind.
        kind: Kind,
        /// The flags byte.
        flags: u8,
    },
    /// A HELLO or WELCOME that cannot be accepted.
    BadHello(HelloFault),
    /// A length that the kind does not allow.
    BadLength {
        /// The frame's kind.
        kind: Kind,
        /// The length.
        length: u32,
    },
    /// The stream does not start with the preface.
    BadPreface {
        /// Where the first wrong byte stands, 0 to 7.
        offset: u8,
        /// That byte.
        byte: u8,
    },
    /// A sequence that the kind does not allow.
    BadSequence {
        /// The frame's kind.
        kind: Kind,
        /// The sequence.
        sequence: Sequence,
    },
    /// More was sent than granted.
    CreditExceeded,
    /// A frame longer than the limit in force.
    FrameTooLarge {
        /// The length.
        length: u32,
        /// The limit.
        limit: u32,
    },
    /// A message longer than announced.
    MessageTooLarge {
        /// The length.
        length: u32,
        /// The limit.
        limit: u32,
    },
    /// A frame whose capability was not announced.
    NotNegotiated(Kind),
    /// A request in a slot that was not granted.
    SlotBeyondLimit(u16),
    /// A request in a slot that is not free.
    SlotInUse(u16),
    /// Pings came more often than allowed.
    TooManyPings,
    /// A frame that the state does not allow.
    UnexpectedFrame(Kind),
    /// A reply to a call that is not in flight.
    UnknownCall(Sequence),
    /// A frame of an unknown kind.
    UnknownKind(u8),
    /// No common version.
    UnsupportedVersion,
}

impl ProtocolError {
    /// The code that the peer is told.
    pub const fn code(&self) -> CloseCode {
        match self {
            Self::BadCode { .. } => CloseCode::BAD_CODE,
            Self::BadCredit => CloseCode::BAD_CREDIT,
            Self::BadExtension => CloseCode::BAD_EXTENSION,
            Self::BadFragment { .. } => CloseCode::BAD_FRAGMENT,
            Self::BadForeignHeader => CloseCode::UNKNOWN_KIND,
            Self::BadFlags { .. } => CloseCode::BAD_FLAGS,
            Self::BadHello(_) => CloseCode::BAD_HELLO,
            Self::BadLength { .. } => CloseCode::BAD_LENGTH,
            Self::BadPreface { .. } => CloseCode::BAD_PREFACE,
            Self::BadSequence { .. } => CloseCode::BAD_SEQUENCE,
            Self::CreditExceeded => CloseCode::CREDIT_EXCEEDED,
            Self::FrameTooLarge { .. } => CloseCode::FRAME_TOO_LARGE,
            Self::MessageTooLarge { .. } => CloseCode::MESSAGE_TOO_LARGE,
            Self::NotNegotiated(_) => CloseCode::NOT_NEGOTIATED,
            Self::SlotBeyondLimit(_) => CloseCode::SLOT_BEYOND_LIMIT,
            Self::SlotInUse(_) => CloseCode::SLOT_IN_USE,
            Self::TooManyPings => CloseCode::TOO_MANY_PINGS,
            Self::UnexpectedFrame(_) => CloseCode::UNEXPECTED_FRAME,
            Self::UnknownCall(_) => CloseCode::UNKNOWN_CALL,
            Self::UnknownKind(_) => CloseCode::UNKNOWN_KIND,
            Self::UnsupportedVersion => CloseCode::UNSUPPORTED_VERSION,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::BadCode { kind, code } => write!(f, "a {kind:?} frame has code {code}, which must be 0"),
            Self::BadCredit => f.write_str("a credit grant is smaller than an earlier one"),
            Self::BadExtension => f.write_str("an extension block cannot be read"),
            Self::BadFragment { kind, sequence } => {
                write!(f, "a fragment of {kind:?} {sequence:?} does not fit its message")
            }
            Self::BadForeignHeader => f.write_str("a header breaks a rule of its format"),
            Self::BadFlags { kind, flags } => write!(f, "a {kind:?} frame has flags {flags:#04x}"),
            Self::BadHello(fault) => write!(f, "the peer's hello cannot be accepted: {fault}"),
            Self::BadLength { kind, length } => write!(f, "a {kind:?} frame has a payload of {length} bytes"),
            Self::BadPreface { offset, byte } => {
                write!(f, "the peer does not speak LW: byte {offset} of its preface is {byte:#04x}")
            }
            Self::BadSequence { kind, sequence } => write!(f, "a {kind:?} frame has sequence {sequence:?}"),
            Self::CreditExceeded => f.write_str("the peer sent more than it was granted"),
            Self::FrameTooLarge { length, limit } => {
                write!(f, "a frame of {length} bytes is over the limit of {limit}")
            }
            Self::MessageTooLarge { length, limit } => {
                write!(f, "a message of {length} bytes is over the limit of {limit}")
            }
            Self::NotNegotiated(kind) => {
                write!(f, "a {kind:?} frame needs a capability that was not announced")
            }
            Self::SlotBeyondLimit(slot) => write!(f, "a request came in slot {slot}, which was not granted"),
            Self::SlotInUse(slot) => {
                write!(f, "a request came in slot {slot}, whose call is still in flight")
            }
            Self::TooManyPings => f.write_str("the peer pings more often than allowed"),
            Self::UnexpectedFrame(kind) => write!(f, "a {kind:?} frame came where none may"),
            Self::UnknownCall(id) => write!(f, "a reply came for {id:?}, which is not in flight"),
            Self::UnknownKind(kind) => write!(f, "a frame of the unknown kind {kind:#04x} came"),
            Self::UnsupportedVersion => f.write_str("the peer speaks no version that this side speaks"),
        }
    }
}

impl core::error::Error for ProtocolError {}

/// What is wrong with a HELLO or WELCOME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HelloFault {
    /// A field is cut off, or stands there twice.
    Fields,
    /// A required field is missing.
    Missing {
        /// Its tag.
        tag: u16,
    },
    /// A value has the wrong length or lies outside its range.
    Value {
        /// Its tag.
        tag: u16,
    },
}

impl fmt::Display for HelloFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fields => f.write_str("a field is cut off or stands there twice"),
            Self::Missing { tag } => write!(f, "field {tag} is missing"),
            Self::Value { tag } => write!(f, "the value of field {tag} is out of its range"),
        }
    }
}

/// What the byte stream did. Drivers map their own errors to it, so that the core needs no error of a system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportError {
    /// Writing to a stream that the peer no longer reads.
    BrokenPipe,
    /// The stream ended without a CLOSE.
    Eof,
    /// Anything else.
    Other,
    /// The peer, or something on the way, reset the stream.
    Reset,
    /// The system gave up on the peer.
    TimedOut,
    /// No stream could be opened.
    Unreachable,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BrokenPipe => "the peer no longer reads",
            Self::Eof => "the stream ended without a close",
            Self::Other => "the transport failed",
            Self::Reset => "the stream was reset",
            Self::TimedOut => "the transport timed out",
            Self::Unreachable => "no stream could be opened",
        })
    }
}

impl core::error::Error for TransportError {}

#[cfg(feature = "std")]
impl From<std::io::ErrorKind> for TransportError {
    fn from(kind: std::io::ErrorKind) -> Self {
        use std::io::ErrorKind;
        match kind {
            ErrorKind::BrokenPipe | ErrorKind::WriteZero => Self::BrokenPipe,
            ErrorKind::UnexpectedEof => Self::Eof,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Self::Reset,
            ErrorKind::TimedOut => Self::TimedOut,
            ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Self::Unreachable
            }
            _ => Self::Other,
        }
    }
}

/// A time limit that ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Limit {
    /// Output was left when the time for closing ([`Config::close_timeout`](crate::Config::close_timeout)) was over.
    Close,
    /// The handshake ([`Config::handshake_timeout`](crate::Config::handshake_timeout)).
    Handshake,
    /// A frame came too slowly ([`ProgressConfig`](crate::config::ProgressConfig)).
    Progress,
    /// Nothing came from the peer ([`HeartbeatConfig`](crate::config::HeartbeatConfig)).
    Silence,
    /// Output made no progress ([`Config::write_stall_timeout`](crate::Config::write_stall_timeout)).
    WriteStall,
}

impl Limit {
    /// The code that the peer is told.
    pub const fn code(self) -> CloseCode {
        match self {
            Self::Close | Self::WriteStall => CloseCode::WRITE_STALLED,
            Self::Handshake => CloseCode::HANDSHAKE_TIMEOUT,
            Self::Progress => CloseCode::TOO_SLOW,
            Self::Silence => CloseCode::PEER_SILENT,
        }
    }
}

/// Why a connection ended, and by whose doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// This side closed, with this code.
    Local(CloseCode),
    /// The peer closed, with this code and perhaps some words.
    Peer(CloseCode, Option<Arc<CloseInfo>>),
    /// The byte layer failed: the other end has another one, or cannot be trusted.
    Layer(LayerError),
    /// The peer broke the protocol; it was told so.
    Protocol(ProtocolError),
    /// A time limit ran out.
    TimedOut(Limit),
    /// The byte stream broke.
    Transport(TransportError),
}

impl CloseReason {
    /// The close code that was received, or sent, or would have been; `None` if the stream just broke.
    pub const fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Local(code) | Self::Peer(code, _) => Some(*code),
            Self::Protocol(error) => Some(error.code()),
            Self::TimedOut(limit) => Some(limit.code()),
            Self::Layer(_) | Self::Transport(_) => None,
        }
    }

    /// The words that came with the peer's close, if any. They are the peer's: show them through [`Display`](fmt::Display)
    /// of this type, which leaves out what would harm a terminal.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Peer(_, Some(info)) => info.text.as_deref(),
            _ => None,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(code) => write!(f, "closed by this side: {code}"),
            Self::Peer(code, _) => {
                write!(f, "closed by the peer: {code}")?;
                match self.text() {
                    Some(text) => write!(f, " ({})", harmless(text)),
                    None => Ok(()),
                }
            }
            Self::Layer(error) => write!(f, "the byte layer failed: {error}"),
            Self::Protocol(error) => write!(f, "protocol error: {error}"),
            Self::TimedOut(Limit::Close) => {
                f.write_str("the peer took too long to take what was left to say")
            }
            Self::TimedOut(Limit::Handshake) => f.write_str("the handshake took too long"),
            Self::TimedOut(Limit::Progress) => f.write_str("a frame of the peer came too slowly"),
            Self::TimedOut(Limit::Silence) => f.write_str("the peer was silent for too long"),
            Self::TimedOut(Limit::WriteStall) => f.write_str("the peer took nothing for too long"),
            Self::Transport(error) => write!(f, "connection lost: {error}"),
        }
    }
}

impl core::error::Error for CloseReason {}

/// A peer's text as it may be shown: nothing in it moves a terminal's cursor or starts a line of its own.
pub(crate) fn harmless(text: &str) -> impl fmt::Display + '_ {
    struct Harmless<'a>(&'a str);

    impl fmt::Display for Harmless<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            let shown =
                |c: char| if c.is_control() || is_invisible(c) { char::REPLACEMENT_CHARACTER } else { c };
            self.0.chars().map(shown).try_for_each(|c| fmt::Write::write_char(f, c))
        }
    }

    Harmless(text)
}

/// Characters that show nothing and change the order or the lines of what is shown.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{180e}' | '\u{feff}')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_words_are_shown_without_control_characters() {
        let info = CloseInfo::with_text("bye\x1b[2J\nfake line");
        let reason = CloseReason::Peer(CloseCode::NORMAL, Some(Arc::new(info)));
        assert_eq!(
            alloc::string::ToString::to_string(&reason),
            "closed by the peer: NORMAL (bye\u{fffd}[2J\u{fffd}fake line)"
        );
    }

    #[test]
    fn errors_are_small() {
        assert!(size_of::<ProtocolError>() <= 16, "{}", size_of::<ProtocolError>());
        assert!(size_of::<CloseReason>() <= 24, "{}", size_of::<CloseReason>());
        assert!(size_of::<Refusal>() <= 16);
        assert!(size_of::<ConfigError>() <= 32);
    }
}
