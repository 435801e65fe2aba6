//! Frames as bytes, made and read without a connection: what a peer sends that keeps to no rules.

use proptest::prelude::*;
use proto_core::Config;
use proto_core::wire::{
    CREDIT_LEN, Flags, HEADER_LEN, Header, HeaderView, Kind, PING_LEN, PONG_LEN, PREFACE, Sequence,
};
use proto_core::{Connection, Instant, Role};

/// Bytes as they stand behind one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream(pub Vec<u8>);

impl Stream {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// What an endpoint of this configuration starts with: preface, then HELLO (dialer) or WELCOME (acceptor).
    #[must_use]
    pub fn opening(role: Role, config: &Config) -> Self {
        let config = config.clone().share().unwrap_or_default();
        let dialer = Connection::new(&config, Role::Dialer, Instant::EPOCH, 1);
        let mut bytes: Vec<u8> = dialer.transmit().flatten().copied().collect();
        if role == Role::Acceptor {
            // WELCOME differs from HELLO in its kind.
            bytes[PREFACE.len() + 4] = Kind::Welcome as u8;
        }
        Self(bytes)
    }

    /// One frame more, whatever its header says.
    #[must_use]
    pub fn frame(mut self, kind: Kind, flags: Flags, sequence: Sequence, code: u32, payload: &[u8]) -> Self {
        let header = Header { length: payload.len() as u32, kind, flags, sequence, code };
        self.0.extend(header.to_bytes());
        self.0.extend(payload);
        self
    }

    /// One frame more about the connection itself.
    #[must_use]
    pub fn control(self, kind: Kind, code: u32, payload: &[u8]) -> Self {
        self.frame(kind, Flags::empty(), Sequence::CONNECTION, code, payload)
    }

    /// A REQUEST more.
    #[must_use]
    pub fn request(self, generation: u32, slot: u16, body: &[u8]) -> Self {
        self.frame(Kind::Request, Flags::empty(), Sequence::call(generation, slot), 1, body)
    }

    /// A PUSH more.
    #[must_use]
    pub fn push(self, body: &[u8]) -> Self {
        self.control(Kind::Push, 1, body)
    }

    /// A drafted frame more.
    #[must_use]
    pub fn draft(mut self, draft: &Draft) -> Self {
        let block = if draft.flaw == Flaw::Content && draft.kind.is_message() {
            Some(vec![0xFF; 2])
        } else {
            draft.block.clone()
        };
        let extended = block.is_some();
        let mut payload = match draft.kind {
            Kind::Ping => vec![draft.body as u8; PING_LEN],
            Kind::Pong => vec![0; PONG_LEN],
            Kind::Credit if draft.flaw == Flaw::Content => vec![0; CREDIT_LEN],
            // More than any window that a test announces.
            Kind::Credit => [(1u64 << 40).to_be_bytes(), (1u64 << 40).to_be_bytes()].concat(),
            Kind::Close | Kind::Cancel | Kind::Drain => Vec::new(),
            _ => [block.unwrap_or_default(), vec![draft.code as u8; draft.body]].concat(),
        };
        let ext = if extended { Flags::EXT } else { Flags::empty() };
        let flags = if draft.kind == Kind::Reply { ext.with(Flags::ORIGIN) } else { ext };
        if let Flaw::Payload(at, byte) = draft.flaw
            && let Some(place) = payload.get_mut(at)
        {
            *place = byte;
        }
        let start = self.0.len();
        self = self.frame(draft.kind, flags, draft.sequence, draft.code, &payload);
        let header = &mut self.0[start..];
        match draft.flaw {
            Flaw::None | Flaw::Content | Flaw::Payload(..) => {}
            Flaw::Length(length) => header[0..4].copy_from_slice(&length.to_be_bytes()),
            Flaw::Kind(kind) => header[4] = kind,
            Flaw::Flags(flags) => header[5] = flags,
            Flaw::Sequence(sequence) => header[6..12].copy_from_slice(&sequence.to_be_bytes()[2..]),
            Flaw::Code(code) => header[12..16].copy_from_slice(&code.to_be_bytes()),
        }
        self
    }

    /// A REPLY with status OK more.
    #[must_use]
    pub fn reply(self, to: Sequence, body: &[u8]) -> Self {
        self.frame(Kind::Reply, Flags::ORIGIN, to, 0, body)
    }
}

/// A frame as a peer may draw it up: one that keeps to most rules, and breaks one now and then.
#[derive(Clone, Debug)]
pub struct Draft {
    kind: Kind,
    sequence: Sequence,
    code: u32,
    block: Option<Vec<u8>>,
    body: usize,
    flaw: Flaw,
}

/// What is wrong with a [`Draft`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    /// The extension block of a message is cut off; a CREDIT takes back what was granted.
    Content,
    Code(u32),
    Flags(u8),
    Kind(u8),
    Length(u32),
    Payload(usize, u8),
    Sequence(u64),
}

impl Draft {
    /// A frame of any kind with no flaw, about calls in the first few slots.
    pub fn sound() -> impl Strategy<Value = Self> {
        let kinds = prop_oneof![
            6 => Just(Kind::Request),
            6 => Just(Kind::Reply),
            6 => Just(Kind::Push),
            4 => Just(Kind::Ping),
            1 => Just(Kind::Pong),
            2 => Just(Kind::Credit),
            1 => Just(Kind::Close),
        ];
        Self::of(kinds)
    }

    /// A frame of one of these kinds, likewise.
    pub fn of(kinds: impl Strategy<Value = Kind>) -> impl Strategy<Value = Self> {
        let body = prop_oneof![4 => 0..40usize, 2 => 40..900usize, 1 => 900..1025usize];
        (kinds, 1..3u32, 0..6u16, blocks(), body, 0..4u32).prop_map(
            |(kind, generation, slot, block, body, code)| {
                let call = matches!(kind, Kind::Request | Kind::Reply);
                let sequence = if call { Sequence::call(generation, slot) } else { Sequence::CONNECTION };
                Self {
                    kind,
                    sequence,
                    code: if call || matches!(kind, Kind::Push | Kind::Close) { code } else { 0 },
                    block: block.filter(|_| kind.is_message()),
                    body,
                    flaw: Flaw::None,
                }
            },
        )
    }

    /// The same frame about the first call in this slot, if it is about a call.
    #[must_use]
    pub fn in_slot(self, slot: u16) -> Self {
        match self.kind {
            Kind::Request | Kind::Reply => Self { sequence: Sequence::call(1, slot), ..self },
            _ => self,
        }
    }

    /// A frame that has a flaw, in one case of four.
    pub fn any() -> impl Strategy<Value = Self> {
        let flaw = prop_oneof![
            18 => Just(Flaw::None),
            2 => Just(Flaw::Content),
            1 => any::<u32>().prop_map(Flaw::Code),
            1 => any::<u8>().prop_map(Flaw::Flags),
            1 => any::<u8>().prop_map(Flaw::Kind),
            1 => prop_oneof![any::<u32>(), 0..5000u32].prop_map(Flaw::Length),
            1 => (0..60usize, any::<u8>()).prop_map(|(at, byte)| Flaw::Payload(at, byte)),
            1 => prop_oneof![any::<u64>(), 0..200_000u64].prop_map(Flaw::Sequence),
        ];
        let kind = prop_oneof![6 => Just(None), 1 => prop::sample::select(&Kind::ALL[..]).prop_map(Some)];
        (Self::sound(), kind, flaw).prop_map(|(draft, kind, flaw)| Self {
            kind: kind.unwrap_or(draft.kind),
            flaw,
            ..draft
        })
    }
}

/// An extension block, length field included: none, sound ones, and one that is cut off.
fn blocks() -> impl Strategy<Value = Option<Vec<u8>>> {
    let field = |tag: u16, value: &[u8]| {
        let length = value.len() as u16;
        [&tag.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
    };
    let block = |fields: Vec<u8>| [&(fields.len() as u16).to_be_bytes()[..], &fields].concat();
    prop_oneof![
        6 => Just(None),
        1 => Just(Some(block(Vec::new()))),
        1 => (0..600usize).prop_map(move |size| Some(block(field(3, &vec![7; size])))),
        1 => (0..600usize).prop_map(move |size| Some(block(field(99, &vec![7; size])))),
    ]
}

/// A frame as it stands in a byte stream, with nothing judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawFrame {
    /// The kind's number.
    pub kind: u8,
    /// Route, status or close code, by kind.
    pub code: u32,
    /// The sequence.
    pub sequence: Sequence,
    /// Header and payload.
    pub bytes: Vec<u8>,
}

impl RawFrame {
    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.bytes[HEADER_LEN..]
    }
}

/// Takes a byte stream apart, from its preface on; `None` if it does not start with one or ends within a frame.
pub fn parse(stream: &[u8]) -> Option<Vec<RawFrame>> {
    if stream.is_empty() {
        return Some(Vec::new());
    }
    let mut rest = stream.strip_prefix(&PREFACE)?;
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let view = HeaderView::new_checked(rest)?;
        let (bytes, behind) = rest.split_at_checked(HEADER_LEN + view.length() as usize)?;
        frames.push(RawFrame {
            kind: view.kind(),
            code: view.code(),
            sequence: view.sequence(),
            bytes: bytes.to_vec(),
        });
        rest = behind;
    }
    Some(frames)
}
