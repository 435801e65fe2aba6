//! A connection shared between the tasks that use it and the one that drives it.
//!
//! [`Peer`] is the handle: a cheap clone, the same on both ends, from which calls and pushes go out. [`Handler`]
//! answers what comes in. [`Driver`] is the future that moves bytes between a transport ([`Io`]), the
//! [`Connection`](crate::Connection) and both of them. All of it needs no runtime: an adapter supplies the transport,
//! a [`Sleep`] and a [`Clock`], and something that polls the driver.
//!
//! One mutex guards one connection. It is held briefly, never while waiting, also while the transport is told something or
//! writes; nobody's waker is woken and nobody's value is dropped under it. The exception is a body: one made by [`Bytes::from_owner`](bytes::Bytes::from_owner) must not
//! use its connection when it is dropped.

// | module | what it does |
// |---|---|
// | `handle`, `call`, `messages`, `error` | what applications hold: the handle, a call's future, what is said and what went wrong |
// | `handler`, `work` | what answers, and the answers that are not ready |
// | `io`, `clock` | what an adapter supplies |
// | `shared` | what is behind the lock: the connection, and all that waits for it |
// | `entry`, `callers`, `seats` | how a call gets in, who waits for which, and their line |
// | `post` | what has come, delivered to callers and to the driver's inbox |
// | `driver`, `link` | turns, rest and the end; the driver's hold on its transport, and what that said last |
// | `appetite` | how much to read at a time |
// | `desk`, `spare` | memory that a driver needs at work alone, and that connections at rest lend |
// | `session`, `aside`, `attributes`, `watch` | what few connections have: a client's life, values kept with them, tasks that wait for a change |

mod appetite;
mod aside;
mod attributes;
mod call;
mod callers;
mod clock;
mod desk;
mod driver;
mod entry;
mod error;
mod handle;
mod handler;
mod io;
mod link;
mod messages;
mod post;
mod seats;
mod session;
mod shared;
mod spare;
mod watch;
mod work;

pub use self::call::Call;
pub use self::clock::Clock;
pub use self::driver::{Driver, Identity};
pub use self::error::{CallError, Status};
pub use self::handle::Peer;
#[cfg(feature = "endpoint")]
pub(crate) use self::handle::message;
pub use self::handler::{
    Handler, Handlers, NoHandler, OnClose, OnOpen, OnOpened, OnPush, OnRequest, on_push, on_request,
};
pub use self::io::{Io, Sleep};
pub use self::messages::{Push, Refuse, Reply, Request};
pub use self::session::{ClientState, WhileDown};

#[cfg(test)]
mod tests;
