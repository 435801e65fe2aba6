//! The peer's faults.

use core::fmt;

use crate::wire::{CloseCode, Kind, Sequence};

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
