//! Messages that wait for their place in the byte stream, in lanes of different urgency.
//!
//! Each lane is a queue, and lanes share the byte stream in the proportion 8 : 4 : 1 (LW-6.12): each lane has a clock that
//! runs by the bytes it has sent, slower the more urgent it is, and the lane whose clock is behind is next. A lane
//! that had nothing to send starts at the others' time, so that it gains nothing by having been silent. So a lane with
//! something to send waits for at most twelve times what it sends itself, and one frame of each other lane.
//!
//! This module knows how much waits and what is next, not how a message is written.

use alloc::collections::VecDeque;

use super::queue::{Key, Queue};
use super::waiting::{Cut, Piece, Rest, Waiting};
use crate::time::Instant;
use crate::wire::{CHARGE_OVERHEAD, Kind, Lane, PING_LEN, Sequence};

/// The lanes in the order of urgency, and how fast the clock of each runs.
const LANES: [(Lane, u64); 3] = [(Lane::High, 1), (Lane::Normal, 2), (Lane::Bulk, 8)];

/// What waits. Exists only while something does.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    /// The newest PING that has not been answered. It goes before everything else.
    pong: Option<PendingPong>,
    lanes: [OneLane; LANES.len()],
    /// The clock of the lane that was last served.
    clock: u64,
    /// Calls whose peer is to be told that nobody waits for them.
    cancels: VecDeque<Sequence>,
    /// Bytes of waiting requests and pushes, and how many these are.
    bytes: usize,
    messages: usize,
    /// How many of them are requests.
    requests: usize,
    /// Bytes of waiting replies.
    reply_bytes: usize,
    /// The most that requests and pushes may count; what counts more by itself, which at most one of them does.
    limit: usize,
    oversized: usize,
}

/// A PING that wants an answer, and when it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingPong {
    pub(super) ping: [u8; PING_LEN],
    pub(super) at: Instant,
}

#[derive(Debug, Default)]
struct OneLane {
    queue: Queue<Waiting>,
    clock: u64,
}

/// Where a message waits. Valid until it has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    lane: Lane,
    key: Key,
}

impl Lanes {
    /// A message goes to the end of its lane; `limit` is the most that requests and pushes may count.
    pub(super) fn push(&mut self, lane: Lane, waiting: Waiting, limit: usize) -> Place {
        self.limit = limit;
        self.enter(&waiting);
        let clock = self.clock;
        let own = &mut self.lanes[index(lane)];
        if own.queue.is_empty() {
            own.clock = own.clock.max(clock);
        }
        Place { lane, key: own.queue.push_back(waiting) }
    }

    pub(super) fn push_cancel(&mut self, id: Sequence) {
        self.cancels.push_back(id);
    }

    pub(super) fn has_cancels(&self) -> bool {
        !self.cancels.is_empty()
    }

    pub(super) fn pop_cancel(&mut self) -> Option<Sequence> {
        self.cancels.pop_front()
    }

    /// The lane whose turn it is.
    pub(super) fn next(&self) -> Option<Lane> {
        let filled = LANES.iter().zip(&self.lanes).filter(|(_, own)| !own.queue.is_empty());
        filled.min_by_key(|(_, own)| own.clock).map(|(&(lane, _), _)| lane)
    }

    /// The first message of a lane.
    pub(super) fn first(&self, lane: Lane) -> Option<&Waiting> {
        self.lanes[index(lane)].queue.first()
    }

    /// Takes as much of the first message of a lane as a frame of this length holds; the rest stays where it was. One that
    /// is cut gets this number; a push also an id of its lane's slot and this generation.
    pub(super) fn take_piece(&mut self, lane: Lane, frame: usize, number: u32) -> Option<Piece> {
        let mut waiting = self.pop(lane)?;
        let total = waiting.length();
        if total <= frame {
            return Some(Piece::whole(waiting));
        }
        let id = waiting.id(Sequence::call(number, lane as u16));
        let cut = waiting.cut().unwrap_or_else(|| Cut { lane, number, length: waiting.body().len() });
        let (kind, code, body) = (waiting.kind(), waiting.code(), waiting.split(frame));
        let place = self.put_back(lane, Rest { kind, id, code, body, cut });
        Some(Piece { waiting, id, total, rest: Some(place), cut: Some(cut) })
    }

    /// The body whose rest is next in a lane.
    pub(super) fn cut(&self, lane: Lane) -> Option<Cut> {
        self.first(lane)?.cut()
    }

    /// Takes the first message of a lane.
    pub(super) fn pop(&mut self, lane: Lane) -> Option<Waiting> {
        let waiting = self.lanes[index(lane)].queue.pop_front()?;
        self.leave(&waiting);
        Some(waiting)
    }

    /// Puts the rest of a message where its first part was taken from.
    fn put_back(&mut self, lane: Lane, rest: Rest) -> Place {
        let rest = Waiting::Rest(rest);
        self.enter(&rest);
        Place { lane, key: self.lanes[index(lane)].queue.push_front(rest) }
    }

    /// Takes a message out of its queue.
    pub(super) fn withdraw(&mut self, Place { lane, key }: Place) -> Option<Waiting> {
        let waiting = self.lanes[index(lane)].queue.take(key)?;
        self.leave(&waiting);
        Some(waiting)
    }

    /// A lane has been given so many bytes of the stream.
    pub(super) fn spend(&mut self, lane: Lane, bytes: usize) {
        let own = &mut self.lanes[index(lane)];
        self.clock = self.clock.max(own.clock);
        own.clock += bytes as u64 * LANES[index(lane)].1;
    }

    /// Drops all requests and what is said about calls; keeps the order of the rest.
    pub(super) fn drop_requests(&mut self) {
        self.cancels = VecDeque::new();
        for (lane, _) in LANES {
            let mut queue = core::mem::take(&mut self.lanes[index(lane)].queue);
            while let Some(waiting) = queue.pop_front() {
                self.leave(&waiting);
                if waiting.kind() != Kind::Request {
                    self.enter(&waiting);
                    self.lanes[index(lane)].queue.push_back(waiting);
                }
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pong.is_none() && self.cancels.is_empty() && self.lanes.iter().all(|own| own.queue.is_empty())
    }

    pub(super) const fn keep_pong(&mut self, pong: PendingPong) {
        self.pong = Some(pong);
    }

    pub(super) const fn take_pong(&mut self) -> Option<PendingPong> {
        self.pong.take()
    }

    pub(super) const fn has_pong(&self) -> bool {
        self.pong.is_some()
    }

    pub(super) const fn has_requests(&self) -> bool {
        self.requests > 0
    }

    /// What waiting requests and pushes count against the limit: 64 bytes each beside their own, so that empty ones
    /// have an end too.
    pub(super) const fn charge(&self) -> usize {
        self.bytes + self.messages * CHARGE_OVERHEAD as usize
    }

    /// Whether one more that counts so much may wait. One always may; one that is beyond the limit by itself counts as half
    /// of it while it waits, so that there is room for small ones beside a transfer.
    pub(super) const fn has_room_for(&self, needed: usize) -> bool {
        let counted = self.counted();
        if needed > self.limit {
            self.oversized == 0 && counted <= self.limit / 2
        } else {
            counted + needed <= self.limit
        }
    }

    /// Whether there is room for many.
    pub(super) const fn is_low(&self) -> bool {
        self.counted() <= self.limit / 2
    }

    const fn counted(&self) -> usize {
        match self.oversized {
            0 => self.charge(),
            oversized => self.charge() - oversized + self.limit / 2,
        }
    }

    pub(super) const fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    pub(super) fn held_bytes(&self) -> usize {
        let queues = self.lanes.iter().map(|own| own.queue.held_bytes()).sum::<usize>();
        let cancels = self.cancels.capacity() * size_of::<Sequence>();
        size_of::<Self>() + queues + cancels + self.bytes + self.reply_bytes
    }

    /// What a message counts that is beyond the limit by itself.
    const fn beyond_limit(&self, held: usize) -> usize {
        let charge = held + CHARGE_OVERHEAD as usize;
        if charge > self.limit { charge } else { 0 }
    }

    fn enter(&mut self, waiting: &Waiting) {
        let held = waiting.held_bytes();
        match waiting.kind() {
            Kind::Reply => self.reply_bytes += held,
            kind => {
                self.oversized += self.beyond_limit(held);
                self.bytes += held;
                self.messages += 1;
                self.requests += usize::from(kind == Kind::Request);
            }
        }
    }

    fn leave(&mut self, waiting: &Waiting) {
        let held = waiting.held_bytes();
        match waiting.kind() {
            Kind::Reply => self.reply_bytes -= held,
            kind => {
                self.oversized -= self.beyond_limit(held);
                self.bytes -= held;
                self.messages -= 1;
                self.requests -= usize::from(kind == Kind::Request);
            }
        }
    }
}

const fn index(lane: Lane) -> usize {
    match lane {
        Lane::High => 0,
        Lane::Normal => 1,
        Lane::Bulk => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Message;
    use crate::wire::{Extensions, StatusCode};
    use alloc::vec::Vec;
    use proptest::prelude::*;

    const LIMIT: usize = 1 << 20;

    fn push(length: usize) -> Waiting {
        Waiting::Push { message: Message::new(1, vec![0; length]) }
    }

    /// LW-6.12: full lanes share the stream as 8 : 4 : 1, whatever the lengths of their messages.
    #[test]
    fn full_lanes_share_the_stream_by_their_weights() {
        let mut lanes = Lanes::default();
        let lengths = [100, 1000, 37];
        let mut sent = [0usize; 3];
        for (lane, _) in LANES {
            for _ in 0..3 {
                lanes.push(lane, push(lengths[index(lane)]), LIMIT);
            }
        }
        while sent.iter().sum::<usize>() < 1_300_000 {
            let lane = lanes.next().unwrap();
            let bytes = lanes.pop(lane).unwrap().length();
            lanes.push(lane, push(lengths[index(lane)]), LIMIT);
            lanes.spend(lane, bytes);
            sent[index(lane)] += bytes;
        }
        for (sent, expected) in sent.into_iter().zip([800_000, 400_000, 100_000]) {
            assert!(sent.abs_diff(expected) < 3000, "{sent} bytes in place of {expected}");
        }
    }

    proptest! {
        /// No lane waits for more than its bound, whatever the others do.
        #[test]
        fn no_lane_starves(script in prop::collection::vec((0usize..3, 1usize..5000), 1..400)) {
            let mut lanes = Lanes::default();
            let mut passed = [0usize; 3];
            let mut script = script.into_iter();
            loop {
                for (which, length) in script.by_ref().take(2) {
                    lanes.push(LANES[which].0, push(length), LIMIT);
                }
                let Some(lane) = lanes.next() else { break };
                let bytes = lanes.pop(lane).unwrap().length();
                lanes.spend(lane, bytes);
                for (which, passed) in passed.iter_mut().enumerate() {
                    let waits = !lanes.lanes[which].queue.is_empty();
                    *passed = if waits && which != index(lane) { *passed + bytes } else { 0 };
                    prop_assert!(*passed <= 12 * 5000 + 2 * 5000, "lane {which} waited for {passed} bytes");
                }
            }
        }

        #[test]
        fn what_waits_is_counted_exactly(script in prop::collection::vec((0usize..3, 0usize..3, 0usize..500), 1..100)) {
            let mut lanes = Lanes::default();
            let mut places = Vec::new();
            for (step, (which, what, length)) in script.into_iter().enumerate() {
                let id = Sequence::call(1, step as u16);
                let message = Message::new(1, vec![0; length]);
                let waiting = match what {
                    0 => Waiting::Request { id, has_deadline: false, message },
                    1 => Waiting::Push { message },
                    _ => {
                        let (status, extensions) = (StatusCode::OK, Extensions::none());
                        Waiting::Reply { id, status, extensions, body: message.body }
                    }
                };
                places.push(lanes.push(LANES[which].0, waiting, 300));
                if step % 3 == 2 {
                    lanes.withdraw(places.swap_remove(length % places.len()));
                }
            }
            lanes.drop_requests();
            prop_assert!(!lanes.has_requests());
            while let Some(lane) = lanes.next() {
                lanes.pop(lane);
            }
            prop_assert_eq!((lanes.charge(), lanes.reply_bytes(), lanes.oversized), (0, 0, 0));
            prop_assert!(lanes.is_empty());
        }
    }
}
