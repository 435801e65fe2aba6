//! The reference model: what may be observed of a scenario, said without the core.
//!
//! It knows the promises and the scenario, and neither bytes nor states. Where sides and network race each other (a deadline, a
//! dropped future, a cut), several endings are allowed; where nothing races, exactly one is. Nothing here may ask `proto-core` what it would
//! do: a model that learns from what it judges cannot catch it.

mod endings;

use std::fmt::{self, Debug, Display, Formatter};

use proto_core::{Lane, Role};

use self::endings::EXTENSIONS;

pub use self::endings::Allowed;
use crate::player::LEAST;
use crate::scenario::write::side;
use crate::scenario::{Call, Deed, Scenario, Trouble};
use crate::trace::{End, Ending, Pushed, Side, Trace};
use crate::{BOTH, LANES, other};

/// The promise that a scenario breaks which is stuck.
pub(crate) const COMES_TO_ITS_END: &str = "every scenario comes to its end";
/// What a connection may hold when it is at rest: the state of its timers, which is there from when they are first used.
pub(crate) const RESTING: usize = 512;
/// Turns of drivers that an idle connection may take: what the last message has left to do.
const IDLE_TURNS: u64 = 2;
/// Turns in a second in which both sides say that they live, and answer each other.
const HEARTBEAT_TURNS: u64 = 16;
/// The code with which the dialer closes in the end, and the one with which scripts do.
const NORMAL: u32 = 0;
const GOING_AWAY: u32 = 1;

/// Says what may be observed of a scenario.
///
/// ```
/// use conformance::{Model, Scenario, VirtualTime};
///
/// let scenario: Scenario = "dialer\n call 100 -> reply 20\n await".parse()?;
/// let model = Model::new(&scenario);
/// assert!(model.is_exact());
/// assert_eq!(model.judge(&VirtualTime::play(&scenario)), Ok(()));
/// # Ok::<(), conformance::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    scenario: &'a Scenario,
}

/// A promise that was not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The promise.
    pub promise: &'static str,
    /// What was observed instead.
    pub observed: String,
}

impl Display for Violation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  but {}", self.promise, self.observed)
    }
}

impl std::error::Error for Violation {}

/// A message of a script.
#[derive(Clone, Copy, Debug)]
struct Message {
    number: u32,
    /// Which deed it is.
    deed: usize,
    lane: Lane,
    size: usize,
    /// `None` for a push.
    call: Option<Call>,
}

type Judgement = Result<(), Violation>;

fn promise(promise: &'static str, holds: bool, observed: impl FnOnce() -> String) -> Judgement {
    if holds { Ok(()) } else { Err(Violation { promise, observed: observed() }) }
}

impl<'a> Model<'a> {
    /// The model of a scenario.
    pub const fn new(scenario: &'a Scenario) -> Self {
        Self { scenario }
    }

    /// Whether nothing in the scenario races: then there is one thing that may be observed, on every runner.
    pub fn is_exact(&self) -> bool {
        let is_certain = |role| self.messages(role).all(|message| self.allowed(role, &message).count() == 1);
        let gives_up =
            |role| self.has(role, |deed| matches!(deed, Deed::Push(push) if push.dropped.is_some()));
        let is_tight =
            |role| self.messages(role).any(|message| message.call.is_none() && self.is_tight(&message));
        let races = |role| gives_up(role) || is_tight(role);
        !self.may_end() && BOTH.into_iter().all(is_certain) && !BOTH.into_iter().any(races)
    }

    /// Says whether this may be observed.
    ///
    /// # Errors
    /// The first promise that is not kept.
    pub fn judge(&self, trace: &Trace) -> Judgement {
        // What is behind it, if it does not come to its end, is said first.
        for role in BOTH {
            let seen = trace.side(role);
            promise("what arrives is what was sent", seen.nonsense.is_empty(), || {
                format!("the {} observed: {:?}", side(role), seen.nonsense)
            })?;
            promise("nobody is accused who keeps to the protocol", seen.accusations.is_empty(), || {
                format!("the {} heard: {}", side(role), seen.accusations.join("; "))
            })?;
        }
        promise(COMES_TO_ITS_END, trace.stuck.is_none(), || trace.stuck.clone().unwrap_or_default())?;
        for role in BOTH {
            let seen = trace.side(role);
            self.judge_calls(role, seen)?;
            self.judge_pushes(role, seen)?;
            self.judge_arrivals(role, seen, trace.side(other(role)))?;
            self.judge_end(role, seen)?;
            self.judge_rest(role, seen)?;
        }
        self.judge_work(trace)
    }

    fn judge_calls(&self, role: Role, seen: &Side) -> Judgement {
        let calls = || self.messages(role).filter(|message| message.call.is_some());
        for message in calls() {
            let name = || self.name(role, &message);
            let endings = seen.calls.get(&message.number).map_or(&[][..], |endings| endings);
            promise("every call ends exactly once", endings.len() == 1, || {
                format!("{} ended {} times: {endings:?}", name(), endings.len())
            })?;
            let allowed = self.allowed(role, &message);
            promise("a call ends as what happens to it allows", allowed.allows(endings[0]), || {
                format!("{} was {}, and could only be: {allowed}", name(), endings[0])
            })?;
        }
        promise("no call ends that was not made", seen.calls.len() == calls().count(), || {
            format!("the {} made {} calls, and {} ended", side(role), calls().count(), seen.calls.len())
        })
    }

    fn judge_pushes(&self, role: Role, seen: &Side) -> Judgement {
        for message in self.messages(role).filter(|message| message.call.is_none()) {
            let found = seen.pushes.get(&message.number).copied();
            let largest = self.scenario.limits.message as usize;
            let fits = self.length(&message) <= largest;
            let allowed = match found {
                None => false,
                Some(Pushed::Accepted) => fits,
                Some(Pushed::Refused) => !fits || self.is_tight(&message),
                Some(Pushed::NotMade) => self.may_end(),
                Some(Pushed::Dropped) => self.is_dropped_push(role, &message),
            };
            promise(
                "a push is accepted while there is a connection, unless it is too long",
                allowed,
                || format!("{} was: {found:?}", self.name(role, &message)),
            )?;
        }
        Ok(())
    }

    /// What the other side saw of what this side sent.
    fn judge_arrivals(&self, role: Role, seen: &Side, there: &Side) -> Judgement {
        let sent: Vec<Message> = self.messages(role).collect();
        for arrival in &there.arrivals {
            let is_it = |message: &&Message| {
                message.call.is_some() == arrival.is_call && message.lane == arrival.lane
            };
            let message = sent.get(arrival.number as usize).filter(is_it);
            promise("only what was sent arrives, and as what it was", message.is_some(), || {
                format!("the {} received {arrival:?}", side(other(role)))
            })?;
        }
        for message in self.messages(role) {
            let times = there.times_arrived(message.number);
            let name = || self.name(role, &message);
            let again = message.call.is_some_and(|call| call.idempotent) && self.scenario.comes_back;
            promise("no message arrives twice, but calls that may", times <= 1 || again, || {
                format!("{} arrived {times} times", name())
            })?;
            let (must, may) = match message.call {
                Some(_) => match seen.calls.get(&message.number).and_then(|endings| endings.first()) {
                    Some(Ending::Answered(..) | Ending::Discarded) => (true, true),
                    Some(Ending::NotMade | Ending::Refused) | None => (false, false),
                    Some(Ending::Dropped) => (false, !endings::is_never_polled(&message)),
                    Some(Ending::Lost | Ending::TimedOut) => (false, true),
                },
                None => {
                    let accepted = seen.pushes.get(&message.number) == Some(&Pushed::Accepted);
                    (accepted && self.all_arrives_from(role), accepted)
                }
            };
            promise("what was accepted arrives", !must || times > 0, || {
                format!("{} never reached the {}", name(), side(other(role)))
            })?;
            promise("what was said not to be sent does not arrive", may || times == 0, || {
                format!("{} reached the {}", name(), side(other(role)))
            })?;
        }
        self.judge_order(role, seen, there)
    }

    fn judge_order(&self, role: Role, seen: &Side, there: &Side) -> Judgement {
        for (lane, calls) in LANES.into_iter().flat_map(|lane| [(lane, true), (lane, false)]) {
            let what = if calls { "calls" } else { "pushes" };
            for connection in there.connections() {
                let arrived: Vec<u32> = there.arrived_on(connection, calls, lane).collect();
                promise("calls of one lane arrive in order, and so do pushes", arrived.is_sorted(), || {
                    format!("{what} of the {} in lane {lane:?} arrived as {arrived:?}", side(role))
                })?;
            }
        }
        if self.scenario.comes_back {
            return Ok(());
        }
        for lane in LANES {
            let pushes = self.messages(role).filter(|message| message.call.is_none() && message.lane == lane);
            let accepted = pushes
                .map(|message| message.number)
                .filter(|number| seen.pushes.get(number) == Some(&Pushed::Accepted));
            let arrived: Vec<u32> = there.arrived(false, lane).collect();
            let skipped = accepted.zip(&arrived).find(|(sent, arrived)| sent != *arrived);
            promise(
                "a connection that ends loses the last pushes of a lane, not others",
                skipped.is_none(),
                || format!("a push of the {} is missing: (sent, arrived) is {skipped:?}", side(role)),
            )?;
        }
        Ok(())
    }

    fn judge_end(&self, role: Role, seen: &Side) -> Judgement {
        promise("each connection ends once", seen.opened == seen.ends.len(), || {
            format!("the {} had {} connections, which ended so: {:?}", side(role), seen.opened, seen.ends)
        })?;
        if !self.may_break() {
            let is_said = |end: &End| matches!(end, End::Here | End::There(NORMAL | GOING_AWAY));
            promise("who ends a connection says so, and why", seen.ends.iter().all(is_said), || {
                format!("the {} saw its connections end so: {:?}", side(role), seen.ends)
            })?;
        }
        if self.may_end() {
            let most = if self.scenario.comes_back { usize::MAX } else { 1 };
            return promise("who does not come back has one connection", seen.opened <= most, || {
                format!("the {} had {}", side(role), seen.opened)
            });
        }
        let expected = if role == Role::Dialer { End::Here } else { End::There(NORMAL) };
        promise("a connection ends as it is ended, and not before", seen.ends == [expected], || {
            format!("the {} saw it end so: {:?}", side(role), seen.ends)
        })
    }

    fn judge_rest(&self, role: Role, seen: &Side) -> Judgement {
        let left = seen.left;
        promise("no handler outlives its call or its connection", left.handlers == 0, || {
            format!("{} of the {} are left", left.handlers, side(role))
        })?;
        promise("a call that has ended has no slot", left.calls == 0, || {
            format!("{} slots of the {} are taken", left.calls, side(role))
        })?;
        promise("who is at rest holds nothing", self.may_end() || left.bytes <= RESTING, || {
            format!("the {} holds {} bytes", side(role), left.bytes)
        })?;
        promise("a server forgets who has gone", left.connections == 0, || {
            format!("it counts {} connections", left.connections)
        })?;
        promise("streams, timers and listeners are gone when endpoints have ended", left.parts == 0, || {
            format!("{} are left", left.parts)
        })?;
        let most = self.idle_turns(role);
        promise("an idle connection does nothing", self.may_end() || seen.idle_turns <= most, || {
            format!("drivers took {} turns while the {} waited", seen.idle_turns, side(role))
        })
    }

    /// How many turns drivers may take while this side idles.
    fn idle_turns(&self, role: Role) -> u64 {
        let idle = self.scenario.script(role).iter().filter_map(|deed| match deed {
            Deed::Idle(duration) => Some(duration.as_secs() + 1),
            _ => None,
        });
        let beats = if self.scenario.limits.silence.is_some() { HEARTBEAT_TURNS } else { 0 };
        idle.map(|seconds| IDLE_TURNS + beats * seconds).sum()
    }

    /// Drivers are woken for something: each turn moves bytes, follows one that did, or belongs to something that a side did.
    fn judge_work(&self, trace: &Trace) -> Judgement {
        let deeds: u64 = BOTH.into_iter().map(|role| self.scenario.script(role).len() as u64).sum();
        let connections = (trace.dialer.opened + trace.acceptor.opened) as u64 + 1;
        let work = trace.work;
        let most = 3 * work.moves + 20 * deeds + 100 * connections;
        promise("drivers are woken only when there is something to do", work.reads <= most, || {
            format!("there were {} turns for {} movements of bytes and {deeds} deeds", work.reads, work.moves)
        })
    }

    fn messages(&self, role: Role) -> impl Iterator<Item = Message> {
        let deeds = self.scenario.script(role).iter().enumerate();
        let messages = deeds.filter_map(|(deed, what)| match *what {
            Deed::Call(call) => Some((deed, call.lane, call.size, Some(call))),
            Deed::Push(push) => Some((deed, push.lane, push.size, None)),
            _ => None,
        });
        (0..).zip(messages).map(|(number, (deed, lane, size, call))| Message {
            number,
            deed,
            lane,
            size,
            call,
        })
    }

    fn name(&self, role: Role, message: &Message) -> String {
        let deed = self.scenario.script(role).get(message.deed);
        let text = deed.map(ToString::to_string).unwrap_or_default();
        format!("message {} of the {} (`{text}`)", message.number, side(role))
    }

    fn is_dropped_push(&self, role: Role, message: &Message) -> bool {
        matches!(self.scenario.script(role).get(message.deed), Some(Deed::Push(push)) if push.dropped.is_some())
    }

    /// Whether it depends on more than its body if a message is too long.
    fn is_tight(&self, message: &Message) -> bool {
        let (length, largest) = (self.length(message), self.scenario.limits.message as usize);
        length <= largest && length + EXTENSIONS > largest
    }

    /// How long a message is on its way.
    fn length(&self, message: &Message) -> usize {
        message.size.max(LEAST)
    }

    fn has(&self, role: Role, deed: impl Fn(&Deed) -> bool) -> bool {
        self.scenario.script(role).iter().any(deed)
    }

    /// Whether the connection may break without a word.
    fn may_break(&self) -> bool {
        !self.is_whole() || BOTH.into_iter().any(|role| self.has(role, Deed::is_abrupt))
    }

    /// Whether the network does nothing that ends a connection.
    fn is_whole(&self) -> bool {
        let breaks = |what: Trouble| match what {
            Trouble::Cut | Trouble::HalfClose(_) => true,
            Trouble::Stall(..) => self.scenario.limits.silence.is_some(),
        };
        !self.scenario.faults.iter().any(|fault| breaks(fault.what))
    }

    /// Whether the connection may end before both scripts have.
    pub(crate) fn may_end(&self) -> bool {
        let ends = |deed: &Deed| matches!(deed, Deed::Close | Deed::Drain);
        self.may_break() || BOTH.into_iter().any(|role| self.has(role, ends))
    }

    /// Whether all arrives that this side was told is accepted: nothing ends the connection but this side, in good order.
    fn all_arrives_from(&self, role: Role) -> bool {
        let ends = |deed: &Deed| matches!(deed, Deed::Close | Deed::Drain);
        !self.may_break() && !self.has(other(role), ends)
    }
}

#[cfg(test)]
mod tests;
