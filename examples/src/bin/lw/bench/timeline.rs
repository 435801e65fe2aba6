//! How a run went over time: intervals that become longer with the run, so that a long one takes no more memory.

use hdrhistogram::Histogram;

use super::clock::Nanos;
use super::recorder::TICK;
use super::sample::{Chunk, Totals, histogram, merge};

/// Most intervals. A chart has no more room.
const MOST: usize = 240;

#[derive(Clone, Debug)]
pub(super) struct Timeline {
    length: Nanos,
    intervals: Vec<Interval>,
}

/// What ended in a part of the time.
#[derive(Clone, Debug)]
pub(super) struct Interval {
    pub(super) totals: Totals,
    pub(super) latencies: Histogram<u64>,
}

/// An interval with its place in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span<'a> {
    pub(super) begin: Nanos,
    pub(super) length: Nanos,
    pub(super) interval: &'a Interval,
}

impl Default for Timeline {
    fn default() -> Self {
        Self { length: TICK, intervals: Vec::new() }
    }
}

impl Timeline {
    /// Adds what a thread has handed over of the measurement.
    pub(super) fn add(&mut self, chunk: &Chunk) {
        let Some(tick) = chunk.tick else { return };
        let place = |length: Nanos| (tick * TICK / length) as usize;
        while place(self.length) >= MOST {
            self.halve();
        }
        let place = place(self.length);
        while self.intervals.len() <= place {
            self.intervals.push(Interval { totals: Totals::default(), latencies: histogram(2) });
        }
        self.intervals[place].add(&chunk.totals, &chunk.latencies);
    }

    /// The intervals of a run that took so long, in order. The last one is as long as it was.
    pub(super) fn spans(&self, end: Nanos) -> Vec<Span<'_>> {
        let span = |(number, interval)| {
            let begin = number as Nanos * self.length;
            // The last answer may come a moment after what was looked at last.
            Span { begin, length: self.length.min(end.saturating_sub(begin)).max(1), interval }
        };
        self.intervals.iter().enumerate().map(span).collect()
    }

    /// Puts two and two intervals together.
    fn halve(&mut self) {
        self.length *= 2;
        let mut all = std::mem::take(&mut self.intervals).into_iter();
        while let Some(mut one) = all.next() {
            if let Some(two) = all.next() {
                one.add(&two.totals, &two.latencies);
            }
            self.intervals.push(one);
        }
    }
}

impl Interval {
    fn add(&mut self, totals: &Totals, latencies: &Histogram<u64>) {
        self.totals.add(totals);
        merge(&mut self.latencies, latencies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::sample::record;

    fn chunk(tick: u64, latency: Nanos) -> Chunk {
        let mut chunk = Chunk::new(Some(tick));
        chunk.totals.answered = 1;
        record(&mut chunk.latencies, latency);
        chunk
    }

    #[test]
    fn nothing_is_lost_however_long_it_goes_on() {
        let mut timeline = Timeline::default();
        for tick in 0..10_000 {
            timeline.add(&chunk(tick, tick + 1));
        }
        let spans = timeline.spans(10_000 * TICK);
        assert!((MOST / 2..=MOST).contains(&spans.len()), "{}", spans.len());
        assert_eq!(spans.iter().map(|span| span.interval.totals.answered).sum::<u64>(), 10_000);
        assert_eq!(spans.iter().map(|span| span.interval.latencies.len()).sum::<u64>(), 10_000);
        assert_eq!(spans.iter().map(|span| span.length).sum::<u64>(), 10_000 * TICK);
        assert!(spans.windows(2).all(|two| two[0].begin + two[0].length == two[1].begin));
        let medians: Vec<_> =
            spans.iter().map(|span| span.interval.latencies.value_at_quantile(0.5)).collect();
        assert!(medians.is_sorted(), "{medians:?}");
    }

    #[test]
    fn times_without_answers_have_their_place() {
        let mut timeline = Timeline::default();
        timeline.add(&chunk(5, 1));
        timeline.add(&Chunk::new(None));
        timeline.add(&chunk(2, 1));
        let spans = timeline.spans(5 * TICK + TICK / 4);
        let answered: Vec<_> = spans.iter().map(|span| span.interval.totals.answered).collect();
        assert_eq!(answered, [0, 0, 1, 0, 0, 1]);
        assert_eq!(spans[5].length, TICK / 4);
    }
}
