//! Why a server or a client did not come to be.

use alloc::boxed::Box;
use alloc::string::ToString;
use core::fmt;
use std::io;

use super::address::Address;
use crate::error::{CloseReason, ConfigError};

/// Something that could not be done with an address, and why. It names both.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressError {
    /// What was tried.
    pub action: AddressAction,
    /// The address as it was given.
    pub address: Address,
    /// The cause, for programs.
    pub kind: io::ErrorKind,
    /// The cause, for people.
    pub cause: Box<str>,
}

/// What was tried with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AddressAction {
    /// To connect to it.
    Connect,
    /// To listen on it.
    Listen,
    /// To find out what it means.
    Resolve,
}

impl AddressError {
    pub(super) fn new(action: AddressAction, address: &Address, error: &io::Error) -> Self {
        Self { action, address: address.clone(), kind: error.kind(), cause: error.to_string().into() }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, cause, .. } = self;
        match self.action {
            AddressAction::Connect => write!(f, "cannot connect to {address}: {cause}"),
            AddressAction::Listen => write!(f, "cannot listen on {address}: {cause}"),
            AddressAction::Resolve => write!(f, "cannot resolve {address}: {cause}"),
        }
    }
}

impl core::error::Error for AddressError {}

/// Why a client did not come to be.
///
/// An address that does not answer may do so later: [`start`](super::ClientBuilder::start) waits for it. A handshake that
/// failed says why: other credentials, another version, or a server that speaks something else.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connection to the address. If it stands for several, this is what the last one said.
    Address(AddressError),
    /// The configuration makes no sense.
    Config(ConfigError),
    /// A connection was made, but the handshake failed, or the server refused.
    Handshake {
        /// The address as it was given.
        address: Address,
        /// What the server said, or what went wrong.
        reason: CloseReason,
    },
    /// There is no address to connect to.
    NoAddress,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
            Self::Handshake { address, reason } => write!(f, "no handshake with {address}: {reason}"),
            Self::NoAddress => f.write_str("there is no address to connect to"),
        }
    }
}

impl core::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Address(_) | Self::Config(_) | Self::NoAddress => None,
            Self::Handshake { reason, .. } => Some(reason),
        }
    }
}

/// Why a server did not come to be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The address cannot be used.
    Address(AddressError),
    /// The configuration makes no sense.
    Config(ConfigError),
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(error) => error.fmt(f),
            Self::Config(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BindError {}

macro_rules! from {
    ($($error:ident: $variant:ident($cause:ty)),*) => {
        $(impl From<$cause> for $error {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })*
    };
}

from!(
    ConnectError: Address(AddressError),
    ConnectError: Config(ConfigError),
    BindError: Address(AddressError),
    BindError: Config(ConfigError)
);
