//! Virtual time and a virtual network: two connections in one process, without a clock or a socket.
//!
//! A [`Pair`] is a dialer and an acceptor that are joined by two [`Pipe`]s and share one virtual clock. It moves
//! bytes, fires timers, and when nothing is left to do at this instant it goes on to the next one at which something
//! happens. So a test says what the network is like and what the two applications do, hours pass in microseconds,
//! and the same seed gives the same run, byte for byte.
//!
//! A `World`, which comes with the feature `endpoint`, is the same for whole programs: a runtime in virtual time, on which servers and
//! clients run as they do elsewhere.
//!
//! It is for tests: of this crate, and of programs that are built on it. Nothing here may know more of a connection
//! than what its public methods say.
//!
//! # Example: an hour of silence
//!
//! ```
//! use core::time::Duration;
//! use proto_core::simulation::Pair;
//! use proto_core::wire::Extensions;
//! use proto_core::{Event, Message, Outcome, Role, StatusCode, Timeout};
//!
//! let mut pair = Pair::open(7);
//! pair.advance(Duration::from_secs(3600));
//!
//! let now = pair.now();
//! let call = pair.dialer().call(now, Message::new(1, "still there?"), Timeout::Default)?;
//! let mut answer = None;
//! pair.run_until(|pair| {
//!     while let Some((role, event)) = pair.poll_event() {
//!         let now = pair.now();
//!         match event {
//!             Event::Request { id, message, .. } => pair
//!                 .connection(role)
//!                 .reply(now, id, StatusCode::OK, Extensions::none(), message.body)
//!                 .expect("the first reply"),
//!             Event::Ended { call, outcome: Outcome::Reply { body, .. } } => answer = Some((call, body)),
//!             event => panic!("unexpected: {event:?}"),
//!         }
//!     }
//!     answer.is_some()
//! });
//! assert_eq!(answer, Some((call, "still there?".into())));
//! // There and back, with a millisecond of latency each way.
//! assert_eq!(pair.now().saturating_since(now), Duration::from_millis(2));
//! # Ok::<(), proto_core::Refused>(())
//! ```

mod pair;
mod pipe;
mod rate;
mod side;
mod veil;
#[cfg(feature = "endpoint")]
mod world;

pub use self::pair::{Pair, PairConfig, WriterKind};
pub use self::pipe::{Cut, CutKind, CutPlace, Pipe, PipeConfig, Read};
pub use self::veil::Veil;
#[cfg(feature = "endpoint")]
pub use self::world::{Timer, VirtualListener, VirtualStream, World};
