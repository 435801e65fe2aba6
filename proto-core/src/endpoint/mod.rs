//! Servers and clients, written once over what a runtime supplies.
//!
//! An adapter implements [`Runtime`] (its streams, listeners and timers) and [`Spawn`], and names [`Server`] and
//! [`Client`] for itself. Nothing here asks for `Send`: a runtime whose tasks may move between threads asks for it in
//! its own `Spawn`, so one whose tasks stay where they are need not.

mod accept;
mod address;
mod client;
mod client_task;
mod error;
mod registry;
mod runtime;
mod server;
mod shared;

pub use self::address::Address;
pub use self::client::{Client, ClientBuilder};
pub use self::client_task::ClientTask;
pub use self::error::{AddressAction, AddressError, BindError, ConnectError};
pub use self::registry::{Broadcast, ServerHandle};
pub use self::runtime::{Listener, Runtime, Spawn};
pub use self::server::{BACKLOG, ConnectionTask, Server, ServerBuilder};
pub use self::shared::SharedListener;

#[cfg(test)]
mod tests;
