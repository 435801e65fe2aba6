//! The sequence field of a header (LW-2.9).

use core::fmt;

/// A 48-bit sequence: zero for the connection itself, else a generation and a slot.
///
/// ```
/// use proto_core::wire::Sequence;
///
/// let id = Sequence::call(3, 7);
/// assert_eq!((id.generation(), id.slot()), (3, 7));
/// assert_eq!(id.to_u64(), 3 << 16 | 7);
/// assert!(Sequence::CONNECTION.is_connection());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence {
    generation: u32,
    slot: u16,
}

impl Sequence {
    /// The connection itself.
    pub const CONNECTION: Self = Self { generation: 0, slot: 0 };

    /// The id of a call: the `generation`-th use of `slot`.
    pub const fn call(generation: u32, slot: u16) -> Self {
        Self { generation, slot }
    }

    /// The lower 48 bits of `raw`.
    pub const fn from_u64(raw: u64) -> Self {
        Self { generation: (raw >> 16) as u32, slot: raw as u16 }
    }

    /// The 48-bit number.
    pub const fn to_u64(self) -> u64 {
        (self.generation as u64) << 16 | self.slot as u64
    }

    /// Which use of the slot this is; 0 is no call.
    pub const fn generation(self) -> u32 {
        self.generation
    }

    /// The place in the issuer's table.
    pub const fn slot(self) -> u16 {
        self.slot
    }

    /// Whether this is sequence 0.
    pub const fn is_connection(self) -> bool {
        self.generation == 0 && self.slot == 0
    }

    /// Whether this can be the id of a call: its generation is not 0.
    pub const fn is_call(self) -> bool {
        self.generation != 0
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.slot, self.generation)
    }
}
