//! What the end of a connection means for the next attempt.

use crate::error::{CloseReason, ProtocolError};
use crate::wire::CloseCode;

/// Whether dialling again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It does: the other end is gone for now, or asked for it.
    Retry,
    /// Not before somebody wants to say something: there was nothing to say.
    Rest,
    /// It may, but the same will probably happen again; such failures count for the [breaker](super::BreakerConfig).
    Doubtful,
    /// It does not, until something changes: other credentials, another version, another address.
    Terminal,
}

impl Verdict {
    /// The verdict on a reason.
    ///
    /// ```
    /// use proto_core::client::Verdict;
    /// use proto_core::{CloseCode, CloseReason};
    ///
    /// assert_eq!(Verdict::on(&CloseReason::Peer(CloseCode::GOING_AWAY, None)), Verdict::Retry);
    /// assert_eq!(Verdict::on(&CloseReason::Peer(CloseCode::BAD_CREDENTIALS, None)), Verdict::Terminal);
    /// ```
    pub const fn on(reason: &CloseReason) -> Self {
        match reason {
            CloseReason::Peer(CloseCode::IDLE, _) | CloseReason::Local(CloseCode::IDLE) => Self::Rest,
            CloseReason::Peer(code, _) => Self::on_code(*code),
            CloseReason::Protocol(ProtocolError::UnsupportedVersion) => Self::Terminal,
            CloseReason::Layer(_) | CloseReason::Protocol(_) => Self::Doubtful,
            CloseReason::Local(_) | CloseReason::TimedOut(_) | CloseReason::Transport(_) => Self::Retry,
        }
    }

    const fn on_code(code: CloseCode) -> Self {
        match code {
            CloseCode::BAD_CREDENTIALS
            | CloseCode::REFUSED
            | CloseCode::REPLACED
            | CloseCode::UNSUPPORTED_VERSION => Self::Terminal,
            CloseCode::BAD_PREFACE
            | CloseCode::BAD_HELLO
            | CloseCode::TOO_MANY_PINGS
            | CloseCode(0x0200..=0x02FF) => Self::Doubtful,
            _ => Self::Retry,
        }
    }
}
