//! What to do when accepting fails: go on, and do not spin.
//!
//! Some errors belong to one connection that has gone before it was taken; the next one may be tried at once. All
//! others, first of all a lack of descriptors, hold until something else changes: trying again at once would burn a core
//! and achieve nothing, and giving up would end a server that is fine a moment later.

use core::time::Duration;
use std::io::{Error, ErrorKind};

const SHORTEST: Duration = Duration::from_millis(5);
const LONGEST: Duration = Duration::from_secs(1);

/// How long to wait after each of several failures in a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct AcceptBackoff {
    next: Duration,
}

impl AcceptBackoff {
    pub(super) const fn new() -> Self {
        Self { next: SHORTEST }
    }

    /// A connection was taken: all is well again.
    pub(super) fn succeed(&mut self) {
        self.next = SHORTEST;
    }

    /// Accepting failed: how long to wait, if at all.
    pub(super) fn fail(&mut self, error: &Error) -> Option<Duration> {
        match error.kind() {
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted => None,
            _ => {
                let wait = self.next;
                self.next = (wait * 2).min(LONGEST);
                Some(wait)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lack_of_descriptors_is_waited_out_and_a_lost_connection_is_not() {
        let mut backoff = AcceptBackoff::new();
        let no_descriptors = Error::from_raw_os_error(24);
        let waits: alloc::vec::Vec<_> = (0..10).filter_map(|_| backoff.fail(&no_descriptors)).collect();
        assert_eq!(waits.first(), Some(&SHORTEST));
        assert_eq!(waits.last(), Some(&LONGEST));
        assert!(waits.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(backoff.fail(&ErrorKind::ConnectionAborted.into()), None);
        backoff.succeed();
        assert_eq!(backoff.fail(&no_descriptors), Some(SHORTEST));
    }
}
