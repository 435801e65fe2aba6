//! How much to read at a time.
//!
//! What a turn reads, it answers before it reads more. If both ends are busy with many small messages, short turns let them
//! work at the same time: while one end answers the first messages, the other already has the answers to those before
//! them. Long turns make each end wait for the other. But where nothing is answered, a short turn gains nothing, and costs a
//! system call.

use crate::connection::Counters;

/// How many messages to read at a time while they are answered: enough to share the price of a read and a write. An end that
/// never waits to be woken has more from larger turns.
const MESSAGES: u32 = 32;
const MESSAGES_IF_BUSY: u32 = 64;
/// Bounds of what is read at a time, in bytes.
const LEAST: u32 = 2 << 10;
const MOST: u32 = 64 << 10;

/// How much to read at a time.
#[derive(Debug)]
pub(super) struct Appetite {
    messages: u32,
    most: u32,
    /// The lower bits of what had been counted before the last read: one turn adds less than they hold.
    received: u32,
    frames: u32,
    sent: u32,
}

impl Appetite {
    pub(super) const fn new(is_busy: bool) -> Self {
        let messages = if is_busy { MESSAGES_IF_BUSY } else { MESSAGES };
        Self { messages, most: LEAST, received: 0, frames: 0, sent: 0 }
    }

    /// How many bytes to read now, given what has been counted so far.
    pub(super) fn next(&mut self, counters: &Counters) -> usize {
        let received = self.received_since(counters);
        if received > 0 {
            let sent = counters.bytes_sent as u32;
            let frames = (counters.frames_received as u32).wrapping_sub(self.frames);
            let most = if sent == self.sent {
                self.most * 2
            } else {
                received.checked_div(frames).map_or(MOST, |length| length.saturating_mul(self.messages))
            };
            self.most = most.clamp(LEAST, MOST);
            self.sent = sent;
            self.received = counters.bytes_received as u32;
            self.frames = counters.frames_received as u32;
        }
        self.most as usize
    }

    /// Whether the last read brought all that was asked for, so that there may be more.
    pub(super) const fn is_sated(&self, counters: &Counters) -> bool {
        self.received_since(counters) >= self.most
    }

    const fn received_since(&self, counters: &Counters) -> u32 {
        (counters.bytes_received as u32).wrapping_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read if each read brings messages of this length and is answered or not.
    fn reads(length: u64, answered: bool) -> usize {
        // The counters pass the end of their lower bits on the way.
        let bytes_received = u64::from(u32::MAX) - 1000;
        let (mut appetite, mut counters) =
            (Appetite::new(false), Counters { bytes_received, ..Counters::default() });
        for _ in 0..20 {
            let most = appetite.next(&counters) as u64;
            counters.bytes_received += most;
            counters.frames_received += most / length;
            counters.bytes_sent += u64::from(answered);
        }
        appetite.next(&counters)
    }

    #[test]
    fn small_messages_that_are_answered_are_read_by_a_few() {
        assert!((2500..3500).contains(&reads(90, true)), "{}", reads(90, true));
        assert_eq!(reads(20, true), LEAST as usize);
    }

    #[test]
    fn large_messages_and_those_without_answers_fill_the_buffer() {
        assert_eq!(reads(10_000, true), MOST as usize);
        assert_eq!(reads(1 << 30, true), MOST as usize);
        assert_eq!(reads(90, false), MOST as usize);
    }

    #[test]
    fn a_full_read_may_not_have_brought_all() {
        let (mut appetite, mut counters) = (Appetite::new(false), Counters::default());
        let most = appetite.next(&counters) as u64;
        counters.bytes_received = most - 1;
        assert!(!appetite.is_sated(&counters));
        counters.bytes_received = most;
        assert!(appetite.is_sated(&counters));
    }
}
