//! Limits and times of a connection: plain data, shared by all connections and all adapters.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Deref;
use core::time::Duration;

use crate::error::{ConfigError, HelloFault};
use crate::framing::{Format, MAX_HEADER};
use crate::layer::Layers;
use crate::wire::{
    CHARGE_OVERHEAD, Capabilities, Codec, Credentials, Heartbeat, Hello, Versions, charge, millis_rounded_up,
};

/// What a connection takes, keeps and waits for.
///
/// Every amount that a peer can influence is bounded here; [`max_held_bytes`](Self::max_held_bytes) adds the bounds up.
/// The first block of fields is announced to the peer, which keeps to it. The defaults suit servers and clients on
/// a local or a wide-area network.
///
/// ```
/// use core::time::Duration;
/// use proto_core::Config;
///
/// let config = Config {
///     call_slots: 64,
///     handshake_timeout: Duration::from_secs(3),
///     ..Config::default()
/// };
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest frame that the peer may send, in bytes after its header: 4,096 to 2³² − 1. Default 64 KiB.
    ///
    /// Longer messages travel in fragments of this size, in both directions if the peer announces no less. What is urgent
    /// waits for what is committed and one frame: on a slow link where latency beside bulk matters, make this and
    /// [`commit_limit`](Self::commit_limit) smaller.
    pub max_frame: u32,
    /// The largest message that the peer may send, in bytes (extension block and body): 1,024 to 2³² − 1.
    /// Default 1 MiB.
    pub max_message: u32,
    /// How many calls the peer may have in flight: 0 (it may not call) to 65,536. Default 1,024.
    pub call_slots: u32,
    /// How many bytes of the peer's requests may be unanswered at a time, each charged 64 bytes beside its length. At
    /// least 64 + `max_message`. Default 4 MiB.
    pub request_window: u64,
    /// How many bytes of the peer's pushes may be unreleased at a time, charged likewise. At least
    /// 64 + `max_message`. Default 2 MiB.
    pub push_window: u64,
    /// How often to hear something of the peer, how often to speak at most, and when to give up a peer that is silent. It takes
    /// both sides; `None` takes no part, and then a peer that vanishes without a word is not noticed while nothing is sent
    /// to it. Default `Some`: a wish of 15 s, a minimum of 1 s, a timeout of 10 s.
    pub heartbeat: Option<HeartbeatConfig>,
    /// Another wire format in place of LW/1, for peers that speak it; see [`framing`](crate::framing). Default `None`: LW/1.
    pub framing: Option<Format>,
    /// What lies between the transport and the protocol; see [`layer`](crate::layer). Both sides need it. Default `None`:
    /// nothing.
    pub layer: Option<Layers>,
    /// What is announced beyond the least that every endpoint does. Default [`Capabilities::SUPPORTED`], which is all of it;
    /// with less, this side behaves like a smaller implementation: for tests of interoperation.
    pub capabilities: Capabilities,
    /// Codecs to announce, most wanted first; at most 64. Default none.
    pub codecs: Vec<Codec>,
    /// What a dialer says of itself, for the acceptor's application to judge; at most 3,072 bytes. Default none.
    pub credentials: Credentials,

    /// Bytes of own requests and pushes that may wait to be sent before further ones are refused; each counts 64 beside
    /// its own. One that is longer than that by itself may wait too, and leaves half of the room to others. Replies and control
    /// frames have room beside it. Default 2 MiB.
    pub outbox_limit: usize,
    /// Bytes of own replies that may wait to be sent. The result of a call beyond it is dropped, and the caller is told
    /// `REPLY_DISCARDED`. Default 16 MiB.
    pub reply_limit: usize,
    /// Bytes of the peer's replies that may wait for the application. A reply beyond it is dropped unread, and its
    /// call ends with [`Outcome::Discarded`](crate::Outcome::Discarded). Default 16 MiB.
    pub undelivered_limit: usize,
    /// How far output is put into its final order ahead of the transport, in bytes. What is committed cannot be
    /// overtaken: a control frame waits behind at most so much and one frame. Default 128 KiB.
    pub commit_limit: usize,
    /// How many bytes the system may keep that have arrived and not been read, 4 KiB or more; `None` leaves that to the system, which
    /// keeps up to several megabytes on a fast way. What lies there cannot be overtaken, so small calls beside transfers are
    /// answered sooner with less, such as 256 KiB; but then at most so much arrives in each round trip. Of effect where the
    /// transport has such an option, as TCP has, and within what the system allows (Linux: `net.core.rmem_max`). Default `None`.
    pub receive_buffer: Option<u32>,

    /// How long a call waits for its reply unless it says otherwise; `None` waits for ever. Default 10 s.
    pub call_timeout: Option<Duration>,
    /// From the opened stream to the end of the handshake, whatever arrives in between. Default 10 s.
    pub handshake_timeout: Duration,
    /// How long waiting output may make no progress before the connection is given up. Default 30 s.
    pub write_stall_timeout: Duration,
    /// From a close to the moment at which all that was accepted before it has been written, with CLOSE behind it. What has
    /// not left by then is lost. Default 30 s.
    pub close_timeout: Duration,
    /// How long a drain may take that a limit of this side begins ([`idle_timeout`](Self::idle_timeout),
    /// [`max_age`](Self::max_age)); then the connection is closed, whatever is in flight. A drain that the peer began is
    /// closed after this time, too, counted from when nothing is in flight any more. Default 30 s.
    pub drain_timeout: Duration,
    /// After how long without a message or a call in flight to drain the connection, with code `IDLE`. Heartbeats do not
    /// count. Default `None`: never.
    pub idle_timeout: Option<Duration>,
    /// How old the connection may become before it is drained, with code `MAX_AGE`: 10 % more or less, by chance, so that
    /// connections that were opened together do not end together. Default `None`: any age.
    pub max_age: Option<Duration>,
    /// How fast a frame that has begun to arrive must go on; `None` lets it take its time. Default
    /// [`ProgressConfig::default`].
    pub progress: Option<ProgressConfig>,
    /// How long to read and discard after the own CLOSE has left, before the stream is given up. Default 5 s.
    pub closing_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame: 64 << 10,
            max_message: 1 << 20,
            call_slots: 1024,
            request_window: 4 << 20,
            push_window: 2 << 20,
            heartbeat: Some(HeartbeatConfig::default()),
            framing: None,
            layer: None,
            capabilities: Capabilities::SUPPORTED,
            codecs: Vec::new(),
            credentials: Credentials::default(),
            outbox_limit: 2 << 20,
            reply_limit: 16 << 20,
            undelivered_limit: 16 << 20,
            commit_limit: 128 << 10,
            receive_buffer: None,
            call_timeout: Some(Duration::from_secs(10)),
            handshake_timeout: Duration::from_secs(10),
            write_stall_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
            idle_timeout: None,
            max_age: None,
            progress: Some(ProgressConfig::default()),
            closing_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Takes messages up to this length, in bytes, and leaves the rest as it is: windows grow with it where they must. To be
    /// set on the side that receives them.
    ///
    /// ```
    /// use proto_core::Config;
    ///
    /// assert_eq!(Config::default().with_max_message(64 << 20).validate(), Ok(()));
    /// ```
    #[must_use]
    pub fn with_max_message(mut self, length: u32) -> Self {
        let window = 2 * charge(length as usize);
        self.max_message = length;
        self.request_window = self.request_window.max(window);
        self.push_window = self.push_window.max(window);
        self
    }

    /// Checks every field against its range.
    ///
    /// # Errors
    /// The first field that is out of its range, and what it must be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let rule = |holds: bool, field, rule| if holds { Ok(()) } else { Err(ConfigError { field, rule }) };
        rule(self.codecs.len() <= 64, "codecs", "must be at most 64")?;
        rule(self.commit_limit > 0, "commit_limit", "must not be 0")?;
        rule(self.receive_buffer.is_none_or(|most| most >= 4096), "receive_buffer", "must be at least 4096")?;
        if let Some(format) = &self.framing {
            let fits = (1..=MAX_HEADER).contains(&format.framing().header_len());
            rule(fits, "framing", "must have a header of 1 to 16 bytes")?;
        }
        rule(!self.handshake_timeout.is_zero(), "handshake_timeout", "must not be 0")?;
        rule(!self.write_stall_timeout.is_zero(), "write_stall_timeout", "must not be 0")?;
        rule(!self.close_timeout.is_zero(), "close_timeout", "must not be 0")?;
        rule(!self.closing_timeout.is_zero(), "closing_timeout", "must not be 0")?;
        rule(self.idle_timeout != Some(Duration::ZERO), "idle_timeout", "must not be 0")?;
        rule(self.max_age != Some(Duration::ZERO), "max_age", "must not be 0")?;
        if let Some(ProgressConfig { rate: _, window, pause }) = self.progress {
            rule(!window.is_zero(), "progress.window", "must not be 0")?;
            rule(!pause.is_zero(), "progress.pause", "must not be 0")?;
        }
        if let Some(HeartbeatConfig { wish, minimum, timeout }) = self.heartbeat {
            let range = Duration::from_secs(1)..=Duration::from_secs(3600);
            rule(range.contains(&wish), "heartbeat.wish", "must be 1 s to 1 h")?;
            rule(range.contains(&minimum), "heartbeat.minimum", "must be 1 s to 1 h")?;
            rule(!timeout.is_zero(), "heartbeat.timeout", "must not be 0")?;
        }
        match self.hello().checked() {
            Ok(_) => Ok(()),
            Err(HelloFault::Value { tag: 2 }) => {
                Err(ConfigError { field: "max_frame", rule: "must be at least 4096" })
            }
            Err(HelloFault::Value { tag: 3 }) => {
                Err(ConfigError { field: "max_message", rule: "must be at least 1024" })
            }
            Err(HelloFault::Value { tag: 4 }) => {
                Err(ConfigError { field: "call_slots", rule: "must be at most 65536" })
            }
            Err(HelloFault::Value { tag: 5 }) => {
                Err(ConfigError { field: "request_window", rule: "must be at least max_message + 64" })
            }
            Err(HelloFault::Value { tag: 7 }) => {
                Err(ConfigError { field: "heartbeat", rule: "must be 1 s to 1 h" })
            }
            Err(HelloFault::Value { tag: 6 }) => {
                Err(ConfigError { field: "push_window", rule: "must be at least max_message + 64" })
            }
            Err(_) => Err(ConfigError { field: "credentials", rule: "must have at most 3072 bytes" }),
        }
    }

    /// Checks the configuration and makes it ready to be used by any number of connections.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub fn share(self) -> Result<SharedConfig, ConfigError> {
        self.validate()?;
        Ok(SharedConfig(Arc::new(self)))
    }

    /// What this configuration announces to a peer.
    pub(crate) fn hello(&self) -> Hello {
        Hello {
            versions: Versions::SUPPORTED,
            max_frame: self.max_frame,
            max_message: self.max_message,
            call_slots: self.call_slots,
            request_window: self.request_window,
            push_window: self.push_window,
            heartbeat: self.heartbeat.map(|HeartbeatConfig { wish, minimum, .. }| Heartbeat {
                wish_millis: millis_rounded_up(wish),
                minimum_millis: millis_rounded_up(minimum),
            }),
            capabilities: self.capabilities,
            codecs: self.codecs.clone(),
            credentials: self.credentials.clone(),
        }
    }

    /// The most bytes that one connection of this configuration holds, whatever its peer does and however slow the
    /// own application is, given that `calls` calls of its own are in flight at most, and that no reply of its own is
    /// longer than [`reply_limit`](Self::reply_limit).
    ///
    /// It is the sum of the windows and limits above, with room for what each waiting message needs beside its
    /// bytes. A connection is far below it unless its peer means harm.
    pub fn max_held_bytes(&self, calls: usize) -> usize {
        /// More than what any table or queue entry takes, doubled because tables grow by doubling.
        const ENTRY: u128 = 512;
        let messages = |bytes: u128| bytes + bytes / u128::from(CHARGE_OVERHEAD) * ENTRY;
        let (largest, calls) = (u128::from(self.max_message), calls as u128);
        let (requests, pushes) = (u128::from(self.request_window), u128::from(self.push_window));
        let limits = [self.outbox_limit, self.reply_limit, self.undelivered_limit, self.commit_limit];
        let [outbox, replies, undelivered, commit] = limits.map(|limit| limit as u128);
        // Twice what arrives: the metadata of a message that was put together from pieces is kept beside it.
        let requests = 2 * requests + u128::from(self.call_slots) * 2 * ENTRY;
        let pushes = pushes + messages(pushes);
        let replies = 2 * undelivered + replies + 3 * largest + calls * 2 * ENTRY;
        let waiting = messages(outbox) + largest;
        let committed = 2 * (commit + largest) + (64 << 10);
        let layer = self.layer.as_ref().map_or(0, Layers::max_held_bytes) as u128;
        // What is kept for the next messages, and all that is small.
        let rest = 128 << 10;
        let sum = requests + pushes + replies + waiting + committed + largest + layer + rest;
        usize::try_from(sum).unwrap_or(usize::MAX)
    }
}

/// How a side takes part in heartbeats (PROTOCOL.md §8).
///
/// Each side sends something at least every max(the other's wish, its own minimum). A peer of which nothing has been
/// heard for that long and `timeout` more is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatConfig {
    /// How often to hear something: 1 s to 1 h. Default 15 s.
    pub wish: Duration,
    /// How often to speak at most, whatever the peer wishes: 1 s to 1 h. Default 1 s.
    pub minimum: Duration,
    /// How much longer than agreed to wait for a sign of life: as long as a healthy link may stall. Not 0,
    /// and in effect 49 days at the most. Default 10 s.
    pub timeout: Duration,
}

impl Default for HeartbeatConfig {
    fn default() -> Self {
        Self {
            wish: Duration::from_secs(15),
            minimum: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
        }
    }
}

/// How fast a frame must arrive once it has begun to (PROTOCOL.md §8): what stands between a server and peers that hold a
/// connection open by a byte now and then.
///
/// It is judged while bytes arrive: a peer that stops altogether is a matter of heartbeats and of `pause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgressConfig {
    /// The least number of bytes per second, averaged over `window`. Default 1,024.
    pub rate: u32,
    /// How long to average over; two windows in a row must fail. A pause between two bytes counts as one window at the most,
    /// so that a peer which stopped and goes on is not taken for a slow one. Not 0. Default 5 s.
    pub window: Duration,
    /// How long nothing at all may come within a frame. Not 0. Default 30 s.
    pub pause: Duration,
}

impl Default for ProgressConfig {
    fn default() -> Self {
        Self { rate: 1024, window: Duration::from_secs(5), pause: Duration::from_secs(30) }
    }
}

/// A configuration that has been checked. Cloning it is cheap.
///
/// ```
/// use proto_core::{Config, SharedConfig};
///
/// let config: SharedConfig = Config { call_slots: 16, ..Config::default() }.share()?;
/// assert_eq!(config.call_slots, 16);
/// # Ok::<(), proto_core::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedConfig(Arc<Config>);

impl Deref for SharedConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.0
    }
}

impl Default for SharedConfig {
    /// The default configuration, which is valid.
    fn default() -> Self {
        Self(Arc::new(Config::default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(Config::default().validate(), Ok(()));
    }

    #[test]
    fn each_wrong_value_is_named() {
        type Change = fn(&mut Config);
        let wrong: [(&str, Change); 11] = [
            ("max_frame", |c| c.max_frame = 4095),
            ("max_age", |c| c.max_age = Some(Duration::ZERO)),
            ("max_message", |c| c.max_message = 1023),
            ("call_slots", |c| c.call_slots = 65_537),
            ("request_window", |c| c.request_window = 1 << 20),
            ("push_window", |c| c.push_window = 1 << 20),
            ("credentials", |c| c.credentials = vec![0; 3073].into()),
            ("codecs", |c| c.codecs = vec![Codec::JSON; 65]),
            ("commit_limit", |c| c.commit_limit = 0),
            ("receive_buffer", |c| c.receive_buffer = Some(4095)),
            ("handshake_timeout", |c| c.handshake_timeout = Duration::ZERO),
        ];
        for (field, change) in wrong {
            let mut config = Config::default();
            change(&mut config);
            assert_eq!(config.validate().unwrap_err().field, field);
        }
    }
}
