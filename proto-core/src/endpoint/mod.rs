//! Servers and clients, written once over what a runtime supplies.
//!
//! An adapter implements [`Runtime`] (its streams, listeners and timers) and [`Spawn`], and names [`Server`] and
//! [`Client`] for itself. Nothing here asks for `Send`: a runtime whose tasks may move between threads asks for it in
//! its own `Spawn`, so one whose tasks stay where they are need not.
//!
//! # Writing an adapter
//!
//! An adapter is about 250 lines: what only its runtime knows. It has these parts, and the suite of the package `conformance`
//! says whether they are right. Its test `own_runtime` is a whole adapter, for a runtime that fits on one page, and good to start from;
//! the adapters for tokio, smol and glommio are not much longer.
//!
//! | part | what it is | what goes wrong most often |
//! |---|---|---|
//! | [`Io`](crate::peer::Io) | a stream: read, write, shut down | see below |
//! | [`Sleep`](crate::peer::Sleep) | one timer that is set again and again; a server has one for all of its connections | an old waker stays in place when another task asks |
//! | [`Listener`] | takes connections | one is lost when the task that polls is dropped |
//! | [`Runtime`] | makes the parts above; the clock, the seed, names to addresses | clock and timers that disagree: both must be monotonic and begin at the same epoch |
//! | [`Spawn`] | runs a future to its end, detached | a panic that takes the whole executor with it; what `Runtime` makes must not be cancelled with the handle |
//! | [`endpoints!`](crate::endpoints) | names [`Server`], [`Client`] and the functions beside them for the runtime, which for this is [`Default`] | |
//!
//! What streams must do:
//!
//! - **`Pending` promises a wake.** Return it only after the system has said that there is nothing (`WouldBlock`, or an operation that is under
//!   way), and with the waker of *this* call registered. Reading and writing are polled by the same task in the same turn, so one
//!   waker for each direction is enough; and the two directions must not replace each other's.
//! - **A dropped future loses no byte.** What was read was lent to `sink` within that same call.
//! - **Owned buffers.** A runtime that owns buffers while it writes copies what it is lent (64 KiB at a time are enough), keeps them until
//!   the operation has ended, and says by [`taken`](crate::peer::Io::taken) what it has in hand. `poll_shutdown` is called only when all
//!   that was lent has been reported as written. A stream that is dropped need not finish anything.
//! - **Zero means the end.** `Ready(Ok(0))` of a read is the end of the stream, and of a write a broken one.
//! - **Idle streams hold nothing.** Read into one buffer for all streams of a thread (`adapter-kit` has one), and only when there is something to read.
//! - **Shutting down ends writing only.** The peer's last words are still read. That the peer was faster (`NotConnected`) is no error.
//! - **No more than asked for.** The driver reads little at a time when both ends are busy with many small messages: then both work at
//!   once. For busy polling, [`read_now`](crate::peer::Io::read_now) asks the system itself (`adapter_kit::read_now` does so), and
//!   [`wake_soon`](crate::peer::Sleep::wake_soon) lets everybody else have a turn before the next question. Both may be left out.
//! - **Woken for nothing.** [`may_have_come`](crate::peer::Io::may_have_come) says that a task that rested has been woken, for readiness-based
//!   runtimes whose word that there is something may come one wake-up late. Leave it out if yours is sure.
//! - **Options**, on both ends, opened and accepted: `adapter_kit::configure` sets `TCP_NODELAY` and what else a long connection wants; without
//!   it small messages wait 40 ms for each other. `limit_stalls` and `limit_receive_buffer` of a TCP stream are those of `adapter_kit`.
//!
//! Timers: `at` may be centuries ahead, further than what clocks of systems can add: clamp it. `adapter_kit::listen` makes listening sockets
//! that do not block, which a completion-based runtime may have to undo; `adapter_kit::seed` is the seed.
//!
//! Begin with `Runtime`, then `Spawn`, then call `conformance::run`: it first tries each part by itself, and names the method that is
//! wrong; then it plays scenarios with the adapter's servers and clients.

mod accept;
mod address;
mod alarms;
mod client;
mod client_task;
mod connection_task;
mod error;
mod names;
mod registry;
mod roll;
mod runtime;
mod server;
mod shared;

pub use self::address::Address;
pub use self::client::{Client, ClientBuilder};
pub use self::client_task::ClientTask;
pub use self::connection_task::ConnectionTask;
pub use self::error::{AddressAction, AddressError, BindError, ConnectError};
pub use self::registry::{Broadcast, ServerHandle};
pub use self::runtime::{Listener, Runtime, Spawn};
pub use self::server::{BACKLOG, Server, ServerBuilder};
pub use self::shared::SharedListener;

#[cfg(test)]
#[cfg(feature = "simulation")]
mod tests;
