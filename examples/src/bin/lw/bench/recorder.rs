//! What one thread notes of its calls: without a lock, and handed over ten times a second.

use tokio::sync::mpsc::UnboundedSender;

use adapter_tokio::CallError;

use super::clock::Nanos;
use super::sample::{Chunk, Errors, Kind, Totals, record};
use super::word::Word;

/// How long a thread notes before it hands over.
pub(super) const TICK: Nanos = 100_000_000;

#[derive(Debug)]
pub(super) struct Recorder {
    words: UnboundedSender<Word>,
    /// Calls that were due before are not counted.
    from: Nanos,
    chunk: Chunk,
    /// When the chunk is handed over.
    tick_ends: Nanos,
    summary: Summary,
}

/// All that a thread has seen from the beginning to the end of the measurement.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    /// Calls that were to be made.
    pub(super) due: u64,
    pub(super) totals: Totals,
    pub(super) errors: Errors,
    /// When the last call ended.
    pub(super) last: Nanos,
    /// When no further calls were made, and what had ended by then.
    pub(super) window: Option<(Nanos, Totals)>,
}

impl Recorder {
    /// Counts calls that are due from this time on.
    pub(super) fn new(words: UnboundedSender<Word>, from: Nanos) -> Self {
        let summary = Summary { last: from, ..Summary::default() };
        Self { words, from, chunk: Chunk::new(None), tick_ends: 0, summary }
    }

    /// Whether a call that is due at this time counts.
    pub(super) const fn counts(&self, due: Nanos) -> bool {
        due >= self.from
    }

    /// It is so late now: what belongs to an earlier tick is handed over.
    pub(super) fn advance(&mut self, now: Nanos) {
        if now >= self.tick_ends {
            self.hand_over(now);
        }
    }

    /// When [`advance`](Self::advance) wants to be called at the latest.
    pub(super) const fn tick_ends(&self) -> Nanos {
        self.tick_ends
    }

    /// A call is to be made.
    pub(super) const fn due(&mut self, due: Nanos) {
        if self.counts(due) {
            self.summary.due += 1;
        }
    }

    pub(super) fn answered(&mut self, due: Nanos, now: Nanos, sent: usize, received: usize) {
        let totals =
            Totals { answered: 1, failed: 0, sent_bytes: sent as u64, received_bytes: received as u64 };
        self.note(due, &totals);
        if self.counts(due) {
            record(&mut self.chunk.latencies, now - due);
            self.summary.last = now;
        }
    }

    pub(super) fn failed(&mut self, due: Nanos, now: Nanos, kind: Kind, error: Option<&CallError>) {
        self.note(due, &Totals { failed: 1, ..Totals::default() });
        if self.counts(due) {
            self.summary.errors.add(kind, error);
            self.summary.last = now;
        }
    }

    /// No further calls are made. Only the first time counts.
    pub(super) fn close_window(&mut self, at: Nanos) {
        let totals = self.summary.totals;
        self.summary.window.get_or_insert_with(|| (at.max(self.from), totals));
    }

    /// Nothing more ends.
    pub(super) fn end(mut self, now: Nanos) -> Summary {
        self.hand_over(now);
        self.summary
    }

    fn note(&mut self, due: Nanos, totals: &Totals) {
        if self.counts(due) {
            self.chunk.totals.add(totals);
            self.summary.totals.add(totals);
        } else if self.chunk.tick.is_none() {
            // Whoever looks on sees that something happens.
            self.chunk.totals.add(totals);
        }
    }

    fn hand_over(&mut self, now: Nanos) {
        let tick = now.checked_sub(self.from).map(|since| since / TICK);
        self.tick_ends = match tick {
            Some(tick) => self.from + (tick + 1) * TICK,
            None => self.from.min(now + TICK),
        };
        let chunk = std::mem::replace(&mut self.chunk, Chunk::new(tick));
        if chunk.totals != Totals::default() {
            // Who listens no more has heard enough.
            let _ = self.words.send(Word::Chunk(chunk));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;

    #[test]
    fn calls_count_from_when_they_were_due_and_stand_where_they_ended() {
        let (words, mut heard) = unbounded_channel();
        let mut recorder = Recorder::new(words, 2 * TICK);
        for (due, ended) in [(0, 1), (0, 2 * TICK + 1), (2 * TICK, 2 * TICK + 2), (2 * TICK, 5 * TICK)] {
            recorder.due(due);
            recorder.advance(ended);
            recorder.answered(due, ended, 10, 20);
        }
        recorder.failed(3 * TICK, 5 * TICK, Kind::WrongAnswer, None);
        let summary = recorder.end(6 * TICK);
        assert_eq!(summary.due, 2);
        assert_eq!(summary.totals, Totals { answered: 2, failed: 1, sent_bytes: 20, received_bytes: 40 });
        assert_eq!(summary.last, 5 * TICK);
        let chunks: Vec<Chunk> = std::iter::from_fn(|| match heard.try_recv() {
            Ok(Word::Chunk(chunk)) => Some(chunk),
            _ => None,
        })
        .collect();
        let seen: Vec<_> = chunks
            .iter()
            .map(|chunk| (chunk.tick, chunk.totals.answered, chunk.totals.failed, chunk.latencies.len()))
            .collect();
        // The first was not measured, the second was due before the measurement.
        assert_eq!(seen, [(None, 1, 0, 0), (Some(0), 1, 0, 1), (Some(3), 1, 1, 1)]);
        assert!(chunks[2].latencies.max() >= 3 * TICK);
    }

    #[test]
    fn what_ends_after_the_window_is_no_throughput() {
        let mut recorder = Recorder::new(unbounded_channel().0, TICK);
        recorder.answered(TICK, TICK + 5, 1, 1);
        recorder.close_window(2 * TICK);
        recorder.answered(TICK, 3 * TICK, 1, 1);
        recorder.close_window(3 * TICK);
        let summary = recorder.end(3 * TICK);
        let (at, within) = summary.window.unwrap();
        assert_eq!((at, within.answered, summary.totals.answered), (2 * TICK, 1, 2));
    }
}
