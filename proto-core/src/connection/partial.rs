//! A message whose bytes are still arriving, in one frame or in fragments.
//!
//! It is judged and charged by its whole length before a byte is kept, and makes room for at most 64 KiB more than
//! what has arrived, whatever was announced. Whoever owns the table of its id keeps it between two fragments; it holds no
//! opinion about what the message is for.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::error::ProtocolError;
use crate::time::Instant;
use crate::wire::{Flags, Header, Kind, Sequence};

/// How much room is made for bytes that have been announced and not arrived.
const AHEAD: usize = 64 << 10;

/// The fragments of one message, or the one frame that it comes in.
#[derive(Debug)]
pub(super) struct Partial {
    /// The first frame's header, as if it had brought the whole message.
    pub(super) header: Header,
    /// When the first frame's header was complete.
    pub(super) at: Instant,
    /// What has arrived, and behind it what has been lent to be read into.
    data: Vec<u8>,
    /// How much has arrived.
    filled: usize,
    /// Nobody wants it: bytes are counted and not kept.
    discarded: bool,
    in_fragments: bool,
}

impl Partial {
    pub(super) fn new(header: Header, at: Instant) -> Box<Self> {
        Box::new(Self { header, at, data: Vec::new(), filled: 0, discarded: false, in_fragments: false })
    }

    /// Whether this frame goes on with the message (LW-6.8), judged by its header.
    pub(super) fn continues(&self, fragment: &Header) -> Result<(), ProtocolError> {
        let arrived = self.filled + fragment.length as usize;
        let whole = self.header.length as usize;
        let more = fragment.flags.contains(Flags::MORE);
        let fits = fragment.length > 0
            && !fragment.flags.contains(Flags::EXT)
            && fragment.code == self.header.code
            && fragment.flags.lane() == self.header.flags.lane()
            && if more { arrived < whole } else { arrived == whole };
        if fits { Ok(()) } else { Err(bad_fragment(fragment)) }
    }

    /// Takes bytes that have arrived.
    pub(super) fn fill(&mut self, arrived: &[u8]) {
        if !self.discarded {
            let (lent, rest) = arrived.split_at(arrived.len().min(self.data.len() - self.filled));
            self.data[self.filled..][..lent.len()].copy_from_slice(lent);
            if !rest.is_empty() {
                self.make_room(self.data.len() + rest.len());
                self.data.extend_from_slice(rest);
            }
        }
        self.filled += arrived.len();
    }

    /// Lends room for up to `most` bytes that are about to arrive; nothing if nobody wants them.
    pub(super) fn space(&mut self, most: usize) -> &mut [u8] {
        if self.discarded {
            return &mut [];
        }
        let end = self.filled + most.min(AHEAD);
        if self.data.len() < end {
            self.make_room(end);
            self.data.resize(end, 0);
        }
        &mut self.data[self.filled..end]
    }

    /// Takes note of bytes that have arrived in the room that was lent; says how many that can have been.
    pub(super) fn fill_space(&mut self, n: usize) -> usize {
        let n = n.min(self.data.len() - self.filled);
        self.filled += n;
        n
    }

    /// Nobody wants the message any more. Its bytes still have to arrive.
    pub(super) fn discard(&mut self) {
        self.discarded = true;
        self.data = Vec::new();
    }

    pub(super) const fn set_in_fragments(&mut self) {
        self.in_fragments = true;
    }

    pub(super) const fn is_in_fragments(&self) -> bool {
        self.in_fragments
    }

    pub(super) const fn is_discarded(&self) -> bool {
        self.discarded
    }

    pub(super) const fn id(&self) -> (Kind, Sequence) {
        (self.header.kind, self.header.sequence)
    }

    /// The payload, once all of it is there.
    pub(super) fn take_data(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.data)
    }

    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.data.capacity()
    }

    /// Makes room up to this length, and for more that is going to arrive.
    fn make_room(&mut self, length: usize) {
        if self.data.capacity() < length {
            let ahead = (self.header.length as usize).min(self.filled + AHEAD);
            self.data.reserve_exact(length.max(ahead) - self.data.len());
        }
    }
}

/// The first fragment of a message: what its header and its total say together (LW-6.7, LW-6.8).
pub(super) fn first_fragment(fragment: &Header, total: u32) -> Result<Header, ProtocolError> {
    match fragment.length.checked_sub(TOTAL_LEN as u32) {
        Some(brought) if brought < total => {
            Ok(Header { length: total, flags: fragment.flags.without(Flags::MORE), ..*fragment })
        }
        _ => Err(bad_fragment(fragment)),
    }
}

/// The length of the total in front of a first fragment.
pub(super) const TOTAL_LEN: usize = 4;

pub(super) const fn bad_fragment(fragment: &Header) -> ProtocolError {
    ProtocolError::BadFragment { kind: fragment.kind, sequence: fragment.sequence }
}

/// Pushes that come in fragments: at most 16 at a time (LW-6.10).
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "a message stays in its box on its way between here and where it is filled"
)]
pub(super) struct PartialPushes(Vec<Box<Partial>>);

impl PartialPushes {
    const SLOTS: u16 = 16;

    /// Whether a push with this id may begin.
    pub(super) fn begin(&self, id: Sequence) -> Result<(), ProtocolError> {
        if id.slot() >= Self::SLOTS {
            Err(ProtocolError::SlotBeyondLimit(id.slot()))
        } else if self.0.iter().any(|push| push.header.sequence.slot() == id.slot()) {
            Err(ProtocolError::SlotInUse(id.slot()))
        } else {
            Ok(())
        }
    }

    pub(super) fn keep(&mut self, partial: Box<Partial>) {
        self.0.push(partial);
    }

    pub(super) fn take(&mut self, id: Sequence) -> Option<Box<Partial>> {
        let at = self.0.iter().position(|push| push.header.sequence == id)?;
        Some(self.0.swap_remove(at))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn held_bytes(&self) -> usize {
        let bytes = self.0.iter().map(|partial| partial.held_bytes()).sum::<usize>();
        bytes + self.0.capacity() * size_of::<Box<Partial>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(length: u32) -> Header {
        Header { length, kind: Kind::Push, flags: Flags::empty(), sequence: Sequence::CONNECTION, code: 0 }
    }

    #[test]
    fn room_is_made_for_what_arrives_not_for_what_is_announced() {
        let mut partial = Partial::new(header(1 << 30), Instant::EPOCH);
        partial.fill(&[1; 10]);
        assert!(partial.data.capacity() <= AHEAD, "{}", partial.data.capacity());
        for step in 0..100 {
            if step % 3 == 0 {
                partial.space(1 << 30);
                partial.fill_space(5000);
            } else {
                partial.fill(&[2; 5000]);
            }
            assert!(partial.data.capacity() <= partial.filled + AHEAD);
        }
    }

    #[test]
    fn what_nobody_wants_is_counted_and_not_kept() {
        let mut partial = Partial::new(header(100), Instant::EPOCH);
        partial.fill(&[1; 10]);
        partial.discard();
        assert!(partial.space(90).is_empty());
        partial.fill(&[1; 80]);
        assert_eq!(partial.held_bytes(), size_of::<Partial>());
        assert_eq!(partial.continues(&header(10)), Ok(()));
    }

    proptest! {
        /// However bytes arrive, the message is what was sent, and holds no more than its length.
        #[test]
        fn any_way_of_arriving_gives_the_same_bytes(
            length in 0usize..200_000,
            steps in prop::collection::vec((any::<bool>(), 1usize..90_000, 0usize..90_000), 1..20),
        ) {
            let sent: Vec<u8> = (0..length).map(|at| (at * 7 % 251) as u8).collect();
            let mut partial = Partial::new(header(length as u32), Instant::EPOCH);
            let mut steps = steps.into_iter().cycle();
            while partial.filled < length {
                let (lend, most, used) = steps.next().unwrap_or_default();
                let rest = &sent[partial.filled..];
                if lend {
                    let space = partial.space(rest.len().min(most));
                    let n = used.min(space.len());
                    space[..n].copy_from_slice(&rest[..n]);
                    partial.fill_space(n);
                } else {
                    partial.fill(&rest[..rest.len().min(most)]);
                }
            }
            prop_assert_eq!(partial.data.capacity(), length);
            prop_assert_eq!(partial.take_data(), sent);
        }
    }
}
