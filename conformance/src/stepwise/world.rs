//! Plays a scenario on the core, in virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use proto_core::simulation::{Pair, PairConfig};
use proto_core::wire::{CloseCode, CloseInfo, Extensions, Sequence, StatusCode};
use proto_core::{
    CallId, Connection, Event, Instant, Lane, Outcome, PushToken, Refusal, RequestId, Role, Timeout,
};

use super::label::{Label, Purpose};
use super::scenario::{Action, Scenario};
use super::trace::{Entry, Trace};
use crate::{BOTH, other};

/// Two applications on a [`Pair`], and the trace of what they do and observe.
#[derive(Debug)]
pub struct World {
    pair: Pair,
    dialer: Application,
    acceptor: Application,
    trace: Trace,
    reply_size: usize,
}

/// What one application knows.
#[derive(Debug, Default)]
struct Application {
    next: u32,
    /// What it wants to send, in order.
    backlog: VecDeque<Planned>,
    /// The backlog waits for an event.
    blocked: bool,
    /// Calls whose end it has not seen, by their id on the wire.
    calls: BTreeMap<u64, Pending>,
    requests: Vec<(RequestId, Label)>,
    tokens: Vec<PushToken>,
}

#[derive(Debug)]
struct Planned {
    number: u32,
    purpose: Purpose,
    size: usize,
    metadata: usize,
    timeout: Option<Duration>,
    lane: Lane,
}

#[derive(Debug)]
struct Pending {
    id: CallId,
    number: u32,
    deadline: Option<Instant>,
}

/// How many things [`Action::Nudge`] chooses from.
const NUDGES: usize = 13;

impl World {
    /// A world in which nothing has happened.
    pub fn new(config: &PairConfig) -> Self {
        Self {
            pair: Pair::new(config),
            dialer: Application::default(),
            acceptor: Application::default(),
            trace: Trace::default(),
            reply_size: 20,
        }
    }

    /// Plays the script, lets everything come to rest, closes from the dialer's side, and gives the trace.
    pub fn play(scenario: &Scenario) -> Trace {
        let mut world = Self::new(&scenario.pair);
        for (role, action) in &scenario.script {
            world.act(*role, action);
        }
        world.settle();
        world.end()
    }

    /// The two connections and the network.
    pub const fn pair(&mut self) -> &mut Pair {
        &mut self.pair
    }

    /// Sets the length of the bodies with which requests are answered from now on, where the script does not say
    /// otherwise. It is 20 at first.
    pub const fn reply_with(&mut self, size: usize) {
        self.reply_size = size;
    }

    /// The calls of one side whose end it has not seen.
    pub fn calls(&self, role: Role) -> impl Iterator<Item = CallId> {
        self.application(role).calls.values().map(|pending| pending.id)
    }

    /// What has been done and observed so far.
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether an application still waits: to send something, or for the end of a call.
    pub fn is_waiting(&self, role: Role) -> bool {
        let application = self.application(role);
        !application.backlog.is_empty() || !application.calls.is_empty()
    }

    /// Does one thing.
    pub fn act(&mut self, role: Role, action: &Action) {
        match *action {
            Action::Call { size, metadata, timeout, lane } => {
                let purpose = Purpose::Request;
                self.plan(role, |number| Planned { number, purpose, size, metadata, timeout, lane });
            }
            Action::Push { size, metadata, lane } => {
                let (purpose, timeout) = (Purpose::Push, None);
                self.plan(role, |number| Planned { number, purpose, size, metadata, timeout, lane });
            }
            Action::Reply { which, size } => self.reply(role, which, size),
            Action::Cancel { which } => self.cancel(role, which),
            Action::Release { which } => self.release(role, which),
            Action::Accept => self.with(role, |connection, now| connection.accept(now)),
            Action::Poll(most) => {
                for _ in 0..most {
                    self.poll(role);
                }
            }
            Action::Drain(within) => {
                self.record(role, Entry::Draining);
                let info = CloseInfo::with_text("the scenario says so");
                self.with(role, |connection, now| {
                    connection.drain(now, CloseCode::MAX_AGE, info, within);
                });
            }
            Action::Close => {
                self.record(role, Entry::Closing);
                let info = CloseInfo::with_text("the scenario says so");
                self.with(role, |connection, now| connection.close(now, CloseCode::GOING_AWAY, info));
            }
            Action::Abort => {
                self.record(role, Entry::Closing);
                self.with(role, |connection, now| connection.abort(now, CloseCode::NORMAL));
            }
            Action::Nudge(which) => self.with(role, |connection, now| nudge(connection, now, which)),
            Action::Begin(bytes) => self.pair.connection(role).begin_transmit(bytes),
            Action::Step(steps) => {
                // Not so far that an application would seem to sleep for hours.
                let end = self.pair.now() + Duration::from_secs(1);
                for _ in 0..steps {
                    self.pair.step_until(end);
                }
            }
            Action::Wait(duration) => self.pair.advance(duration),
        }
    }

    /// Takes one event, and says whether there was one.
    pub fn poll(&mut self, role: Role) -> bool {
        let event = self.pair.connection(role).poll_event();
        let is_some = event.is_some();
        if let Some(event) = event {
            self.observe(role, event);
        }
        is_some
    }

    /// Both applications do all that is asked of them, until nothing more happens.
    ///
    /// # Panics
    /// If that takes longer than any scenario can: somebody talks for ever.
    pub fn settle(&mut self) {
        for _ in 0..20_000_000u64 {
            let mut busy = false;
            for role in BOTH {
                while self.poll(role) {
                    busy = true;
                }
                while !self.application(role).requests.is_empty() {
                    self.reply(role, 0, self.reply_size);
                }
                while !self.application(role).tokens.is_empty() {
                    self.release(role, 0);
                }
            }
            if !self.pair.step() && !busy {
                return;
            }
        }
        panic!("the peers do not come to rest: {:?}", self.trace);
    }

    /// Closes from the dialer's side, lets everything come to rest, and gives the trace.
    #[must_use]
    pub fn end(mut self) -> Trace {
        if !self.pair.dialer().is_closed() {
            self.act(Role::Dialer, &Action::Close);
        }
        self.settle();
        self.trace
    }

    fn plan(&mut self, role: Role, plan: impl FnOnce(u32) -> Planned) {
        let application = self.application_mut(role);
        let number = application.next;
        application.next += 1;
        application.backlog.push_back(plan(number));
        self.send(role);
    }

    /// Sends from the backlog until something is refused for lack of room.
    fn send(&mut self, role: Role) {
        while !self.application(role).blocked {
            let Some(planned) = self.application_mut(role).backlog.pop_front() else { return };
            let Planned { number, purpose, size, metadata, timeout, lane } = planned;
            let now = self.pair.now();
            let message = Label { from: role, number }.message(purpose, size, metadata).in_lane(lane);
            let connection = self.pair.connection(role);
            let accepted = match purpose {
                Purpose::Request => {
                    let call = connection.call(now, message, timeout.map_or(Timeout::Never, Timeout::After));
                    call.map(|id| {
                        let deadline = timeout.map(|timeout| now + timeout);
                        let pending = Pending { id, number, deadline };
                        self.application_mut(role).calls.insert(id.sequence().to_u64(), pending);
                        Entry::Called(number)
                    })
                }
                Purpose::Push | Purpose::Reply => {
                    connection.push(now, message).map(|()| Entry::Pushed(number))
                }
            };
            match accepted {
                Ok(entry) => self.record(role, entry),
                Err(refused) => match refused.refusal {
                    Refusal::Full | Refusal::NoSlot | Refusal::NotOpen => {
                        let application = self.application_mut(role);
                        application.backlog.push_front(planned);
                        application.blocked = true;
                    }
                    refusal => self.record(role, Entry::Refused(number, refusal)),
                },
            }
        }
    }

    fn reply(&mut self, role: Role, which: usize, size: usize) {
        let requests = &mut self.application_mut(role).requests;
        if requests.is_empty() {
            return;
        }
        let (id, label) = requests.remove(which % requests.len());
        let body = label.body(Purpose::Reply, size).into();
        let now = self.pair.now();
        let result = self.pair.connection(role).reply(now, id, StatusCode::OK, Extensions::none(), body);
        self.record(role, Entry::Replied(label.number, result));
    }

    fn cancel(&mut self, role: Role, which: usize) {
        let calls = &self.application(role).calls;
        let count = calls.len().max(1);
        let Some((&key, &Pending { id, number, .. })) = calls.iter().nth(which % count) else { return };
        let delivery = self.with(role, |connection, now| connection.cancel(now, id));
        if delivery.is_some() {
            self.application_mut(role).calls.remove(&key);
        }
        self.record(role, Entry::Cancelled(number, delivery));
    }

    fn release(&mut self, role: Role, which: usize) {
        let tokens = &mut self.application_mut(role).tokens;
        if tokens.is_empty() {
            return;
        }
        let token = tokens.remove(which % tokens.len());
        self.with(role, |connection, now| connection.release(now, token));
    }

    fn observe(&mut self, role: Role, event: Event) {
        let entry = match event {
            Event::Hello(_) => return self.with(role, |connection, now| connection.accept(now)),
            Event::Open(_) => Entry::Opened,
            Event::Writable => Entry::Writable,
            Event::Closed(reason) => Entry::Closed(reason),
            Event::Request { id, message, .. } => match Label::read_message(&message, Purpose::Request) {
                Some(label) if label.from == other(role) => {
                    self.application_mut(role).requests.push((id, label));
                    Entry::Requested(label, message.lane)
                }
                _ => Entry::Nonsense(format!("{id:?} {message:?}")),
            },
            Event::Push { token, message } => {
                self.application_mut(role).tokens.push(token);
                match Label::read_message(&message, Purpose::Push) {
                    Some(label) if label.from == other(role) => Entry::Received(label, message.lane),
                    _ => Entry::Nonsense(format!("{message:?}")),
                }
            }
            Event::Ended { call, outcome } => {
                match self.application_mut(role).calls.remove(&call.sequence().to_u64()) {
                    Some(pending) => self.ended(&pending, outcome),
                    None => {
                        Entry::Nonsense(format!("the end of {call:?}, which is not under way: {outcome:?}"))
                    }
                }
            }
            Event::Draining(code) => Entry::Drained(code),
            Event::Cancelled(id) => return self.given_up(role, id),
            event => Entry::Nonsense(format!("{event:?}")),
        };
        let unblocks =
            matches!(entry, Entry::Opened | Entry::Writable | Entry::Drained(_) | Entry::Closed(_));
        self.record(role, entry);
        if unblocks {
            self.application_mut(role).blocked = false;
            self.send(role);
        }
    }

    /// The peer gave up a call: every second one is answered as cancelled, the others as if nothing had happened.
    fn given_up(&mut self, role: Role, id: Sequence) {
        let requests = &mut self.application_mut(role).requests;
        let Some(at) = requests.iter().position(|(request, _)| request.sequence() == id) else {
            return self.record(role, Entry::Nonsense(format!("{id:?} was given up, and is not in hand")));
        };
        let number = requests[at].1.number;
        self.record(role, Entry::GivenUp(number));
        if number.is_multiple_of(2) {
            let (id, _) = self.application_mut(role).requests.remove(at);
            let now = self.pair.now();
            let (extensions, body) = (Extensions::none(), proto_core::Bytes::new());
            let reply = self.pair.connection(role).reply(now, id, StatusCode::CANCELLED, extensions, body);
            self.record(role, Entry::Replied(number, reply));
        }
    }

    fn ended(&self, &Pending { number, deadline, .. }: &Pending, outcome: Outcome) -> Entry {
        match outcome {
            Outcome::Reply { status, body, .. } => {
                let label = Label::read(&body, Purpose::Reply);
                if label.is_none() && !body.is_empty() {
                    return Entry::Nonsense(format!("call {number} was answered with {body:?}"));
                }
                Entry::Answered(number, status, label)
            }
            Outcome::Discarded => Entry::Discarded(number),
            Outcome::Lost(delivery) => Entry::Lost(number, delivery),
            Outcome::TimedOut(delivery) if deadline.is_some_and(|at| at <= self.pair.now()) => {
                Entry::TimedOut(number, delivery)
            }
            outcome => Entry::Nonsense(format!("call {number} ended with {outcome:?} before {deadline:?}")),
        }
    }

    fn record(&mut self, role: Role, entry: Entry) {
        self.trace.record(role, self.pair.now(), entry);
    }

    fn with<T>(&mut self, role: Role, command: impl FnOnce(&mut Connection, Instant) -> T) -> T {
        let now = self.pair.now();
        command(self.pair.connection(role), now)
    }

    const fn application(&self, role: Role) -> &Application {
        match role {
            Role::Acceptor => &self.acceptor,
            Role::Dialer => &self.dialer,
        }
    }

    const fn application_mut(&mut self, role: Role) -> &mut Application {
        match role {
            Role::Acceptor => &mut self.acceptor,
            Role::Dialer => &mut self.dialer,
        }
    }
}

/// Asks or says something that changes nothing; which, modulo the number of such things.
///
/// A timer that is due does fire, and `now` is taken note of: that is what these methods are for.
pub fn nudge(connection: &mut Connection, now: Instant, which: usize) {
    match which % NUDGES {
        0 => drop(connection.poll_timeout()),
        1 => connection.handle_timeout(now),
        2 => connection.handle_timeout(Instant::EPOCH),
        3 => drop(connection.transmit().flatten().copied().collect::<Vec<u8>>()),
        4 => connection.advance_transmit(now, 0),
        5 => connection.begin_transmit(0),
        6 => connection.handle_input(now, &mut []),
        7 => drop((connection.held_bytes(), connection.transmit_len(), *connection.counters())),
        8 => drop((connection.wants_read(), connection.wants_shutdown(), connection.is_closed())),
        9 => drop((connection.calls_in_flight(), connection.requests_in_flight(), connection.is_open())),
        10 => drop(connection.close_reason().cloned()),
        11 => drop(connection.body_space().map(|space| space.len())),
        _ => drop(format!("{connection:?}")),
    }
}
