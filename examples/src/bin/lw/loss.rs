//! What to tell of a stream of calls whose connection was lost for good, or took with it what cannot be called again.

use adapter_tokio::Delivery;

use crate::exit::{Exit, Failure};
use crate::units::grouped;

/// The loss, and what has become of the lines that were under way.
#[derive(Debug)]
pub(crate) struct Loss {
    line: u64,
    reason: String,
    may_have_run: u64,
    not_sent: u64,
}

impl Loss {
    /// The first line that was lost, and why.
    pub(crate) const fn new(line: u64, reason: String) -> Self {
        Self { line, reason, may_have_run: 0, not_sent: 0 }
    }

    /// One more line, the first one included.
    pub(crate) const fn count(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::MaybeSent => self.may_have_run += 1,
            Delivery::NotSent => self.not_sent += 1,
        }
    }

    pub(crate) fn failure(&self, answered: u64) -> Failure {
        let Self { line, reason, may_have_run, not_sent } = self;
        let text = format!(
            "line {}: {reason}; answered: {}, may have been run without an answer: {}, \
             not sent: {} and all after",
            grouped(*line),
            grouped(answered),
            grouped(*may_have_run),
            grouped(*not_sent)
        );
        Failure::new(Exit::Lost, text)
    }
}
