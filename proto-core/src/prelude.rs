//! What an adapter re-exports, so that a program depends on the adapter alone, and is the same on every runtime.

pub use crate::bytes::{self, Bytes};
pub use crate::client::{BreakerConfig, Delay, GiveUp, ReconnectConfig, Redirects};
pub use crate::endpoint::{
    Address, AddressAction, AddressError, BindError, Broadcast, Client, ConnectError, ServerHandle,
};
pub use crate::error::{
    CloseReason, ConfigError, Delivery, Limit, ProtocolError, Refusal, Refused, TransportError,
};
pub use crate::event::{Message, Route};
pub use crate::peer::{
    Call, CallError, ClientState, Clock, Handler, Handlers, NoHandler, Peer, Push, Refuse, Reply, Request,
    Status, WhileDown, on_push, on_request,
};
pub use crate::wire::{
    CloseCode, CloseInfo, Credentials, ExtensionFields, Extensions, Hello, Lane, StatusCode,
};
pub use crate::{Config, Counters, HeartbeatConfig, Instant, ProgressConfig, RoundTrip};
