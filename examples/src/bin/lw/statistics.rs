//! What a run of calls comes to: how many were answered, and how long that took.

use std::time::Duration;

use crate::json::Object;
use crate::units::grouped;

/// Times are summed up as they come, so that a run may last for ever.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    pub(crate) sent: u64,
    answered: u64,
    /// Milliseconds.
    min: f64,
    max: f64,
    mean: f64,
    /// The sum of the squares of all distances from the mean (B. P. Welford, 1962).
    squares: f64,
}

impl Statistics {
    pub(crate) fn answer(&mut self, time: Duration) {
        let time = time.as_secs_f64() * 1e3;
        self.min = if self.answered == 0 { time } else { self.min.min(time) };
        self.max = self.max.max(time);
        self.answered += 1;
        let off = time - self.mean;
        self.mean += off / self.answered as f64;
        self.squares += off * (time - self.mean);
    }

    pub(crate) const fn answered(&self) -> u64 {
        self.answered
    }

    /// A call that is neither answered nor lost does not count.
    pub(crate) const fn forget(&mut self, calls: u64) {
        self.sent -= calls;
    }

    fn deviation(&self) -> f64 {
        if self.answered == 0 { 0.0 } else { (self.squares / self.answered as f64).sqrt() }
    }

    pub(crate) fn text(&self, connections_lost: u64) -> String {
        let Self { sent, answered, min, max, mean, .. } = *self;
        let lost = sent - answered;
        let share = if sent == 0 { 0.0 } else { 100.0 * lost as f64 / sent as f64 };
        let text = format!(
            "{} sent, {} answered, {} lost ({share:.1} %), connections lost: {}",
            grouped(sent),
            grouped(answered),
            grouped(lost),
            grouped(connections_lost)
        );
        if answered == 0 {
            return text;
        }
        let deviation = self.deviation();
        format!("{text}\ntime min/avg/max/mdev = {min:.3}/{mean:.3}/{max:.3}/{deviation:.3} ms")
    }

    pub(crate) fn json(&self, connections_lost: u64) -> String {
        let Self { sent, answered, min, max, mean, .. } = *self;
        let object = Object::new()
            .plain("sent", sent)
            .plain("answered", answered)
            .plain("lost", sent - answered)
            .plain("connections_lost", connections_lost);
        if answered == 0 {
            return object.end();
        }
        let times = [("min_ms", min), ("avg_ms", mean), ("max_ms", max), ("mdev_ms", self.deviation())];
        times.into_iter().fold(object, |object, (key, ms)| object.plain(key, format_args!("{ms:.3}"))).end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_summed_up() {
        let mut statistics = Statistics::default();
        assert_eq!(statistics.text(0), "0 sent, 0 answered, 0 lost (0.0 %), connections lost: 0");
        statistics.sent = 6;
        for ms in [2, 4, 4, 5, 10] {
            statistics.answer(Duration::from_millis(ms));
        }
        let text = "6 sent, 5 answered, 1 lost (16.7 %), connections lost: 1\n\
                    time min/avg/max/mdev = 2.000/5.000/10.000/2.683 ms";
        assert_eq!(statistics.text(1), text);
        let json = "{\"sent\":6,\"answered\":5,\"lost\":1,\"connections_lost\":1,\"min_ms\":2.000,\"avg_ms\":5.000,\
                    \"max_ms\":10.000,\"mdev_ms\":2.683}";
        assert_eq!(statistics.json(1), json);
        statistics.forget(1);
        assert_eq!(statistics.sent, 5);
    }
}
