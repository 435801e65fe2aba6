//! Where to listen and where to connect.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use std::io;

use super::error::{AddressAction, AddressError};
use super::runtime::Runtime;

/// An address as the user gives it: an IP address and port, or a host's name and port.
///
/// ```
/// use proto_core::endpoint::Address;
///
/// assert_eq!(Address::from("127.0.0.1:7000").to_string(), "127.0.0.1:7000");
/// assert_eq!(Address::from("example.org:7000"), Address::Name("example.org:7000".into()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Address {
    /// A host's name and a port, `host:port`, to be resolved.
    Name(String),
    /// An IP address and a port.
    Socket(SocketAddr),
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl From<&str> for Address {
    fn from(address: &str) -> Self {
        match address.parse() {
            Ok(socket) => Self::Socket(socket),
            Err(_) => Self::Name(address.to_string()),
        }
    }
}

impl From<String> for Address {
    fn from(address: String) -> Self {
        Self::from(address.as_str())
    }
}

impl From<&String> for Address {
    fn from(address: &String) -> Self {
        Self::from(address.as_str())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Socket(socket) => socket.fmt(f),
        }
    }
}

impl Address {
    /// Whether it can be resolved at all.
    pub(super) fn check(&self) -> Result<(), AddressError> {
        match self {
            Self::Name(name) if !is_host_and_port(name) => {
                Err(AddressError::new(AddressAction::Resolve, self, &malformed()))
            }
            Self::Name(_) | Self::Socket(_) => Ok(()),
        }
    }

    /// The socket addresses that this stands for; at least one.
    pub(super) async fn resolve<R: Runtime>(&self, runtime: &R) -> Result<Vec<SocketAddr>, AddressError> {
        let name = match self {
            Self::Socket(socket) => return Ok(vec![*socket]),
            Self::Name(name) => name,
        };
        let resolved = if is_host_and_port(name) { runtime.resolve(name).await } else { Err(malformed()) };
        match resolved {
            Ok(found) if found.is_empty() => {
                Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
            }
            resolved => resolved,
        }
        .map_err(|error| AddressError::new(AddressAction::Resolve, self, &error))
    }
}

fn is_host_and_port(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "an address is host:port, such as 127.0.0.1:7000")
}
