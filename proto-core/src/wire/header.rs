//! The 16 bytes in front of every frame, and the table of what each kind allows (LW-2.3 to LW-2.9).

use super::sequence::Sequence;
use super::{CREDIT_LEN, PING_LEN, PONG_LEN};
use crate::error::ProtocolError;

/// The length of a header in bytes.
pub const HEADER_LEN: usize = 16;

/// The view: a header's fields as they stand on the wire, nothing judged.
#[derive(Clone, Copy, Debug)]
pub struct HeaderView<'a>(&'a [u8; HEADER_LEN]);

impl<'a> HeaderView<'a> {
    /// A view of the first 16 bytes, or `None` if there are fewer.
    pub fn new_checked(bytes: &'a [u8]) -> Option<Self> {
        bytes.first_chunk().map(Self)
    }

    /// Bytes after the header.
    pub const fn length(self) -> u32 {
        u32::from_be_bytes([self.0[0], self.0[1], self.0[2], self.0[3]])
    }

    /// The kind's number.
    pub const fn kind(self) -> u8 {
        self.0[4]
    }

    /// The flags, the lane among them.
    pub const fn flags(self) -> Flags {
        Flags(self.0[5])
    }

    /// The sequence.
    pub const fn sequence(self) -> Sequence {
        let [_, _, _, _, _, _, a, b, c, d, e, f, _, _, _, _] = *self.0;
        Sequence::call(u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([e, f]))
    }

    /// Route, status or close code, by kind.
    pub const fn code(self) -> u32 {
        u32::from_be_bytes([self.0[12], self.0[13], self.0[14], self.0[15]])
    }
}

/// What a header says once every rule of its kind has been checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes after the header.
    pub length: u32,
    /// What kind of frame it is.
    pub kind: Kind,
    /// Flags and lane.
    pub flags: Flags,
    /// The connection, or a call.
    pub sequence: Sequence,
    /// Route, status or close code, by kind.
    pub code: u32,
}

/// A header that broke no rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A frame of a known kind.
    Frame(Header),
    /// A frame of an unknown kind that may be skipped, with its length (LW-2.5).
    Ignorable(u32),
}

impl Header {
    /// Checks a header against the limit in force and the table of kinds, in the order of LW-2.6.
    ///
    /// # Errors
    /// The first rule that was broken.
    #[inline]
    pub fn parse(view: HeaderView<'_>, limit: u32) -> Result<Parsed, ProtocolError> {
        let length = view.length();
        if length > limit {
            return Err(ProtocolError::FrameTooLarge { length, limit });
        }
        let flags = view.flags();
        let Some(kind) = Kind::from_u8(view.kind()) else {
            if flags.contains(Flags::IGNORABLE) {
                return Ok(Parsed::Ignorable(length));
            }
            return Err(ProtocolError::UnknownKind(view.kind()));
        };
        let rules = &RULES[kind as usize];
        if !rules.allows(flags) {
            return Err(ProtocolError::BadFlags { kind, flags: flags.bits() });
        }
        let sequence = view.sequence();
        let fitting = match rules.sequence {
            SequenceRule::Connection => sequence.is_connection(),
            SequenceRule::Call => sequence.is_call(),
            SequenceRule::Push if flags.contains(Flags::MORE) => sequence.is_call(),
            // The last fragment has an id, a push that is no fragment has none.
            SequenceRule::Push => sequence.is_call() || sequence.is_connection(),
        };
        if !fitting {
            return Err(ProtocolError::BadSequence { kind, sequence });
        }
        let code = view.code();
        if !rules.code && code != 0 {
            return Err(ProtocolError::BadCode { kind, code });
        }
        if rules.length.is_some_and(|exact| exact != length) {
            return Err(ProtocolError::BadLength { kind, length });
        }
        Ok(Parsed::Frame(Self { length, kind, flags, sequence, code }))
    }

    /// The header of a message in one frame, if it follows the rules: what [`parse`](Self::parse) says of it, in fewer steps. `None`
    /// is for `parse` to judge.
    #[inline]
    pub(crate) fn of_whole_message(view: HeaderView<'_>, limit: u32) -> Option<Self> {
        let (length, flags, sequence) = (view.length(), view.flags(), view.sequence());
        flags.lane()?;
        let other = flags.bits() & !(Flags::EXT.0 | Flags::LANE_MASK);
        let kind = Kind::from_u8(view.kind())?;
        let fits = match kind {
            Kind::Request => other == 0 && sequence.is_call(),
            Kind::Reply => other == Flags::ORIGIN.0 && sequence.is_call(),
            Kind::Push => other == 0 && sequence.is_connection(),
            _ => false,
        };
        (fits && length <= limit).then_some(Self { length, kind, flags, sequence, code: view.code() })
    }

    /// The header's bytes. The inverse of [`parse`](Self::parse) for every header that follows the rules.
    pub const fn to_bytes(self) -> [u8; HEADER_LEN] {
        let sequence = self.sequence.to_u64();
        let high = (self.length as u64) << 32
            | (self.kind as u64) << 24
            | (self.flags.0 as u64) << 16
            | sequence >> 32;
        let low = sequence << 32 | self.code as u64;
        ((high as u128) << 64 | low as u128).to_be_bytes()
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Kind {
    /// The dialer's first frame.
    Hello = 0x01,
    /// The acceptor's answer to it.
    Welcome = 0x02,
    /// A call.
    Request = 0x03,
    /// The final answer to a call.
    Reply = 0x04,
    /// A message without an answer.
    Push = 0x05,
    /// The caller no longer waits.
    Cancel = 0x06,
    /// Wants a PONG.
    Ping = 0x07,
    /// Answers a PING.
    Pong = 0x08,
    /// Grants credit.
    Credit = 0x09,
    /// Asks for an orderly end.
    Drain = 0x0A,
    /// The last frame of a side.
    Close = 0x0B,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Hello,
        Self::Welcome,
        Self::Request,
        Self::Reply,
        Self::Push,
        Self::Cancel,
        Self::Ping,
        Self::Pong,
        Self::Credit,
        Self::Drain,
        Self::Close,
    ];

    /// The kind with this number, if this version knows it.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number).checked_sub(1)?).copied()
    }

    /// Whether frames of this kind are messages: charged, and sent in lanes.
    pub const fn is_message(self) -> bool {
        matches!(self, Self::Request | Self::Reply | Self::Push)
    }

    /// This kind's row in the table of PROTOCOL.md §2.3.
    const fn rules(self) -> Rules {
        const MESSAGE: u8 = Flags::EXT.0 | Flags::MORE.0 | Flags::LANE_MASK;
        let control =
            Rules { allowed: 0, required: 0, sequence: SequenceRule::Connection, code: false, length: None };
        match self {
            Self::Hello | Self::Welcome => control,
            Self::Request => Rules { allowed: MESSAGE, sequence: SequenceRule::Call, code: true, ..control },
            Self::Reply => Rules {
                allowed: MESSAGE,
                required: Flags::ORIGIN.0,
                sequence: SequenceRule::Call,
                code: true,
                ..control
            },
            Self::Push => Rules { allowed: MESSAGE, sequence: SequenceRule::Push, code: true, ..control },
            Self::Cancel => {
                Rules { allowed: Flags::ORIGIN.0, sequence: SequenceRule::Call, length: Some(0), ..control }
            }
            Self::Ping => Rules { length: Some(PING_LEN as u32), ..control },
            Self::Pong => Rules { length: Some(PONG_LEN as u32), ..control },
            Self::Credit => Rules { length: Some(CREDIT_LEN as u32), ..control },
            Self::Drain => Rules { allowed: Flags::END.0, code: true, length: Some(0), ..control },
            Self::Close => Rules { code: true, ..control },
        }
    }
}

/// The table of kinds, by their numbers. There is no kind 0.
static RULES: [Rules; 12] = {
    const NONE: Rules =
        Rules { allowed: 0, required: 0, sequence: SequenceRule::Connection, code: false, length: None };
    let mut table = [NONE; 12];
    let mut number = 1;
    while number < table.len() {
        table[number] = Kind::ALL[number - 1].rules();
        number += 1;
    }
    table
};

/// One row of the table of kinds.
#[derive(Clone, Copy)]
struct Rules {
    allowed: u8,
    required: u8,
    sequence: SequenceRule,
    code: bool,
    length: Option<u32>,
}

impl Rules {
    const fn allows(&self, flags: Flags) -> bool {
        let known = self.allowed | self.required | Flags::IGNORABLE.0;
        flags.0 & !known == 0 && flags.0 & self.required == self.required && flags.lane().is_some()
    }
}

#[derive(Clone, Copy)]
enum SequenceRule {
    Connection,
    Call,
    /// The connection, or a push id when the message comes in fragments.
    Push,
}

/// The flags byte of a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u8);

impl Flags {
    /// An extension block stands in front of the body.
    pub const EXT: Self = Self(0x01);
    /// Further fragments of this message follow.
    pub const MORE: Self = Self(0x02);
    /// On DRAIN: the sender has sent its last REQUEST.
    pub const END: Self = Self(0x04);
    /// The id belongs to the receiver's table.
    pub const ORIGIN: Self = Self(0x08);
    /// A receiver that does not know the kind skips the frame.
    pub const IGNORABLE: Self = Self(0x10);
    /// Reserved.
    pub const COMPRESSED: Self = Self(0x20);
    const LANE_MASK: u8 = 0xC0;

    /// No flag, normal lane.
    pub const fn empty() -> Self {
        Self(0)
    }

    /// The flags with these bits.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits)
    }

    /// The byte on the wire.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The lane, or `None` for the reserved value.
    pub const fn lane(self) -> Option<Lane> {
        match self.0 & Self::LANE_MASK {
            0x00 => Some(Lane::Normal),
            0x40 => Some(Lane::High),
            0x80 => Some(Lane::Bulk),
            _ => None,
        }
    }

    /// These flags with this lane in place of the old one.
    #[must_use]
    pub const fn with_lane(self, lane: Lane) -> Self {
        Self(self.0 & !Self::LANE_MASK | (lane as u8) << 6)
    }
}

/// How urgent a message is to its sender (LW-2.8).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Lane {
    /// What most messages are.
    #[default]
    Normal = 0,
    /// Before normal ones.
    High = 1,
    /// After normal ones: large transfers.
    Bulk = 2,
}
