//! The extension block in front of a body (PROTOCOL.md §9).

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::fields::{Fields, put_field};
use super::header::Kind;
use super::hello::Codec;
use crate::error::ProtocolError;

const MAX_ROUTE: usize = 255;
const MAX_TOKEN: usize = 64;
const MAX_METADATA: usize = 60 << 10;
/// What a field takes beside its value.
const FIELD_OVERHEAD: usize = 4;
/// What DEADLINE takes: it is added when the frame takes its place in the byte stream.
const DEADLINE_LEN: usize = 8;
/// The length of a block with nothing but DEADLINE.
const DEADLINE_ONLY: u8 = DEADLINE_LEN as u8;
const DEADLINE: u8 = tag::DEADLINE as u8;
/// The length of a whole block with nothing but DEADLINE.
pub(crate) const DEADLINE_BLOCK_LEN: usize = 2 + DEADLINE_LEN;
/// Every block that keeps to the limits above fits its length field.
const _: () = assert!(MAX_ROUTE + MAX_METADATA + 2 * MAX_TOKEN + DEADLINE_LEN + 64 <= u16::MAX as usize);

mod tag {
    pub(super) const DEADLINE: u16 = 1;
    pub(super) const ROUTE: u16 = 2;
    pub(super) const METADATA: u16 = 3;
    pub(super) const IDEMPOTENCY_KEY: u16 = 4;
    pub(super) const TRACE: u16 = 5;
    pub(super) const CODEC: u16 = 6;
    pub(super) const KNOWN: [u16; 6] = [DEADLINE, ROUTE, METADATA, IDEMPOTENCY_KEY, TRACE, CODEC];
}

/// A message's payload, taken apart and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionBlock<'a> {
    /// Milliseconds that the caller will still wait; `None` means for ever.
    pub deadline_millis: Option<u32>,
    /// All the other fields.
    pub fields: ExtensionFields<'a>,
    /// Where the body starts in the payload.
    pub body_at: usize,
}

impl<'a> ExtensionBlock<'a> {
    /// Reads the block at the start of the payload of a message with flag EXT.
    ///
    /// # Errors
    /// [`ProtocolError::BadExtension`] if a rule of LW-9.1 is broken.
    pub fn parse(kind: Kind, payload: &'a [u8]) -> Result<Self, ProtocolError> {
        Self::try_parse(kind, payload).ok_or(ProtocolError::BadExtension)
    }

    /// A block that says nothing else.
    pub(crate) const fn of_deadline(millis: u32) -> [u8; DEADLINE_BLOCK_LEN] {
        let [a, b, c, d] = millis.to_be_bytes();
        [0, DEADLINE_ONLY, 0, DEADLINE, 0, 4, a, b, c, d]
    }

    /// The milliseconds of a block that says nothing else, as those of most requests do, and where the body starts.
    pub(crate) const fn deadline_only(kind: Kind, payload: &[u8]) -> Option<(u32, usize)> {
        match (kind, payload) {
            (Kind::Request, &[0, DEADLINE_ONLY, 0, DEADLINE, 0, 4, a, b, c, d, ..]) => {
                Some((u32::from_be_bytes([a, b, c, d]), 2 + DEADLINE_LEN))
            }
            _ => None,
        }
    }

    /// The number of the route of a message with this code: beside a name, it is not looked at (LW-4.8).
    pub(crate) const fn route_number(&self, code: u32) -> u32 {
        if self.fields.route.is_some() { 0 } else { code }
    }

    fn try_parse(kind: Kind, payload: &'a [u8]) -> Option<Self> {
        let (length, rest) = payload.split_first_chunk()?;
        let block = rest.get(..usize::from(u16::from_be_bytes(*length)))?;
        let mut deadline_millis = None;
        let mut fields = ExtensionFields::default();
        for field in Fields::new(block, &tag::KNOWN) {
            let (tag, value) = field.ok()?;
            match (tag, kind) {
                (tag::DEADLINE, Kind::Request) => {
                    deadline_millis = Some(u32::from_be_bytes(value.try_into().ok()?));
                }
                (tag::ROUTE, Kind::Request | Kind::Push) => {
                    fields.route = Some(core::str::from_utf8(value).ok()?);
                }
                (tag::METADATA, _) => fields.metadata = Some(value),
                (tag::IDEMPOTENCY_KEY, Kind::Request) => fields.idempotency_key = Some(value),
                (tag::TRACE, _) => fields.trace = Some(value),
                (tag::CODEC, _) => fields.codec = Some(Codec(u16::from_be_bytes(value.try_into().ok()?))),
                (tag::DEADLINE | tag::ROUTE | tag::IDEMPOTENCY_KEY, _) => return None,
                _ => {}
            }
        }
        fields.check().ok()?;
        Some(Self { deadline_millis, fields, body_at: 2 + block.len() })
    }
}

/// What a message says beside its route and its body. All of it is optional.
///
/// ```
/// use proto_core::wire::{ExtensionFields, Extensions};
///
/// let extensions = Extensions::new(&ExtensionFields { route: Some("chat"), ..Default::default() })?;
/// assert_eq!(extensions.fields().route, Some("chat"));
/// # Ok::<(), proto_core::wire::ExtensionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionFields<'a> {
    /// The route by name, 1 to 255 bytes; on requests and pushes. The route's number is 0 then.
    pub route: Option<&'a str>,
    /// Opaque to the protocol, at most 61,440 bytes.
    pub metadata: Option<&'a [u8]>,
    /// Says that running the call twice does no harm, 1 to 64 bytes; on requests.
    pub idempotency_key: Option<&'a [u8]>,
    /// Where this message belongs in a distributed trace, 1 to 64 bytes.
    pub trace: Option<&'a [u8]>,
    /// How to read the body.
    pub codec: Option<Codec>,
}

impl ExtensionFields<'_> {
    fn check(&self) -> Result<(), ExtensionError> {
        let fits = |length: Option<usize>, most| length.is_none_or(|length| (1..=most).contains(&length));
        if !fits(self.route.map(str::len), MAX_ROUTE) {
            Err(ExtensionError::Route)
        } else if !fits(self.idempotency_key.map(<[u8]>::len), MAX_TOKEN) {
            Err(ExtensionError::IdempotencyKey)
        } else if !fits(self.trace.map(<[u8]>::len), MAX_TOKEN) {
            Err(ExtensionError::Trace)
        } else if self.metadata.is_some_and(|metadata| metadata.len() > MAX_METADATA) {
            Err(ExtensionError::Metadata)
        } else {
            Ok(())
        }
    }
}

/// Extension fields in the form in which they travel. Nothing is allocated while there are none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extensions(Option<Box<[u8]>>);

impl Extensions {
    /// None at all.
    pub const fn none() -> Self {
        Self(None)
    }

    /// These fields.
    ///
    /// # Errors
    /// If a value is too long or empty.
    pub fn new(fields: &ExtensionFields<'_>) -> Result<Self, ExtensionError> {
        fields.check()?;
        Ok(Self::of_checked(fields))
    }

    /// These fields, whose values have been checked.
    fn of_checked(fields: &ExtensionFields<'_>) -> Self {
        let texts = [
            (tag::ROUTE, fields.route.map(str::as_bytes)),
            (tag::METADATA, fields.metadata),
            (tag::IDEMPOTENCY_KEY, fields.idempotency_key),
            (tag::TRACE, fields.trace),
        ];
        let values = texts.iter().filter_map(|(_, value)| *value);
        let codec = if fields.codec.is_some() { FIELD_OVERHEAD + 2 } else { 0 };
        let length = values.map(|value| FIELD_OVERHEAD + value.len()).sum::<usize>() + codec;
        let mut out = Vec::with_capacity(length);
        for (tag, value) in texts {
            if let Some(value) = value {
                put_field(&mut out, tag, value);
            }
        }
        if let Some(Codec(number)) = fields.codec {
            put_field(&mut out, tag::CODEC, &number.to_be_bytes());
        }
        debug_assert_eq!(out.len(), length);
        Self((!out.is_empty()).then(|| out.into_boxed_slice()))
    }

    /// The fields of a block that was read, which are always fit to be written.
    #[inline]
    pub(crate) fn of_block(block: &ExtensionBlock<'_>) -> Self {
        Self::of_checked(&block.fields)
    }

    /// The fields.
    pub fn fields(&self) -> ExtensionFields<'_> {
        let mut fields = ExtensionFields::default();
        if self.is_empty() {
            return fields;
        }
        // Every error below is impossible: the bytes were written by `new` from checked fields.
        for (tag, value) in Fields::new(self.encoded(), &tag::KNOWN).flatten() {
            match tag {
                tag::ROUTE => fields.route = core::str::from_utf8(value).ok(),
                tag::METADATA => fields.metadata = Some(value),
                tag::IDEMPOTENCY_KEY => fields.idempotency_key = Some(value),
                tag::TRACE => fields.trace = Some(value),
                tag::CODEC => {
                    fields.codec = value.try_into().ok().map(|pair| Codec(u16::from_be_bytes(pair)));
                }
                _ => {}
            }
        }
        fields
    }

    /// Whether a message of this kind may carry these fields (LW-9.1).
    pub(crate) fn suit(&self, kind: Kind) -> bool {
        if self.is_empty() || kind == Kind::Request {
            return true;
        }
        let ExtensionFields { route, idempotency_key, .. } = self.fields();
        match kind {
            Kind::Push => idempotency_key.is_none(),
            _ => route.is_none() && idempotency_key.is_none(),
        }
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Bytes that these fields hold in memory.
    pub(crate) fn held_bytes(&self) -> usize {
        self.encoded().len()
    }

    /// How many bytes the whole block takes in front of a body, its length field included; 0 if none is needed.
    pub(crate) fn block_len(&self, deadline: bool) -> usize {
        let fields = self.encoded().len() + if deadline { DEADLINE_LEN } else { 0 };
        if fields == 0 { 0 } else { 2 + fields }
    }

    /// Appends the whole block, or nothing if none is needed.
    pub(crate) fn emit_block(&self, deadline_millis: Option<u32>, out: &mut Vec<u8>) {
        let length = self.block_len(deadline_millis.is_some());
        if length == 0 {
            return;
        }
        let [high, low] = ((length - 2) as u16).to_be_bytes();
        match deadline_millis.map(u32::to_be_bytes) {
            // In one piece, since nearly every request begins so.
            Some([a, b, c, d]) => out.extend_from_slice(&[high, low, 0, DEADLINE, 0, 4, a, b, c, d]),
            None => out.extend_from_slice(&[high, low]),
        }
        out.extend_from_slice(self.encoded());
    }

    fn encoded(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl core::fmt::Debug for Extensions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.fields(), f)
    }
}

/// A value that an extension block cannot carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExtensionError {
    /// The idempotency key has no bytes, or more than 64.
    IdempotencyKey,
    /// The metadata has more than 61,440 bytes.
    Metadata,
    /// The route's name has no bytes, or more than 255.
    Route,
    /// The trace has no bytes, or more than 64.
    Trace,
}

impl core::fmt::Display for ExtensionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::IdempotencyKey => "an idempotency key has 1 to 64 bytes",
            Self::Metadata => "metadata has at most 61,440 bytes",
            Self::Route => "a route's name has 1 to 255 bytes",
            Self::Trace => "a trace has 1 to 64 bytes",
        })
    }
}

impl core::error::Error for ExtensionError {}
