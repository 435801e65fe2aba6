//! Frames made by hand, so that they can break every rule.

use alloc::vec::Vec;

use crate::config::Config;
use crate::wire::{
    CloseCode, Credit, Flags, HEADER_LEN, Header, HeaderView, Hello, Kind, Parsed, Sequence, StatusCode,
};

/// The id of a call: the `generation`-th use of `slot`.
pub(super) fn id(generation: u32, slot: u16) -> Sequence {
    Sequence::call(generation, slot)
}

/// A frame as its header and its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

impl Frame {
    pub(super) fn new(kind: Kind, sequence: Sequence, code: u32, payload: &[u8]) -> Self {
        let flags = if kind == Kind::Reply { Flags::ORIGIN } else { Flags::empty() };
        let header = Header { length: payload.len() as u32, kind, flags, sequence, code };
        Self { header, payload: payload.into() }
    }

    pub(super) fn control(kind: Kind, code: u32, payload: &[u8]) -> Self {
        Self::new(kind, Sequence::CONNECTION, code, payload)
    }

    pub(super) fn hello(kind: Kind, hello: &Hello) -> Self {
        let mut payload = Vec::new();
        hello.emit(&mut payload);
        Self::control(kind, 0, &payload)
    }

    pub(super) fn request(id: Sequence, body: &[u8]) -> Self {
        Self::new(Kind::Request, id, 7, body)
    }

    pub(super) fn reply(id: Sequence, body: &[u8]) -> Self {
        Self::new(Kind::Reply, id, 0, body)
    }

    pub(super) fn push(body: &[u8]) -> Self {
        Self::control(Kind::Push, 9, body)
    }

    pub(super) fn cancel(id: Sequence) -> Self {
        Self::new(Kind::Cancel, id, 0, &[])
    }

    /// The end of a REPLY that is given up.
    pub(super) fn cancel_reply(id: Sequence) -> Self {
        Self::cancel(id).with(Flags::ORIGIN)
    }

    /// A reply without a body.
    pub(super) fn status(id: Sequence, status: StatusCode) -> Self {
        Self::new(Kind::Reply, id, status.0, &[])
    }

    /// DRAIN, that says nothing of the last REQUEST.
    pub(super) fn drain(code: CloseCode) -> Self {
        Self::control(Kind::Drain, code.0, &[])
    }

    /// DRAIN with END.
    pub(super) fn end(code: CloseCode) -> Self {
        Self::drain(code).with(Flags::END)
    }

    pub(super) fn ping(number: u64) -> Self {
        Self::control(Kind::Ping, 0, &number.to_be_bytes())
    }

    pub(super) fn credit(requests: u64, pushes: u64) -> Self {
        Self::control(Kind::Credit, 0, &Credit { requests, pushes }.to_bytes())
    }

    pub(super) fn close(code: CloseCode) -> Self {
        Self::control(Kind::Close, code.0, &[])
    }

    /// A frame that follows the rules of its kind, whatever the state says to it.
    pub(super) fn example(kind: Kind) -> Self {
        match kind {
            Kind::Hello | Kind::Welcome => Self::hello(kind, &Config::default().hello()),
            Kind::Request | Kind::Reply | Kind::Cancel => Self::new(kind, id(1, 0), 0, &[]),
            Kind::Push | Kind::Drain | Kind::Close => Self::control(kind, 0, &[]),
            Kind::Ping => Self::ping(1),
            Kind::Pong => Self::control(kind, 0, &[0; 12]),
            Kind::Credit => Self::credit(u64::MAX, u64::MAX),
        }
    }

    pub(super) fn with(mut self, flags: Flags) -> Self {
        self.header.flags = self.header.flags.with(flags);
        self
    }

    /// The same frame with this extension block in front of its payload.
    pub(super) fn extended(mut self, fields: &[u8]) -> Self {
        let mut payload = Vec::from((fields.len() as u16).to_be_bytes());
        payload.extend_from_slice(fields);
        payload.append(&mut self.payload);
        self.header.length = payload.len() as u32;
        self.header.flags = self.header.flags.with(Flags::EXT);
        Self { payload, ..self }
    }

    pub(super) fn deadline(self, millis: u32) -> Self {
        let [a, b, c, d] = millis.to_be_bytes();
        self.extended(&[0, 1, 0, 4, a, b, c, d])
    }

    /// The same frame for another id.
    pub(super) fn of(mut self, sequence: Sequence) -> Self {
        self.header.sequence = sequence;
        self
    }

    /// The first fragment of a message of this length, of which this frame's payload is the start.
    pub(super) fn first_of(mut self, total: u32) -> Self {
        self.payload.splice(..0, total.to_be_bytes());
        self.header.length = self.payload.len() as u32;
        self.with(Flags::MORE)
    }

    /// This message cut into fragments behind so many bytes of it each, over and over; at least two. A first fragment
    /// takes the whole extension block too.
    pub(super) fn cut(&self, lengths: &[usize]) -> Vec<Self> {
        let block = match self.payload[..] {
            [high, low, ..] if self.header.flags.contains(Flags::EXT) => {
                2 + usize::from(u16::from_be_bytes([high, low]))
            }
            _ => 0,
        };
        let last = self.payload.len() - 1;
        let mut lengths = lengths.iter().cycle();
        let (start, mut rest) = self.payload.split_at((block + lengths.next().unwrap()).min(last));
        let part = |payload: &[u8], flags: Flags| {
            let header = Header { length: payload.len() as u32, flags, ..self.header };
            Self { header, payload: payload.into() }
        };
        let mut parts = Vec::from([part(start, self.header.flags).first_of(self.header.length)]);
        let flags = self.header.flags.without(Flags::EXT);
        while !rest.is_empty() {
            let (payload, left) = rest.split_at((1 + lengths.next().unwrap()).min(rest.len()));
            rest = left;
            parts.push(part(payload, if left.is_empty() { flags } else { flags.with(Flags::MORE) }));
        }
        parts
    }

    /// Only the header, which announces `length` bytes.
    pub(super) fn announcing(mut self, length: u32) -> Self {
        self.header.length = length;
        self.payload.clear();
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        [&self.header.to_bytes(), &self.payload[..]].concat()
    }

    pub(super) const fn kind(&self) -> Kind {
        self.header.kind
    }
}

/// Frames one behind another, as they travel.
pub(super) fn stream(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(Frame::bytes).collect()
}

/// What a connection has sent, taken apart. It may be cut off within the last frame.
pub(super) fn parse(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while let Some(view) = HeaderView::new_checked(bytes) {
        let Ok(Parsed::Frame(header)) = Header::parse(view, u32::MAX) else { panic!("sent {view:?}") };
        let (payload, rest) = bytes[HEADER_LEN..].split_at(header.length as usize);
        frames.push(Frame { header, payload: payload.into() });
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame was sent");
    frames
}
