//! Credit in bytes: what this side may send, and what it has granted (LW-6.1 to LW-6.4).

use crate::error::ProtocolError;

/// One account on the sending side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SendAccount {
    granted: u64,
    charged: u64,
}

impl SendAccount {
    pub(super) const fn new(window: u64) -> Self {
        Self { granted: window, charged: 0 }
    }

    /// Takes `charge` from the account if it is there.
    pub(super) const fn take(&mut self, charge: u64) -> bool {
        let enough = charge <= self.granted - self.charged;
        if enough {
            self.charged += charge;
        }
        enough
    }

    /// Puts back what was taken for a message that is not sent after all.
    pub(super) const fn put_back(&mut self, charge: u64) {
        self.charged -= charge;
    }

    /// Takes note of a new grant.
    pub(super) const fn grant(&mut self, granted: u64) -> Result<(), ProtocolError> {
        if granted < self.granted {
            return Err(ProtocolError::BadCredit);
        }
        self.granted = granted;
        Ok(())
    }
}

/// One account on the receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReceiveAccount {
    window: u64,
    /// What one largest message is charged: the peer never waits for credit with less than this left.
    largest: u64,
    charged: u64,
    returned: u64,
    /// What had been returned when the last grant was announced.
    announced: u64,
}

impl ReceiveAccount {
    pub(super) const fn new(window: u64, largest: u64) -> Self {
        Self { window, largest, charged: 0, returned: 0, announced: 0 }
    }

    /// The peer sent a message.
    pub(super) const fn charge(&mut self, charge: u64) -> Result<(), ProtocolError> {
        // Compared as differences, so that the totals may wrap after 2^64 bytes and nothing happens.
        let outstanding = self.charged.wrapping_sub(self.announced);
        if charge > self.window - outstanding {
            return Err(ProtocolError::CreditExceeded);
        }
        self.charged = self.charged.wrapping_add(charge);
        Ok(())
    }

    /// What has been charged and not returned.
    pub(super) const fn outstanding(&self) -> u64 {
        self.charged.wrapping_sub(self.returned)
    }

    /// The application, or the protocol, is done with a message.
    pub(super) const fn give_back(&mut self, charge: u64) {
        let outstanding = self.outstanding();
        let charge = if charge < outstanding { charge } else { outstanding };
        self.returned = self.returned.wrapping_add(charge);
    }

    /// Whether the peer should hear of what has been given back (LW-6.4): it is much, or the peer may be waiting for it.
    pub(super) const fn is_grant_due(&self) -> bool {
        let unannounced = self.returned.wrapping_sub(self.announced);
        let left = self.window - self.charged.wrapping_sub(self.announced);
        unannounced > 0 && (unannounced >= self.window.div_ceil(2) || left < self.largest)
    }

    /// The grant to announce, which counts as announced from now on.
    pub(super) const fn announce(&mut self) -> u64 {
        self.announced = self.returned;
        self.returned.saturating_add(self.window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// LW-6.1: the sum of charges never exceeds the grant, to the byte.
    #[test]
    fn an_account_is_exact_to_the_byte() {
        let mut sender = SendAccount::new(100);
        let mut receiver = ReceiveAccount::new(100, 0);
        assert!(sender.take(60) && sender.take(40) && !sender.take(1));
        assert_eq!(receiver.charge(60), Ok(()));
        assert_eq!(receiver.charge(41), Err(ProtocolError::CreditExceeded));
        assert_eq!(receiver.charge(40), Ok(()));
        receiver.give_back(60);
        // Not yet announced, so not yet granted.
        assert_eq!(receiver.charge(1), Err(ProtocolError::CreditExceeded));
        let grant = receiver.announce();
        assert_eq!(sender.grant(grant), Ok(()));
        assert!(sender.take(60) && !sender.take(1));
        assert_eq!(receiver.charge(60), Ok(()));
        assert_eq!(receiver.charge(1), Err(ProtocolError::CreditExceeded));
    }

    /// LW-6.4: a grant is due when half of the window has been returned.
    #[test]
    fn a_grant_is_due_at_half_of_the_window() {
        let mut account = ReceiveAccount::new(101, 0);
        assert_eq!(account.charge(101), Ok(()));
        account.give_back(50);
        assert!(!account.is_grant_due());
        account.give_back(1);
        assert!(account.is_grant_due());
        account.announce();
        assert!(!account.is_grant_due());
    }

    /// LW-6.4: a sender that wants to send one largest message is never left waiting for a grant that is not due.
    #[test]
    fn a_largest_message_always_gets_its_credit() {
        for window in 100..=250 {
            for first in 64..=100 {
                let mut sender = SendAccount::new(window);
                let mut receiver = ReceiveAccount::new(window, 100);
                for charge in [first, 100, first, 100, 100] {
                    if receiver.is_grant_due() {
                        assert_eq!(sender.grant(receiver.announce()), Ok(()));
                    }
                    assert!(sender.take(charge), "window {window}: no credit for {charge} after {first}");
                    assert_eq!(receiver.charge(charge), Ok(()));
                    receiver.give_back(charge);
                }
            }
        }
    }

    /// LW-6.2: a grant that goes back is an error.
    #[test]
    fn a_grant_does_not_go_back() {
        let mut account = SendAccount::new(100);
        assert_eq!(account.grant(100), Ok(()));
        assert_eq!(account.grant(99), Err(ProtocolError::BadCredit));
    }

    #[test]
    fn more_than_was_charged_cannot_be_given_back() {
        let mut account = ReceiveAccount::new(100, 0);
        account.give_back(1000);
        assert_eq!(account.announce(), 100);
        assert_eq!(account.charge(101), Err(ProtocolError::CreditExceeded));
    }
}
