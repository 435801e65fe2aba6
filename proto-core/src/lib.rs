//! The Longwire protocol with no I/O in it.
//!
//! Longwire is for long-lived connections: one byte stream that both sides keep open and use for framed messages,
//! calls in both directions with replies in any order, and pushes. This crate is all of the protocol and none of
//! the input and output: it knows no socket, clock, thread or source of entropy, and without its optional features
//! it builds for a bare target (`no_std` with `alloc`).
//!
//! Most people want an adapter, which drives this crate on a runtime and re-exports it: `adapter-tokio`, `adapter-smol` or
//! `adapter-glommio`. Use this crate by itself to put the protocol into an event loop of your own: [`embedding`] is a guide
//! to that, step by step, and [`Connection`] is what it is about.
//!
//! # Features
//!
//! All of them only add.
//!
//! | feature | adds |
//! |---|---|
//! | `std` | conversions from the standard library's errors |
//! | `peer` | [`Peer`](peer::Peer), `Call`, `Driver` and the `Io` trait: a connection shared between tasks |
//! | `endpoint` | `Server` and `Client`, written once over a `Runtime` trait |
//! | `simulation` | virtual time and a virtual pipe, for tests |
//!
//! # What is where
//!
//! | module | |
//! |---|---|
//! | [`connection`] | one byte stream's life: calls, pushes, credit, heartbeats, drain, close |
//! | [`client`] | when and where to dial again |
//! | [`config`], [`error`], [`event`] | limits and times; what goes wrong; what goes in and comes out |
//! | [`wire`] | LW/1: bytes to frames and back |
//! | [`framing`], [`layer`] | other wire formats, and what lies below them |
//! | [`embedding`] | a guide to event loops of your own |

#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_alloc, clippy::std_instead_of_core)]
#![warn(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg_attr(test, macro_use)]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

pub mod client;
pub mod config;
pub mod connection;
pub mod embedding;
#[cfg(feature = "endpoint")]
pub mod endpoint;
pub mod error;
pub mod event;
pub mod framing;
pub mod layer;
#[cfg(feature = "peer")]
pub mod peer;
#[cfg(feature = "endpoint")]
pub mod prelude;
pub mod rng;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod time;
pub mod wire;

pub use bytes;
pub use bytes::Bytes;

pub use config::{Config, HeartbeatConfig, ProgressConfig, SharedConfig};
pub use connection::{Connection, Counters, Deadline, Role, RoundTrip, Timer};
pub use error::{
    CloseReason, ConfigError, Delivery, HelloFault, Limit, ProtocolError, Refusal, Refused, TransportError,
};
pub use event::{CallId, Event, Message, Outcome, PushToken, RequestId, Route, Timeout};
pub use time::Instant;
pub use wire::{CloseCode, CloseInfo, Lane, StatusCode};
