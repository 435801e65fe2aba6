//! A client's life across connections: when to dial again, where, and when to give up.
//!
//! [`Dialer`] is a machine without I/O, like [`Connection`](crate::Connection): it is told what happened and says what to do
//! and when. It knows nothing of sockets or bytes; whoever drives it dials, runs the handshake, and reports.
//!
//! | module | |
//! |---|---|
//! | `backoff` | how long to wait: full jitter at every attempt, at the cap too |
//! | `breaker` | failures that look as if they would last lead to a long pause |
//! | `verdict` | what a close means for the next attempt |
//! | `dialer` | the states, and the addresses in turn |

mod backoff;
mod breaker;
mod dialer;
mod redirect;
mod verdict;

pub use self::backoff::Delay;
pub use self::breaker::BreakerConfig;
pub use self::dialer::{Action, Attempt, DialState, Dialer, GiveUp, ReconnectConfig, Target};
pub use self::redirect::Redirects;
pub use self::verdict::Verdict;

#[cfg(test)]
mod tests;
