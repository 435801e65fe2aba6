//! How long bytes take to leave, where a link carries only so many per second.
//!
//! What is written is sent in packets, one after another: each begins when the one before it has left, and arrives as a
//! whole. So a write of many bytes does not arrive all at once, and a link that was idle has saved nothing.

use core::num::NonZeroU32;
use core::time::Duration;

use crate::time::Instant;

/// The largest packet, in bytes: what most links carry as one.
const PACKET: usize = 1500;

/// A link of limited speed, or of none.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    bytes_per_second: Option<NonZeroU32>,
    /// When all that was written has left.
    free: Instant,
}

impl Rate {
    pub(super) const fn new(bytes_per_second: Option<NonZeroU32>) -> Self {
        Self { bytes_per_second, free: Instant::EPOCH }
    }

    /// How much of so many bytes goes as the next packet, and when it has left.
    pub(super) fn send(&mut self, now: Instant, bytes: usize) -> (usize, Instant) {
        let Some(rate) = self.bytes_per_second else { return (bytes, now) };
        let packet = bytes.min(PACKET);
        let nanos = (packet as u64 * 1_000_000_000).div_ceil(u64::from(rate.get()));
        self.free = self.free.max(now) + Duration::from_nanos(nanos);
        (packet, self.free)
    }

    /// When all that was written has left.
    pub(super) fn free(&self, now: Instant) -> Instant {
        self.free.max(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_link_without_a_rate_takes_all_at_once() {
        let now = Instant::from_nanos(5);
        assert_eq!(Rate::new(None).send(now, 1 << 20), (1 << 20, now));
    }

    #[test]
    fn an_idle_link_saves_nothing() {
        let mut rate = Rate::new(NonZeroU32::new(1000));
        let later = Instant::from_nanos(60_000_000_000);
        assert_eq!(rate.send(Instant::EPOCH, 500), (500, Instant::from_nanos(500_000_000)));
        assert_eq!(rate.send(later, 500), (500, later + Duration::from_millis(500)));
        assert_eq!(rate.free(later), later + Duration::from_millis(500));
    }

    proptest! {
        /// However bytes are written, a busy link carries as many as its rate says, and not one more.
        #[test]
        fn a_busy_link_keeps_its_rate(per_second in 1u32..10_000_000, writes in prop::collection::vec(1usize..50_000, 1..50)) {
            let mut rate = Rate::new(NonZeroU32::new(per_second));
            let (mut sent, mut packets) = (0u64, 0u64);
            for write in writes {
                let mut rest = write;
                while rest > 0 {
                    let (packet, _) = rate.send(Instant::EPOCH, rest);
                    prop_assert!((1..=PACKET.min(rest)).contains(&packet));
                    (rest, sent, packets) = (rest - packet, sent + packet as u64, packets + 1);
                }
            }
            let exact = u128::from(sent) * 1_000_000_000 / u128::from(per_second);
            let took = u128::from(rate.free(Instant::EPOCH).as_nanos());
            prop_assert!((exact..=exact + u128::from(packets)).contains(&took), "{took} ns in place of {exact}");
        }
    }
}
