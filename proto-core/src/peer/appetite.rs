//! How much to read at a time.
//!
//! What a turn reads, it answers before it reads more. If both ends are busy with many small messages, short turns let them
//! work at the same time: while one end answers the first messages, the other already has the answers to those before
//! them. Long turns make each end wait for the other, and be woken each time; shorter ones than need be cost system calls. Measured
//! with 8 to 512 calls in flight, a quarter of them at a time is best, and up to twice as fast as all at a time. It does not matter
//! whose they are: while a thread serves other connections, the other ends of these have something to do.
//!
//! But where nothing is answered, a short turn gains nothing, and costs a system call.

use core::cell::Cell;

use crate::connection::Counters;

/// Into how many parts that which is in flight is divided, one for each turn. An end that never waits to be woken has more from larger ones.
const PARTS: u32 = 4;
const PARTS_IF_BUSY: u32 = 2;
/// The fewest messages that are worth a turn.
const FEWEST: u32 = 2;
/// Bounds of what is read at a time, in bytes.
const LEAST: u32 = 256;
const MOST: u32 = 64 << 10;
/// So many frames of others say all that need be known.
const MOST_OF_OTHERS: u32 = 4096;
/// So many say nothing: there was a pause, or another thread.
const TOO_MANY: u32 = 1 << 20;
/// Where it begins, as long as nothing is known.
const FIRST: u32 = 2 << 10;
/// The unit in which it is kept.
const UNIT: u32 = 16;

std::thread_local!(
    /// How many frames have been read on this thread, by all its connections, from where its count begins: not where that of another
    /// thread does, so that a connection which comes from there does not take the difference for others' frames.
    static READ: Cell<u32> = const { Cell::new(0) }
);

/// How much to read at a time.
#[derive(Debug)]
pub(super) struct Appetite {
    /// The lower bits of what had been counted before the last read: one turn adds less than they hold.
    received: u32,
    frames: u32,
    sent: u32,
    /// What all connections of the thread had read by then.
    read: u32,
    /// In units of 16 bytes.
    most: u16,
    /// How many messages were in flight of late.
    in_flight: u16,
}

impl Appetite {
    pub(super) const fn new() -> Self {
        Self { received: 0, frames: 0, sent: 0, read: 0, most: (FIRST / UNIT) as u16, in_flight: 0 }
    }

    /// How many bytes to read now, given what has been counted so far and how many calls are in flight, as far as is known.
    pub(super) fn next(&mut self, counters: &Counters, in_flight: usize, is_busy: bool) -> usize {
        let received = self.received_since(counters);
        if received > 0 {
            let sent = counters.bytes_sent as u32;
            let frames = (counters.frames_received as u32).wrapping_sub(self.frames);
            let messages = self.in_flight(in_flight, frames) / if is_busy { PARTS_IF_BUSY } else { PARTS };
            // Where nobody calls, nothing is gained by little.
            let least = if self.in_flight == 0 { FIRST } else { LEAST };
            let most = if sent == self.sent {
                self.most() * 2
            } else {
                // Not at once: what was sent may be a word between many pushes.
                let part = |length: u32| length.saturating_mul(messages.max(FEWEST)).max(self.most() / 2);
                received.checked_div(frames).map_or(MOST, part)
            };
            self.most = (most.clamp(least, MOST) / UNIT) as u16;
            self.sent = sent;
            self.received = counters.bytes_received as u32;
            self.frames = counters.frames_received as u32;
        }
        self.most() as usize
    }

    /// How many messages are in flight of which this thread is to take some, of late: few of them may be known while most are on
    /// their way, and others have their turn only now and then. So many frames have been read here since this was last asked. Those of
    /// others count twice: to read a little less than all of a short burst would cost more than it gains.
    fn in_flight(&mut self, known: usize, frames: u32) -> u32 {
        let known = u32::try_from(known).unwrap_or(u32::MAX).saturating_add(2 * self.read_by_others(frames));
        let known = u16::try_from(known).unwrap_or(u16::MAX);
        self.in_flight = known.max(self.in_flight - self.in_flight.div_ceil(8));
        self.in_flight.into()
    }

    /// How many frames other connections of this thread have read since this one did, which has read so many itself.
    fn read_by_others(&mut self, own: u32) -> u32 {
        let count = |read: &Cell<u32>| {
            let begin = || (core::ptr::from_ref(read).addr() as u32).wrapping_mul(0x9E37_79B9).max(1);
            let before = if read.get() == 0 { begin() } else { read.get() };
            read.set(before.wrapping_add(own));
            read.get()
        };
        // A thread that is about to end counts nothing.
        let read = READ.try_with(count).unwrap_or(0);
        let is_first = self.received == 0;
        let others = read.wrapping_sub(core::mem::replace(&mut self.read, read)).wrapping_sub(own);
        if is_first || others > TOO_MANY { 0 } else { others.min(MOST_OF_OTHERS) }
    }

    const fn most(&self) -> u32 {
        self.most as u32 * UNIT
    }

    const fn received_since(&self, counters: &Counters) -> u32 {
        (counters.bytes_received as u32).wrapping_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// What is read if each read brings messages of this length and is answered or not, with so many calls in flight.
    fn reads(length: u64, answered: bool, in_flight: usize) -> usize {
        // The counters pass the end of their lower bits on the way.
        let bytes_received = u64::from(u32::MAX) - 1000;
        let (mut appetite, mut counters) =
            (Appetite::new(), Counters { bytes_received, ..Counters::default() });
        for _ in 0..20 {
            let most = appetite.next(&counters, in_flight, false) as u64;
            counters.bytes_received += most;
            counters.frames_received += most.div_ceil(length);
            counters.bytes_sent += u64::from(answered);
        }
        appetite.next(&counters, in_flight, false)
    }

    #[test]
    fn small_messages_that_are_answered_are_read_by_a_quarter() {
        for (in_flight, expected) in [(1, 256..260), (32, 600..720), (128, 2500..2900), (512, 10_000..11_600)]
        {
            let most = reads(90, true, in_flight);
            assert!(expected.contains(&most), "{most} bytes with {in_flight} in flight");
        }
    }

    #[test]
    fn an_end_that_is_never_woken_reads_half_of_them() {
        let (mut appetite, mut counters, mut most) = (Appetite::new(), Counters::default(), 0);
        for _ in 0..20 {
            most = appetite.next(&counters, 128, true);
            counters.bytes_received += 32 * 90;
            counters.frames_received += 32;
            counters.bytes_sent += 1;
        }
        assert!((5000..5800).contains(&most), "{most} bytes");
    }

    #[test]
    fn large_messages_and_those_without_answers_fill_the_buffer() {
        assert_eq!(reads(10_000, true, 128), MOST as usize);
        assert_eq!(reads(1 << 30, true, 128), MOST as usize);
        assert_eq!(reads(90, true, 60_000), MOST as usize);
        assert_eq!(reads(90, false, 128), MOST as usize);
    }

    #[test]
    fn a_handshake_is_no_reason_to_read_little() {
        assert_eq!(reads(120, true, 0), FIRST as usize);
    }

    #[test]
    fn a_word_now_and_then_is_no_answer() {
        let (mut appetite, mut counters) = (Appetite::new(), Counters::default());
        let mut least = MOST as usize;
        for n in 0..100 {
            let most = appetite.next(&counters, 0, false);
            least = if n < 20 { least } else { least.min(most) };
            counters.bytes_received += most as u64;
            counters.frames_received += (most / 100) as u64;
            counters.bytes_sent += u64::from(n % 4 == 0);
        }
        assert_eq!(least, MOST as usize / 2);
    }

    #[test]
    fn one_of_many_connections_reads_all_it_can() {
        let mut connections: Vec<_> = (0..64).map(|_| (Appetite::new(), Counters::default())).collect();
        let mut most = 0;
        for _ in 0..20 {
            for (appetite, counters) in &mut connections {
                most = appetite.next(counters, 16, false);
                counters.bytes_received += 16 * 90;
                counters.frames_received += 16;
                counters.bytes_sent += 1;
            }
        }
        assert!(most >= 16 * 90, "{most} bytes");
    }

    #[test]
    fn what_other_threads_and_earlier_connections_read_is_not_in_flight() {
        let _ = reads(90, true, 60_000);
        let (mut appetite, mut counters, mut most) = (Appetite::new(), Counters::default(), 0);
        for _ in 0..20 {
            std::thread::scope(|scope| {
                let turn = || {
                    for _ in 0..2 {
                        most = appetite.next(&counters, 32, false);
                        counters.bytes_received += 8 * 90;
                        counters.frames_received += 8;
                        counters.bytes_sent += 1;
                    }
                };
                scope.spawn(turn).join().unwrap();
            });
        }
        assert!((600..900).contains(&most), "{most} bytes");
    }
}
