//! HELLO and WELCOME: what each side is ready to receive (LW-3.3 to LW-3.9).

use alloc::vec::Vec;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;

use super::fields::{Fields, put_field};
use super::{HANDSHAKE_FRAME_LIMIT, VERSION, charge};
use crate::error::HelloFault;

/// The most bytes of credentials that a HELLO carries.
pub const MAX_CREDENTIALS: usize = 3072;
/// The smallest `max_message` that may be announced, in bytes.
pub(crate) const MIN_MESSAGE: u32 = 1024;
/// The most slots that may be announced: a slot's number has 16 bits.
pub(crate) const MAX_SLOTS: u32 = 65_536;

mod tag {
    pub(super) const VERSIONS: u16 = 1;
    pub(super) const MAX_FRAME: u16 = 2;
    pub(super) const MAX_MESSAGE: u16 = 3;
    pub(super) const CALL_SLOTS: u16 = 4;
    pub(super) const REQUEST_WINDOW: u16 = 5;
    pub(super) const PUSH_WINDOW: u16 = 6;
    pub(super) const HEARTBEAT: u16 = 7;
    pub(super) const CAPABILITIES: u16 = 8;
    pub(super) const CODECS: u16 = 9;
    pub(super) const CREDENTIALS: u16 = 10;
    pub(super) const KNOWN: [u16; 10] = [
        VERSIONS,
        MAX_FRAME,
        MAX_MESSAGE,
        CALL_SLOTS,
        REQUEST_WINDOW,
        PUSH_WINDOW,
        HEARTBEAT,
        CAPABILITIES,
        CODECS,
        CREDENTIALS,
    ];
}

/// What a side announces in HELLO or WELCOME. Everything in it limits what the *other* side may send.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hello {
    /// Versions of the protocol that the sender speaks; in WELCOME the one that was chosen.
    pub versions: Versions,
    /// The largest `length` of a frame, in bytes.
    pub max_frame: u32,
    /// The largest length of a message, in bytes.
    pub max_message: u32,
    /// How many calls the other side may have in flight.
    pub call_slots: u32,
    /// How many charged bytes of requests the other side may have sent and not got back.
    pub request_window: u64,
    /// The same for pushes.
    pub push_window: u64,
    /// What the sender wishes to hear, and how often it is willing to speak; `None` takes no part in heartbeats.
    pub heartbeat: Option<Heartbeat>,
    /// What the sender handles beyond the minimum.
    pub capabilities: Capabilities,
    /// Codecs of bodies, most wanted first; empty if the sender does not say.
    pub codecs: Vec<Codec>,
    /// For the acceptor's application to judge; empty in WELCOME.
    pub credentials: Credentials,
}

impl Hello {
    /// Reads nothing but the versions: the one field whose meaning is the same for all versions.
    ///
    /// # Errors
    /// If they cannot be found.
    pub(crate) fn parse_versions(payload: &[u8]) -> Result<Versions, HelloFault> {
        let missing = HelloFault::Missing { tag: tag::VERSIONS };
        for field in Fields::new(payload, &[]) {
            let (tag, value) = field.map_err(|_| HelloFault::Fields)?;
            if tag == tag::VERSIONS {
                return Versions::parse(value).ok_or(HelloFault::Value { tag });
            }
        }
        Err(missing)
    }

    /// Reads the payload of HELLO or WELCOME.
    ///
    /// # Errors
    /// What is wrong with it: each is close code BAD_HELLO.
    pub fn parse(payload: &[u8]) -> Result<Self, HelloFault> {
        let mut versions = None;
        let mut max_frame = None;
        let mut max_message = None;
        let mut call_slots = None;
        let mut request_window = None;
        let mut push_window = None;
        let mut heartbeat = None;
        let mut capabilities = Capabilities::default();
        let mut codecs = Vec::new();
        let mut credentials = Credentials::default();
        for field in Fields::new(payload, &tag::KNOWN) {
            let (tag, value) = field.map_err(|_| HelloFault::Fields)?;
            let wrong = HelloFault::Value { tag };
            match tag {
                tag::VERSIONS => {
                    versions = Some(Versions::parse(value).filter(Versions::is_range).ok_or(wrong)?);
                }
                tag::MAX_FRAME => max_frame = Some(u32::from_be_bytes(*exactly(value).ok_or(wrong)?)),
                tag::MAX_MESSAGE => max_message = Some(u32::from_be_bytes(*exactly(value).ok_or(wrong)?)),
                tag::CALL_SLOTS => call_slots = Some(u32::from_be_bytes(*exactly(value).ok_or(wrong)?)),
                tag::REQUEST_WINDOW => {
                    request_window = Some(u64::from_be_bytes(*exactly(value).ok_or(wrong)?));
                }
                tag::PUSH_WINDOW => push_window = Some(u64::from_be_bytes(*exactly(value).ok_or(wrong)?)),
                tag::HEARTBEAT => {
                    let both = u64::from_be_bytes(*exactly(value).ok_or(wrong)?);
                    heartbeat =
                        Some(Heartbeat { wish_millis: (both >> 32) as u32, minimum_millis: both as u32 });
                }
                tag::CAPABILITIES => {
                    capabilities = Capabilities::from_bits(u64::from_be_bytes(*exactly(value).ok_or(wrong)?));
                }
                tag::CODECS => {
                    let pairs = value.chunks_exact(2);
                    if !pairs.remainder().is_empty() {
                        return Err(wrong);
                    }
                    codecs = pairs.map(|pair| Codec(u16::from_be_bytes([pair[0], pair[1]]))).collect();
                }
                tag::CREDENTIALS if value.len() > MAX_CREDENTIALS => return Err(wrong),
                tag::CREDENTIALS => credentials = Credentials(Bytes::copy_from_slice(value)),
                _ => {}
            }
        }
        Self {
            versions: versions.ok_or(HelloFault::Missing { tag: tag::VERSIONS })?,
            max_frame: max_frame.ok_or(HelloFault::Missing { tag: tag::MAX_FRAME })?,
            max_message: max_message.ok_or(HelloFault::Missing { tag: tag::MAX_MESSAGE })?,
            call_slots: call_slots.ok_or(HelloFault::Missing { tag: tag::CALL_SLOTS })?,
            request_window: request_window.ok_or(HelloFault::Missing { tag: tag::REQUEST_WINDOW })?,
            push_window: push_window.ok_or(HelloFault::Missing { tag: tag::PUSH_WINDOW })?,
            heartbeat,
            capabilities,
            codecs,
            credentials,
        }
        .checked()
    }

    /// The same hello if its numbers are in their ranges: what a peer sent, or what a configuration says.
    pub(crate) fn checked(self) -> Result<Self, HelloFault> {
        let wrong = |tag| Err(HelloFault::Value { tag });
        let largest = charge(self.max_message as usize);
        if self.max_frame < HANDSHAKE_FRAME_LIMIT {
            wrong(tag::MAX_FRAME)
        } else if self.max_message < MIN_MESSAGE {
            wrong(tag::MAX_MESSAGE)
        } else if self.call_slots > MAX_SLOTS {
            wrong(tag::CALL_SLOTS)
        } else if self.request_window < largest {
            wrong(tag::REQUEST_WINDOW)
        } else if self.push_window < largest {
            wrong(tag::PUSH_WINDOW)
        } else if self.heartbeat.is_some_and(|heartbeat| !heartbeat.is_in_range()) {
            wrong(tag::HEARTBEAT)
        } else if self.credentials.len() > MAX_CREDENTIALS {
            wrong(tag::CREDENTIALS)
        } else {
            Ok(self)
        }
    }

    /// Bytes that a boxed hello holds in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.codecs.capacity() * size_of::<Codec>() + self.credentials.len()
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        let Versions { first, last } = self.versions;
        put_field(out, tag::VERSIONS, &(u32::from(first) << 16 | u32::from(last)).to_be_bytes());
        put_field(out, tag::MAX_FRAME, &self.max_frame.to_be_bytes());
        put_field(out, tag::MAX_MESSAGE, &self.max_message.to_be_bytes());
        put_field(out, tag::CALL_SLOTS, &self.call_slots.to_be_bytes());
        put_field(out, tag::REQUEST_WINDOW, &self.request_window.to_be_bytes());
        put_field(out, tag::PUSH_WINDOW, &self.push_window.to_be_bytes());
        if let Some(Heartbeat { wish_millis, minimum_millis }) = self.heartbeat {
            let both = u64::from(wish_millis) << 32 | u64::from(minimum_millis);
            put_field(out, tag::HEARTBEAT, &both.to_be_bytes());
        }
        if self.capabilities != Capabilities::default() {
            put_field(out, tag::CAPABILITIES, &self.capabilities.bits().to_be_bytes());
        }
        if !self.codecs.is_empty() {
            let numbers: Vec<u8> = self.codecs.iter().flat_map(|codec| codec.0.to_be_bytes()).collect();
            put_field(out, tag::CODECS, &numbers);
        }
        if !self.credentials.is_empty() {
            put_field(out, tag::CREDENTIALS, &self.credentials);
        }
    }
}

/// What a dialer shows of itself. The bytes mean what the application wants them to mean; [`Debug`](fmt::Debug) does not
/// show them, so that they do not end up in logs.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials(Bytes);

impl Credentials {
    /// The bytes.
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl Deref for Credentials {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl<T: Into<Bytes>> From<T> for Credentials {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The lowest.
    pub first: u16,
    /// The highest.
    pub last: u16,
}

impl Versions {
    fn parse(value: &[u8]) -> Option<Self> {
        let [a, b, c, d] = *exactly(value)?;
        Some(Self { first: u16::from_be_bytes([a, b]), last: u16::from_be_bytes([c, d]) })
    }

    pub(crate) const fn is_range(&self) -> bool {
        self.first <= self.last
    }

    /// What this crate speaks.
    pub const SUPPORTED: Self = Self { first: VERSION, last: VERSION };

    /// The highest version in both ranges.
    pub fn common(self, other: Self) -> Option<u16> {
        let highest = self.last.min(other.last);
        (highest >= self.first.max(other.first)).then_some(highest)
    }
}

/// The heartbeat field (PROTOCOL.md §8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The sender wants to hear something at least this often, in milliseconds.
    pub wish_millis: u32,
    /// The sender is not willing to speak more often than this, in milliseconds.
    pub minimum_millis: u32,
}

impl Heartbeat {
    const RANGE: core::ops::RangeInclusive<u32> = 1_000..=3_600_000;

    fn is_in_range(self) -> bool {
        Self::RANGE.contains(&self.wish_millis) && Self::RANGE.contains(&self.minimum_millis)
    }
}

/// A set of capability bits (PROTOCOL.md §3.2): what a side handles when it receives it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Messages cut into fragments are put together.
    pub const FRAGMENTS: Self = Self(1);
    /// CANCEL is acted upon.
    pub const CANCEL: Self = Self(1 << 1);
    /// DRAIN is answered.
    pub const DRAIN: Self = Self(1 << 2);

    /// All that this crate can do.
    pub const SUPPORTED: Self = Self(0b111);

    /// The set with these bits; bits without a meaning are kept and mean nothing.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The number on the wire.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// This set without what is in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// A codec's number: how a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Codec(pub u16);

impl Codec {
    /// Plain bytes.
    pub const BYTES: Self = Self(0);
    /// JSON (RFC 8259).
    pub const JSON: Self = Self(1);
    /// MessagePack.
    pub const MESSAGE_PACK: Self = Self(2);
    /// Protocol Buffers.
    pub const PROTOCOL_BUFFERS: Self = Self(3);
}

fn exactly<const N: usize>(value: &[u8]) -> Option<&[u8; N]> {
    value.try_into().ok()
}
