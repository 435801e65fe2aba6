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

/// How much a receiving side takes: what its configuration says, so that no account need keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) size: u64,
    /// What one largest message is charged: the peer never waits for credit with less than this left.
    pub(super) largest: u64,
}

/// One account on the receiving side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ReceiveAccount {
    charged: u64,
    returned: u64,
    /// What had been returned when the last grant was announced.
    announced: u64,
}

impl ReceiveAccount {
    /// The peer sent a message.
    pub(super) const fn charge(&mut self, charge: u64, window: Window) -> Result<(), ProtocolError> {
        // Compared as differences, so that the totals may wrap after 2^64 bytes and nothing happens.
        let outstanding = self.charged.wrapping_sub(self.announced);
        if charge > window.size - outstanding {
            return Err(ProtocolError::CreditExceeded);
        }
        self.charged = self.charged.wrapping_add(charge);
        Ok(())
    }

    /// The peer sent a message, and knows nothing of credit.
    pub(super) const fn charge_freely(&mut self, charge: u64) {
        self.charged = self.charged.wrapping_add(charge);
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
    pub(super) const fn is_grant_due(&self, window: Window) -> bool {
        let unannounced = self.returned.wrapping_sub(self.announced);
        let left = window.size - self.charged.wrapping_sub(self.announced);
        unannounced > 0 && (unannounced >= window.size.div_ceil(2) || left < window.largest)
    }

    /// The grant to announce, which counts as announced from now on.
    pub(super) const fn announce(&mut self, window: Window) -> u64 {
        self.announced = self.returned;
        self.returned.saturating_add(window.size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn window(size: u64, largest: u64) -> Window {
        Window { size, largest }
    }

    /// LW-6.1: the sum of charges never exceeds the grant, to the byte.
    #[test]
    fn an_account_is_exact_to_the_byte() {
        let mut sender = SendAccount::new(100);
        let (mut receiver, window) = (ReceiveAccount::default(), window(100, 0));
        assert!(sender.take(60) && sender.take(40) && !sender.take(1));
        assert_eq!(receiver.charge(60, window), Ok(()));
        assert_eq!(receiver.charge(41, window), Err(ProtocolError::CreditExceeded));
        assert_eq!(receiver.charge(40, window), Ok(()));
        receiver.give_back(60);
        // Not yet announced, so not yet granted.
        assert_eq!(receiver.charge(1, window), Err(ProtocolError::CreditExceeded));
        let grant = receiver.announce(window);
        assert_eq!(sender.grant(grant), Ok(()));
        assert!(sender.take(60) && !sender.take(1));
        assert_eq!(receiver.charge(60, window), Ok(()));
        assert_eq!(receiver.charge(1, window), Err(ProtocolError::CreditExceeded));
    }

    /// LW-6.4: a grant is due when half of the window has been returned.
    #[test]
    fn a_grant_is_due_at_half_of_the_window() {
        let (mut account, window) = (ReceiveAccount::default(), window(101, 0));
        assert_eq!(account.charge(101, window), Ok(()));
        account.give_back(50);
        assert!(!account.is_grant_due(window));
        account.give_back(1);
        assert!(account.is_grant_due(window));
        account.announce(window);
        assert!(!account.is_grant_due(window));
    }

    /// LW-6.4: a sender that wants to send one largest message is never left waiting for a grant that is not due.
    #[test]
    fn a_largest_message_always_gets_its_credit() {
        for size in 100..=250 {
            let window = window(size, 100);
            for first in 64..=100 {
                let mut sender = SendAccount::new(size);
                let mut receiver = ReceiveAccount::default();
                for charge in [first, 100, first, 100, 100] {
                    if receiver.is_grant_due(window) {
                        assert_eq!(sender.grant(receiver.announce(window)), Ok(()));
                    }
                    assert!(sender.take(charge), "window {size}: no credit for {charge} after {first}");
                    assert_eq!(receiver.charge(charge, window), Ok(()));
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
        let (mut account, window) = (ReceiveAccount::default(), window(100, 0));
        account.give_back(1000);
        assert_eq!(account.announce(window), 100);
        assert_eq!(account.charge(101, window), Err(ProtocolError::CreditExceeded));
    }
}
