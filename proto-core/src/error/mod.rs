//! Errors by fault: the peer's ([`ProtocolError`]), the transport's ([`TransportError`]), the caller's
//! ([`Refusal`], [`ConfigError`]).
//!
//! All are small, comparable and sticky: a connection that has ended goes on giving the same reason.

mod close;
mod protocol;
mod refusal;

#[cfg(feature = "peer")]
pub(crate) use self::close::harmless;
pub use self::close::{CloseReason, Limit, TransportError};
pub use self::protocol::{HelloFault, ProtocolError};
pub use self::refusal::{ConfigError, Delivery, Refusal, Refused};

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;

    use super::*;
    use crate::wire::{CloseCode, CloseInfo};

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
