//! How much to read at a time.
//!
//! What a turn reads, it answers before it reads more. If both ends are busy with many small messages, short turns let them
//! work at the same time: while one end answers the first messages, the other already has the answers to those before
//! them. Long turns make each end wait for the other. But where nothing is answered, a short turn gains nothing, and costs a
//! system call.

use crate::connection::Counters;

/// How many messages to read at a time while they are answered: enough to share the price of a read and a write.
const MESSAGES: u64 = 32;
/// Bounds of what is read at a time, in bytes.
const LEAST: usize = 2 << 10;
const MOST: usize = 64 << 10;

/// How much to read at a time.
#[derive(Debug)]
pub(super) struct Appetite {
    most: usize,
    /// What had been counted before the last read.
    received: u64,
    frames: u64,
    sent: u64,
}

impl Appetite {
    pub(super) const fn new() -> Self {
        Self { most: LEAST, received: 0, frames: 0, sent: 0 }
    }

    /// How many bytes to read now, given what has been counted so far.
    pub(super) fn next(&mut self, counters: &Counters) -> usize {
        let received = counters.bytes_received - self.received;
        let frames = counters.frames_received - self.frames;
        if received > 0 {
            self.most = if counters.bytes_sent == self.sent {
                self.most.saturating_mul(2)
            } else {
                received.checked_div(frames).map_or(MOST, |length| (length * MESSAGES) as usize)
            };
            self.most = self.most.clamp(LEAST, MOST);
            *self = Self {
                most: self.most,
                received: counters.bytes_received,
                frames: counters.frames_received,
                sent: counters.bytes_sent,
            };
        }
        self.most
    }

    /// Whether the last read brought all that was asked for, so that there may be more.
    pub(super) fn is_sated(&self, counters: &Counters) -> bool {
        counters.bytes_received - self.received >= self.most as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read if each read brings messages of this length and is answered or not.
    fn reads(length: u64, answered: bool) -> usize {
        let (mut appetite, mut counters) = (Appetite::new(), Counters::default());
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
        assert_eq!(reads(20, true), LEAST);
    }

    #[test]
    fn large_messages_and_those_without_answers_fill_the_buffer() {
        assert_eq!(reads(10_000, true), MOST);
        assert_eq!(reads(1 << 30, true), MOST);
        assert_eq!(reads(90, false), MOST);
    }

    #[test]
    fn a_full_read_may_not_have_brought_all() {
        let (mut appetite, mut counters) = (Appetite::new(), Counters::default());
        let most = appetite.next(&counters) as u64;
        counters.bytes_received = most - 1;
        assert!(!appetite.is_sated(&counters));
        counters.bytes_received = most;
        assert!(appetite.is_sated(&counters));
    }
}
