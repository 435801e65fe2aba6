//! How a call may end.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use proto_core::Role;

use super::{Message, Model};
use crate::player::{BACK_FAILED, LEAST, LEAST_CALL};
use crate::scenario::{Answered, Call, Deed, Dropped};
use crate::trace::Ending;
use crate::{BOTH, other};

/// Deadlines and waits that are further apart than this do not race on any machine.
const FAR: Duration = Duration::from_secs(1);
/// Nothing but waiting takes so long.
const LONG: Duration = Duration::from_secs(10);

/// More than what a message may say beside its body in a scenario.
pub(super) const EXTENSIONS: usize = 32;

/// More than what a message costs of credit beside its body.
const OVERHEAD: usize = 128;

/// The status of a call whose handler panicked.
const HANDLER_FAILED: u32 = 3;
/// The status of a call whose reply was longer than its caller takes.
const REPLY_TOO_LARGE: u32 = 8;

/// The endings that a call may have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Ending>);

impl Allowed {
    /// Whether it may end like this.
    pub fn allows(&self, ending: Ending) -> bool {
        self.0.contains(&ending)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    fn only(ending: Ending) -> Self {
        Self(vec![ending])
    }

    fn or(mut self, also: bool, ending: Ending) -> Self {
        if also && !self.allows(ending) {
            self.0.push(ending);
        }
        self
    }
}

impl Display for Allowed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&words.join("; or "))
    }
}

/// Whether a call is dropped before anybody has looked at it.
pub(super) fn is_never_polled(message: &Message) -> bool {
    message.call.is_some_and(|call| call.dropped == Some(Dropped::AfterPolls(0)))
}

/// What the end of the connection may do to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Loss {
    /// It may end although it has perhaps run.
    lost: bool,
    /// It may not be sent at all.
    not_made: bool,
    /// It cannot be sent.
    never_made: bool,
}

impl Model<'_> {
    /// How a call may end; a push has no ending.
    pub(super) fn allowed(&self, role: Role, message: &Message) -> Allowed {
        let Some(call) = &message.call else { return Allowed::only(Ending::NotMade) };
        if is_never_polled(message) {
            return Allowed::only(Ending::Dropped);
        }
        let loss = self.loss(role, message, call);
        if loss.never_made {
            return Allowed::only(Ending::NotMade);
        }
        let given_up = call.dropped.is_some() || self.is_dropped_by_name(role, message);
        let ended = |allowed: Allowed| {
            allowed
                .or(given_up, Ending::Dropped)
                .or(loss.lost, Ending::Lost)
                .or(loss.not_made, Ending::NotMade)
        };
        let largest = self.scenario.limits.message as usize;
        if call.size.max(LEAST_CALL) > largest {
            let late = call.within.is_some_and(|within| within < LONG);
            return ended(Allowed::only(Ending::Refused).or(late, Ending::TimedOut));
        }
        let slow = call.answer.after + FAR;
        let (may_answer, may_time_out) = match (call.answer.what, call.within) {
            (Answered::Never, within) => (false, within.is_some()),
            (_, None) => (true, false),
            (_, Some(within)) if within + FAR <= call.answer.after => (false, true),
            (_, Some(within)) => (true, within < slow.max(LONG)),
        };
        let mut allowed = Allowed::default().or(may_time_out, Ending::TimedOut);
        if may_answer {
            for answer in self.answers(call, self.may_end()) {
                allowed = allowed.or(true, answer);
            }
        }
        // Routes and deadlines are told to the peer, and that takes bytes as well.
        let is_tight = call.size + EXTENSIONS > largest;
        ended(allowed).or(is_tight, Ending::Refused)
    }

    /// With what its handler may answer a call.
    fn answers(&self, call: &Call, may_end: bool) -> Vec<Ending> {
        let largest = self.scenario.limits.message as usize;
        let failed = Ending::Answered(BACK_FAILED.0, 0);
        if call.answer.back.is_some_and(|size| size > largest) {
            return vec![failed];
        }
        let may_fail = may_end || call.answer.back.is_some_and(|size| size + EXTENSIONS > largest);
        let answer = match call.answer.what {
            Answered::Never => return Vec::new(),
            Answered::Panic => Ending::Answered(HANDLER_FAILED, 0),
            Answered::Reply(size) if size > largest => Ending::Answered(REPLY_TOO_LARGE, 0),
            Answered::Reply(size) => Ending::Answered(0, size.max(LEAST)),
            Answered::Status(code) => Ending::Answered(code.into(), 0),
        };
        let mut answers = vec![answer];
        // A call back may be lost with the connection, and its handler say so just in time.
        answers.extend((call.answer.back.is_some() && may_fail).then_some(failed));
        answers
    }

    fn loss(&self, role: Role, message: &Message, call: &Call) -> Loss {
        let here = self.scenario.script(role);
        let comes_back = self.scenario.comes_back;
        let stops_here = |deed: &Deed| matches!(deed, Deed::Abort | Deed::Close | Deed::Drain);
        // A dialer that has ended its connection is a client that has stopped; so has everybody whose dialer does not come back.
        let before = &here[..message.deed];
        if before.iter().any(stops_here) && (role == Role::Dialer || !comes_back) {
            return Loss { never_made: true, ..Loss::default() };
        }
        // What comes behind an `await` finds the call at its end.
        let behind = &here[message.deed..];
        let until = behind.iter().position(|deed| *deed == Deed::Await).unwrap_or(behind.len());
        let beside =
            before.iter().map(|deed| (deed, true)).chain(behind[..until].iter().map(|deed| (deed, false)));
        let mut loss = Loss::default();
        let (mut stops, mut breaks) = (false, !self.is_whole() || self.has(other(role), Deed::is_abrupt));
        for (deed, is_before) in beside {
            stops |= stops_here(deed);
            breaks |= deed.is_abrupt();
            loss.lost |= matches!(deed, Deed::Abort | Deed::Close);
            // A drain lets go only of who comes behind it, or still waits in line.
            let spares = *deed == Deed::Drain && !is_before && self.is_roomy();
            loss.not_made |= stops_here(deed) && !spares;
        }
        let there = |like: fn(&Deed) -> bool| self.has(other(role), like);
        loss.lost |= breaks || there(|deed| *deed == Deed::Close);
        loss.not_made |= breaks || there(|deed| matches!(deed, Deed::Close | Deed::Drain));
        if role == Role::Dialer && comes_back && !stops {
            // It is called again on the next connection, if it has not run or may run twice.
            loss.not_made = false;
            loss.lost &= !call.idempotent;
        }
        loss
    }

    /// Whether no call has to wait for a slot, or for credit.
    fn is_roomy(&self) -> bool {
        let limits = &self.scenario.limits;
        let calls = |role| self.messages(role).filter_map(|message| message.call);
        BOTH.into_iter().all(|role| {
            let bytes: usize = calls(role).map(|call| call.size.max(LEAST_CALL) + OVERHEAD).sum();
            calls(role).count() <= limits.slots as usize && bytes <= limits.window as usize
        })
    }

    fn is_dropped_by_name(&self, role: Role, message: &Message) -> bool {
        let calls = self.messages(role).filter(|message| message.call.is_some());
        let place = calls.take_while(|earlier| earlier.number < message.number).count();
        self.has(role, |deed| *deed == Deed::Drop(place))
    }
}
