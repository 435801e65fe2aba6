//! Why connections end.

use alloc::sync::Arc;
use core::fmt;

use super::protocol::ProtocolError;
use crate::layer::LayerError;
use crate::wire::{CloseCode, CloseInfo};

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
