//! What is known of calls once they have ended: counts, times, and what went wrong.

use std::fmt;

use adapter_tokio::{CallError, Delivery, StatusCode};
use hdrhistogram::Histogram;

use super::clock::Nanos;
use crate::exit::shorten;

/// Kinds of errors that are told apart. A server has 2³² statuses to choose from.
const MOST_KINDS: usize = 32;

/// Counts of calls that have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) answered: u64,
    pub(super) failed: u64,
    /// Bytes of the bodies of calls that were answered, and of their answers.
    pub(super) sent_bytes: u64,
    pub(super) received_bytes: u64,
}

impl Totals {
    pub(super) const fn ended(&self) -> u64 {
        self.answered + self.failed
    }

    pub(super) const fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.sent_bytes += other.sent_bytes;
        self.received_bytes += other.received_bytes;
    }
}

/// What a call can come to, if not to the answer that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server answered with an error.
    Status(StatusCode),
    TimedOut(Delivery),
    Lost(Delivery),
    /// The answer came when too many others waited.
    Discarded,
    /// The answer is not what was sent.
    WrongAnswer,
    /// It was due when too many others waited to be sent.
    BacklogFull,
    /// Further kinds, when there are too many.
    Other,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Status(code) => return code.fmt(f),
            Self::TimedOut(Delivery::MaybeSent) => "timed out",
            Self::TimedOut(Delivery::NotSent) => "timed out before it was sent",
            Self::Lost(Delivery::MaybeSent) => "connection lost",
            Self::Lost(Delivery::NotSent) => "connection lost before it was sent",
            Self::Discarded => "answer dropped",
            Self::WrongAnswer => "wrong answer",
            Self::BacklogFull => "backlog full",
            Self::Other => "other",
        };
        f.write_str(text)
    }
}

/// How many calls failed of each kind, with what was said the first time.
#[derive(Clone, Debug, Default)]
pub(super) struct Errors(Vec<ErrorCount>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ErrorCount {
    pub(super) kind: Kind,
    pub(super) count: u64,
    pub(super) example: Option<String>,
}

impl Errors {
    /// One more of a kind, and what came of it.
    pub(super) fn add(&mut self, kind: Kind, error: Option<&CallError>) {
        self.add_many(kind, 1, || match error? {
            CallError::Status(status) if !status.body.is_empty() => Some(shorten(&status.text())),
            CallError::Lost { reason, .. } => {
                let reason = reason.to_string();
                Some(reason.strip_prefix("connection lost: ").unwrap_or(&reason).to_owned())
            }
            // The kind says it all.
            _ => None,
        });
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for ErrorCount { kind, count, example } in &other.0 {
            self.add_many(*kind, *count, || example.clone());
        }
    }

    /// The most frequent one first.
    pub(super) fn sorted(&self) -> Vec<ErrorCount> {
        let mut all = self.0.clone();
        all.sort_by_key(|error| std::cmp::Reverse(error.count));
        all
    }

    fn add_many(&mut self, kind: Kind, count: u64, example: impl FnOnce() -> Option<String>) {
        let full = self.0.len() >= MOST_KINDS;
        if let Some(known) = self.0.iter_mut().find(|known| known.kind == kind) {
            known.count += count;
        } else if full && kind != Kind::Other {
            self.add_many(Kind::Other, count, example);
        } else {
            self.0.push(ErrorCount { kind, count, example: example() });
        }
    }
}

/// What has ended within one tick, as a thread hands it over.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    /// Which tick; `None` is before the measurement.
    pub(super) tick: Option<u64>,
    pub(super) totals: Totals,
    /// Nanoseconds that answers took.
    pub(super) latencies: Histogram<u64>,
}

impl Chunk {
    pub(super) fn new(tick: Option<u64>) -> Self {
        Self { tick, totals: Totals::default(), latencies: histogram(3) }
    }
}

/// An empty histogram with so many significant digits. It grows as it must.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    Histogram::new(digits).expect("up to 5 digits are possible")
}

/// Adds a time. It has room for every one, because it grows.
pub(super) fn record(histogram: &mut Histogram<u64>, latency: Nanos) {
    histogram.record(latency.max(1)).expect("it grows");
}

/// Adds all that is in another one.
pub(super) fn merge(histogram: &mut Histogram<u64>, other: &Histogram<u64>) {
    histogram.add(other).expect("it grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_tokio::Status;

    #[test]
    fn errors_are_counted_by_kind() {
        let mut errors = Errors::default();
        let status = CallError::Status(Box::new(Status::new(StatusCode::OVERLOADED, "too much")));
        errors.add(Kind::WrongAnswer, None);
        errors.add(Kind::Status(StatusCode::OVERLOADED), Some(&status));
        errors.add(Kind::Status(StatusCode::OVERLOADED), None);
        let mut both = errors.clone();
        both.merge(&errors);
        let found = both.sorted();
        assert_eq!(found.iter().map(|error| error.count).collect::<Vec<_>>(), [4, 2]);
        assert_eq!(found[0].example.as_deref(), Some("too much"));
    }

    #[test]
    fn a_server_that_invents_statuses_does_not_fill_the_memory() {
        let mut errors = Errors::default();
        for code in 0..1000 {
            errors.add(Kind::Status(StatusCode(code)), None);
        }
        let found = errors.sorted();
        assert_eq!(found.len(), MOST_KINDS + 1);
        assert_eq!((found[0].kind, found[0].count), (Kind::Other, 1000 - MOST_KINDS as u64));
    }

    #[test]
    fn histograms_take_every_time() {
        let mut all = histogram(3);
        for time in [0, 1, 1_000_000, Nanos::MAX] {
            record(&mut all, time);
        }
        let mut coarse = histogram(2);
        merge(&mut coarse, &all);
        assert_eq!((all.len(), coarse.len()), (4, 4));
        assert!(coarse.max() > Nanos::MAX / 100 * 99);
    }
}
