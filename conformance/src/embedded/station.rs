//! One side on a bare connection: its script, its calls, and what it does with what comes.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::rc::Rc;

use proto_core::{
    CallId, CloseCode, Connection, Delivery, Event, Instant, Outcome, PushToken, Refusal, Role, StatusCode,
    Timeout,
};

use super::EventLoop;
use super::requests::Requests;
use crate::player::{Alarms, DRAIN, Faults, Kind, Label, Player, QUIET, SIGHT, info, say};
use crate::scenario::{Call, Deed, Dropped, Push, Scenario};
use crate::trace::{Ending, Left, Pushed, Side};

/// What one side does, and what it knows.
pub(super) struct Station<'a, K> {
    role: Role,
    deeds: std::slice::Iter<'a, Deed>,
    begun: usize,
    faults: Rc<Faults>,
    /// Writes down what is observed.
    player: Player,
    /// Its connection, while there is one.
    pub(super) link: Option<K>,
    life: Life,
    waiting: Waiting,
    messages: u32,
    /// Calls of the script that have not ended, by their number among the calls.
    calls: BTreeMap<usize, Under>,
    called: usize,
    /// With how often each has been tried, and since when.
    pushes: VecDeque<(u32, Push)>,
    tried: Option<(usize, Instant)>,
    requests: Requests,
    held: Vec<PushToken>,
    holds: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Before,
    Open,
    Over,
}

/// What its script waits for.
#[derive(Clone, Copy)]
enum Waiting {
    Nothing,
    Calls,
    Connection,
    Messages(usize, Instant),
    Until(Instant),
}

/// A call that is under way.
struct Under {
    number: u32,
    call: Call,
    sent: Option<CallId>,
    deadline: Option<Instant>,
    dropped_at: Option<Instant>,
    turns: usize,
    is_dropped: bool,
}

impl<'a, K: Copy> Station<'a, K> {
    pub(super) fn new(role: Role, scenario: &'a Scenario, faults: &Rc<Faults>, alarms: &Alarms) -> Self {
        Self {
            role,
            deeds: scenario.script(role).iter(),
            begun: 0,
            faults: faults.clone(),
            player: Player::new(role, alarms),
            link: None,
            life: Life::Before,
            // The acceptor has nothing to do it with before there is a connection.
            waiting: if role == Role::Acceptor { Waiting::Connection } else { Waiting::Nothing },
            messages: 0,
            calls: BTreeMap::new(),
            called: 0,
            pushes: VecDeque::new(),
            tried: None,
            requests: Requests::default(),
            held: Vec::new(),
            holds: false,
        }
    }

    pub(super) fn seen(&self) -> Side {
        self.player.record(|side| side.clone())
    }

    pub(super) fn record(&self, write: impl FnOnce(&mut Side)) {
        self.player.record(write);
    }

    pub(super) fn record_handlers(&self) {
        self.record(|side| side.left.handlers = side.left.handlers.max(self.requests.count()));
    }

    pub(super) fn is_performed(&self) -> bool {
        self.deeds.len() == 0 && matches!(self.waiting, Waiting::Nothing)
    }

    /// Whether nothing that it has begun is under way.
    pub(super) fn is_done(&self) -> bool {
        self.calls.is_empty() && self.pushes.is_empty()
    }

    /// Whether nothing of the other side's is under way here.
    pub(super) fn is_idle(&self) -> bool {
        self.requests.count() == 0 && self.held.is_empty()
    }

    pub(super) fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    pub(super) fn let_go(&mut self) {
        self.holds = false;
    }

    /// One that has no connection will have none.
    pub(super) fn stop(&mut self) {
        if self.life == Life::Before {
            self.life = Life::Over;
        }
    }

    pub(super) fn all_arrived_at(&self, other: &Self) -> bool {
        let accepted = self.seen().pushes.values().filter(|&&pushed| pushed == Pushed::Accepted).count();
        accepted == other.seen().arrivals.iter().filter(|arrival| !arrival.is_call).count()
    }

    pub(super) fn left<L: EventLoop<Link = K>>(&self, net: &mut L) -> Option<Left> {
        let connection = net.connection(self.link?)?;
        // What it keeps for the next messages is no leftover.
        connection.shrink();
        let (calls, bytes) = (connection.calls_in_flight(), connection.held_bytes());
        Some(Left { calls, bytes, handlers: self.requests.count(), ..Left::default() })
    }

    /// When it has something to do although nothing happens.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        let script = match self.waiting {
            Waiting::Until(at) | Waiting::Messages(_, at) => Some(at),
            Waiting::Nothing | Waiting::Calls | Waiting::Connection => None,
        };
        let calls = self.calls.values().flat_map(|under| [under.deadline, under.dropped_at]).flatten();
        script.into_iter().chain(calls).chain(self.requests.next_alarm()).min()
    }

    /// Does what there is to do.
    pub(super) fn act(&mut self, now: Instant, mut connection: Option<&mut Connection>) {
        self.look_after_calls(now, connection.as_deref_mut());
        while self.has_waited(now) {
            let Some(&deed) = self.deeds.as_slice().first() else { break };
            if self.life == Life::Before && matches!(deed, Deed::Abort | Deed::Close | Deed::Drain) {
                // There is nothing yet that could be ended.
                self.waiting = Waiting::Connection;
                continue;
            }
            self.deeds.next();
            self.faults.begun(self.role, self.begun);
            self.begun += 1;
            self.perform(now, connection.as_deref_mut(), deed);
            // So that what was begun is where it belongs before the next deed.
            self.look_after_calls(now, connection.as_deref_mut());
        }
        self.look_after_calls(now, connection.as_deref_mut());
        self.push(now, connection.as_deref_mut());
        if let Some(connection) = connection {
            if !self.holds {
                mem::take(&mut self.held).into_iter().for_each(|token| connection.release(now, token));
            }
            self.requests.answer(now, connection, self.role);
        }
    }

    fn has_waited(&mut self, now: Instant) -> bool {
        let is_over = match self.waiting {
            Waiting::Nothing => true,
            Waiting::Calls => self.calls.is_empty(),
            Waiting::Connection => self.life != Life::Before,
            Waiting::Messages(count, late) => self.seen().arrivals.len() >= count || now >= late,
            Waiting::Until(at) => now >= at,
        };
        if is_over {
            self.waiting = Waiting::Nothing;
        }
        is_over
    }

    fn perform(&mut self, now: Instant, connection: Option<&mut Connection>, deed: Deed) {
        match (deed, connection) {
            (Deed::Abort, Some(connection)) => connection.abort(now, CloseCode::NORMAL),
            (Deed::Close, Some(connection)) => connection.close(now, CloseCode::GOING_AWAY, info()),
            (Deed::Drain, Some(connection)) => connection.drain(now, CloseCode::GOING_AWAY, info(), DRAIN),
            (Deed::Abort | Deed::Close | Deed::Drain | Deed::Restart, _) => {}
            (Deed::Await, _) => self.waiting = Waiting::Calls,
            (Deed::Call(call), _) => {
                let under = Under {
                    number: self.next_message(),
                    call,
                    sent: None,
                    deadline: call.within.map(|within| now + within),
                    dropped_at: match call.dropped {
                        Some(Dropped::AfterTime(duration)) => Some(now + duration),
                        _ => None,
                    },
                    turns: 0,
                    is_dropped: false,
                };
                self.calls.insert(self.called, under);
                self.called += 1;
            }
            (Deed::Drop(which), _) => {
                if let Some(under) = self.calls.get_mut(&which) {
                    under.is_dropped = true;
                }
            }
            (Deed::Idle(duration), _) => self.waiting = Waiting::Until(now + QUIET + duration),
            (Deed::Hold, _) => self.holds = true,
            (Deed::LetGo, _) => self.holds = false,
            (Deed::Push(push), _) => {
                let number = self.next_message();
                self.pushes.push_back((number, push));
            }
            (Deed::See(count), _) => self.waiting = Waiting::Messages(count, now + SIGHT),
            (Deed::Wait(duration), _) => self.waiting = Waiting::Until(now + duration),
        }
    }

    fn next_message(&mut self) -> u32 {
        self.messages += 1;
        self.messages - 1
    }

    fn look_after_calls(&mut self, now: Instant, mut connection: Option<&mut Connection>) {
        let mut has_room = true;
        for place in self.calls.keys().copied().collect::<Vec<_>>() {
            has_room &= self.look_after(now, connection.as_deref_mut(), place, has_room);
        }
    }

    /// Gives a call up whose time has come, and sends one that waits, if there is room for it. Says whether there is for the next.
    fn look_after(
        &mut self,
        now: Instant,
        connection: Option<&mut Connection>,
        place: usize,
        has_room: bool,
    ) -> bool {
        let Some(under) = self.calls.get_mut(&place) else { return true };
        let polls = match under.call.dropped {
            Some(Dropped::AfterPolls(polls)) => polls,
            _ => usize::MAX,
        };
        if under.is_dropped || under.turns >= polls || under.dropped_at.is_some_and(|at| at <= now) {
            if let Some((connection, id)) = connection.zip(under.sent) {
                connection.cancel(now, id);
            }
            self.end(place, Ending::Dropped);
            return true;
        }
        under.turns += 1;
        let Under { number, call, deadline, sent, .. } = *under;
        if sent.is_none() && deadline.is_some_and(|at| at <= now) {
            self.end(place, Ending::TimedOut);
            return true;
        }
        if sent.is_some() || !has_room {
            return true;
        }
        let Some(connection) = connection else {
            if self.life == Life::Over {
                self.end(place, Ending::NotMade);
            }
            return true;
        };
        let label = Label { kind: Kind::Call, from: self.role, number };
        let body = label.call(&call.answer, call.within.is_some(), call.size);
        let message = say(number, body).in_lane(call.lane);
        let timeout = deadline.map_or(Timeout::Never, |at| Timeout::After(at.saturating_since(now)));
        match connection.call(now, message, timeout) {
            Ok(id) => under.sent = Some(id),
            Err(refused) => match refused.refusal {
                // It keeps its place in line.
                Refusal::Full | Refusal::NoSlot | Refusal::NotOpen => return false,
                Refusal::Closed | Refusal::Draining => self.end(place, Ending::NotMade),
                _ => self.end(place, Ending::Refused),
            },
        }
        true
    }

    fn end(&mut self, place: usize, ending: Ending) {
        if let Some(under) = self.calls.remove(&place) {
            self.player.ended(under.number, ending);
        }
    }

    fn push(&mut self, now: Instant, mut connection: Option<&mut Connection>) {
        while let Some(&(number, push)) = self.pushes.front() {
            let Some(connection) = connection.as_deref_mut() else {
                if self.life != Life::Over {
                    return;
                }
                self.pushed(number, Pushed::NotMade);
                continue;
            };
            let (tries, since) = *self.tried.get_or_insert((0, now));
            let is_dropped = match push.dropped {
                Some(Dropped::AfterPolls(polls)) => tries >= polls,
                Some(Dropped::AfterTime(duration)) => tries > 0 && now >= since + duration,
                None => false,
            };
            if is_dropped {
                self.pushed(number, Pushed::Dropped);
                continue;
            }
            self.tried = Some((tries + 1, since));
            let label = Label { kind: Kind::Push, from: self.role, number };
            let message = say(number, label.body(push.size)).in_lane(push.lane);
            match connection.push(now, message) {
                Ok(()) => self.pushed(number, Pushed::Accepted),
                Err(refused) => match refused.refusal {
                    Refusal::Full | Refusal::NotOpen => return,
                    Refusal::Closed | Refusal::Draining => self.pushed(number, Pushed::NotMade),
                    _ => self.pushed(number, Pushed::Refused),
                },
            }
        }
    }

    fn pushed(&mut self, number: u32, pushed: Pushed) {
        self.pushes.pop_front();
        self.tried = None;
        self.player.record(|side| side.pushes.insert(number, pushed));
    }

    /// Deals with what happened on its connection.
    pub(super) fn hear(&mut self, now: Instant, connection: Option<&mut Connection>, event: Event) {
        match (event, connection) {
            (Event::Open(_), _) => {
                self.life = Life::Open;
                self.player.record(|side| side.opened += 1);
            }
            (Event::Request { id, message, .. }, Some(connection)) => {
                self.requests.take(now, connection, &self.player, id, &message);
            }
            (Event::Push { token, message }, _) => {
                let _ = self.player.arrived(&[Kind::Push], &message.body, message.lane, message.route(), 0);
                self.held.push(token);
            }
            (Event::Ended { call, outcome }, connection) => self.ended(call, outcome, now, connection),
            (Event::Cancelled(sequence), Some(connection)) => {
                self.requests.cancel(now, connection, sequence);
            }
            (Event::Closed(reason), _) => {
                if self.life == Life::Open {
                    self.player.connection_ended(&reason);
                }
                self.life = Life::Over;
                self.requests = Requests::default();
                self.held.clear();
            }
            _ => {}
        }
    }

    fn ended(&mut self, call: CallId, outcome: Outcome, now: Instant, connection: Option<&mut Connection>) {
        let Some(outcome) = self.requests.called_back(now, connection, call, outcome) else { return };
        let Some(place) =
            self.calls.iter().find(|(_, under)| under.sent == Some(call)).map(|(&place, _)| place)
        else {
            return self.player.nonsense(format!("{call:?} ended, and was not under way: {outcome:?}"));
        };
        match outcome {
            Outcome::Reply { status, body, .. } if status.is_ok() => {
                if let Some(under) = self.calls.remove(&place) {
                    self.player.answered(under.number, &body);
                }
            }
            Outcome::Reply { status: StatusCode::DEADLINE_EXPIRED, .. } => self.end(place, Ending::TimedOut),
            Outcome::Reply { status, .. } if !status.may_have_run() => self.end(place, Ending::NotMade),
            Outcome::Reply { status, .. } => self.end(place, Ending::Answered(status.0, 0)),
            Outcome::Discarded => self.end(place, Ending::Discarded),
            Outcome::TimedOut(_) => self.end(place, Ending::TimedOut),
            Outcome::Lost(Delivery::NotSent) => self.end(place, Ending::NotMade),
            _ => self.end(place, Ending::Lost),
        }
    }
}
