//! What each side did and observed, and what must hold for it whatever the scenario was.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto_core::wire::StatusCode;
use proto_core::{CloseCode, CloseReason, Delivery, Instant, Lane, Refusal, Role};

use super::label::Label;
use crate::{BOTH, LANES, other};

/// One thing that a side did or observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It called, and the call was accepted. Calls and pushes are numbered together.
    Called(u32),
    /// It pushed, and the push was accepted.
    Pushed(u32),
    /// It wanted to call or to push, and was refused for good.
    Refused(u32, Refusal),
    /// It gave a call up, and was told this.
    Cancelled(u32, Option<Delivery>),
    /// It replied to this call of the peer.
    Replied(u32, Result<(), Refusal>),
    /// It began to bring its connection to an end.
    Draining,
    /// It closed.
    Closing,
    /// The peer, or a limit, began to bring the connection to an end.
    Drained(CloseCode),
    /// The peer gave up a call that it is answering.
    GivenUp(u32),
    /// Its handshake is over.
    Opened,
    /// The peer called.
    Requested(Label, Lane),
    /// The peer pushed.
    Received(Label, Lane),
    /// A call ended with a reply. The label is that of its body, if it has one.
    Answered(u32, StatusCode, Option<Label>),
    /// A call ended since too many replies waited.
    Discarded(u32),
    /// A call ended at its deadline.
    TimedOut(u32, Delivery),
    /// A call ended with its connection.
    Lost(u32, Delivery),
    /// It may try again.
    Writable,
    /// The connection ended.
    Closed(CloseReason),
    /// It observed what no peer did.
    Nonsense(String),
}

impl Entry {
    /// The call that ends by this.
    pub const fn ended(&self) -> Option<u32> {
        match self {
            Self::Answered(number, ..)
            | Self::Discarded(number)
            | Self::TimedOut(number, _)
            | Self::Lost(number, _) => Some(*number),
            _ => None,
        }
    }

    /// The call of which this says that the peer cannot have seen it.
    const fn not_sent(&self) -> Option<u32> {
        match self {
            Self::TimedOut(number, Delivery::NotSent)
            | Self::Lost(number, Delivery::NotSent)
            | Self::Cancelled(number, Some(Delivery::NotSent)) => Some(*number),
            _ => None,
        }
    }

    /// Whether the connection said it, rather than the application did it.
    const fn is_event(&self) -> bool {
        !matches!(
            self,
            Self::Called(_)
                | Self::Pushed(_)
                | Self::Refused(..)
                | Self::Cancelled(..)
                | Self::Replied(..)
                | Self::Draining
                | Self::Closing
        )
    }
}

/// One side's part of a [`Trace`], with the virtual time of each entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side(pub Vec<(Instant, Entry)>);

impl Side {
    /// The entries without their times.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.0.iter().map(|(_, entry)| entry)
    }

    /// How many entries are like this.
    pub fn count(&self, like: impl Fn(&Entry) -> bool) -> usize {
        self.entries().filter(|entry| like(entry)).count()
    }

    /// How many calls were answered with success.
    pub fn replies(&self) -> usize {
        self.count(|entry| matches!(entry, Entry::Answered(_, StatusCode::OK, _)))
    }

    /// Why the connection ended, if it has.
    pub fn reason(&self) -> Option<&CloseReason> {
        self.entries().find_map(|entry| match entry {
            Entry::Closed(reason) => Some(reason),
            _ => None,
        })
    }

    /// How each call ended, by number.
    pub fn outcomes(&self) -> BTreeMap<u32, &Entry> {
        self.entries().filter_map(|entry| Some((entry.ended()?, entry))).collect()
    }

    /// The numbers of the peer's calls and of its pushes, lane by lane, in the order in which they came.
    pub fn received(&self) -> (Vec<u32>, Vec<u32>) {
        let (mut calls, mut pushes) = (Vec::new(), Vec::new());
        for lane in LANES {
            for entry in self.entries() {
                match entry {
                    Entry::Requested(label, own) if *own == lane => calls.push(label.number),
                    Entry::Received(label, own) if *own == lane => pushes.push(label.number),
                    _ => {}
                }
            }
        }
        (calls, pushes)
    }

    fn numbers_in_order(&self, of: impl Fn(&Entry) -> Option<u32>) -> Vec<u32> {
        self.entries().filter_map(of).collect()
    }

    fn numbers(&self, of: impl Fn(&Entry) -> Option<u32>) -> BTreeSet<u32> {
        self.entries().filter_map(of).collect()
    }
}

/// What both sides did and observed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    dialer: Side,
    acceptor: Side,
}

/// A promise that a trace breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

macro_rules! promise {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(Violation(format!($($message)+)));
        }
    };
}

impl Trace {
    /// One side's part.
    pub const fn side(&self, role: Role) -> &Side {
        match role {
            Role::Acceptor => &self.acceptor,
            Role::Dialer => &self.dialer,
        }
    }

    /// Adds to one side's part.
    pub fn record(&mut self, role: Role, now: Instant, entry: Entry) {
        let side = match role {
            Role::Acceptor => &mut self.acceptor,
            Role::Dialer => &mut self.dialer,
        };
        side.0.push((now, entry));
    }

    /// What must hold for every trace of a scenario that was played to its end.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check(&self) -> Result<(), Violation> {
        for role in BOTH {
            self.check_sense(role)?;
            self.check_outcomes(role)?;
            self.check_replies(role)?;
            self.check_order(role)?;
            self.check_delivery(role)?;
            self.check_end(role)?;
        }
        Ok(())
    }

    /// What must hold beside [`check`](Self::check) if this side closed, the pipes were whole and the other side
    /// neither closed nor gave up before: all that was accepted before the close has arrived.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn check_arrival(&self, role: Role) -> Result<(), Violation> {
        let sent = self.side(role);
        let (calls, pushes) = self.side(other(role)).received();
        let withdrawn = sent.numbers(Entry::not_sent);
        for entry in sent.entries() {
            match entry {
                Entry::Closing => break,
                Entry::Called(number) if !withdrawn.contains(number) => {
                    promise!(
                        calls.contains(number),
                        "call {number} of the {role:?} was accepted before it closed, and never arrived"
                    );
                }
                Entry::Pushed(number) => {
                    promise!(
                        pushes.contains(number),
                        "push {number} of the {role:?} was accepted before it closed, and never arrived"
                    );
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_sense(&self, role: Role) -> Result<(), Violation> {
        for entry in self.side(role).entries() {
            if let Entry::Nonsense(what) = entry {
                return Err(Violation(format!("the {role:?} observed what no peer did: {what}")));
            }
        }
        Ok(())
    }

    /// Exactly one outcome for each accepted call, and none for one that was cancelled in time.
    fn check_outcomes(&self, role: Role) -> Result<(), Violation> {
        let side = self.side(role);
        let mut ends: BTreeMap<u32, Vec<&Entry>> = BTreeMap::new();
        for entry in side.entries() {
            if let Some(number) = entry.ended() {
                ends.entry(number).or_default().push(entry);
            }
        }
        let called = side.numbers(|entry| match entry {
            Entry::Called(number) => Some(*number),
            _ => None,
        });
        let cancelled = side.numbers(|entry| match entry {
            Entry::Cancelled(number, Some(_)) => Some(*number),
            _ => None,
        });
        for number in &called {
            let ended = ends.remove(number).unwrap_or_default();
            let expected = usize::from(!cancelled.contains(number));
            promise!(
                ended.len() == expected,
                "call {number} of the {role:?} must end {expected} times (0 if it was cancelled), and ended so: {ended:?}"
            );
        }
        promise!(ends.is_empty(), "calls of the {role:?} ended that were never accepted: {ends:?}");
        Ok(())
    }

    /// A reply belongs to its call, and was given by the peer.
    fn check_replies(&self, role: Role) -> Result<(), Violation> {
        let replied = self.side(other(role)).numbers(|entry| match entry {
            Entry::Replied(number, _) => Some(*number),
            _ => None,
        });
        for entry in self.side(role).entries() {
            let Entry::Answered(number, status, body) = entry else { continue };
            let crossed = body.is_some_and(|label| label != Label { from: role, number: *number });
            promise!(!crossed, "call {number} of the {role:?} got the reply of another call: {body:?}");
            promise!(
                *status != StatusCode::CANCELLED,
                "call {number} of the {role:?} was answered as cancelled, and its caller waited for it"
            );
            let success = *status == StatusCode::OK;
            promise!(
                !success || (body.is_some() && replied.contains(number)),
                "call {number} of the {role:?} was answered, and its peer gave no such answer"
            );
        }
        Ok(())
    }

    /// Requests of one lane arrive in order and once; so do pushes.
    fn check_order(&self, role: Role) -> Result<(), Violation> {
        let sender = self.side(other(role));
        let (mut calls, mut pushes) = self.side(role).received();
        for lane in LANES {
            let requested = self.side(role).numbers_in_order(|entry| match entry {
                Entry::Requested(label, own) if *own == lane => Some(label.number),
                _ => None,
            });
            let received = self.side(role).numbers_in_order(|entry| match entry {
                Entry::Received(label, own) if *own == lane => Some(label.number),
                _ => None,
            });
            for (what, numbers) in [("requests", requested), ("pushes", received)] {
                promise!(
                    numbers.is_sorted_by(|one, next| one < next),
                    "{what} reached the {role:?} out of order or twice in lane {lane:?}: {numbers:?}"
                );
            }
        }
        for (what, numbers) in [("requests", &mut calls), ("pushes", &mut pushes)] {
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            promise!(numbers.len() == count, "{what} reached the {role:?} twice: {numbers:?}");
        }
        let sent = |entry: &Entry| matches!(entry, Entry::Called(_) | Entry::Pushed(_));
        let known = sender.entries().filter(|entry| sent(entry)).count();
        promise!(calls.len() + pushes.len() <= known, "the {role:?} received more than was sent");
        Ok(())
    }

    /// `NotSent` is never said of a call that the peer saw.
    fn check_delivery(&self, role: Role) -> Result<(), Violation> {
        let (seen, _) = self.side(other(role)).received();
        for entry in self.side(role).entries() {
            if let Some(number) = entry.not_sent() {
                promise!(
                    !seen.contains(&number),
                    "call {number} of the {role:?} was said to be not sent ({entry:?}), but its peer saw it"
                );
            }
        }
        Ok(())
    }

    /// Exactly one `Closed`, as the last event.
    fn check_end(&self, role: Role) -> Result<(), Violation> {
        let side = self.side(role);
        let closed = side.count(|entry| matches!(entry, Entry::Closed(_)));
        promise!(closed == 1, "the {role:?} was told {closed} times that its connection ended");
        let last = side.entries().rfind(|entry| entry.is_event());
        promise!(
            matches!(last, Some(Entry::Closed(_))),
            "something came to the {role:?} behind the end of its connection: {last:?}"
        );
        Ok(())
    }
}
