//! What a side does, deed after deed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use proto_core::endpoint::ServerHandle;
use proto_core::peer::Peer;
use proto_core::{CloseCode, Role};

use super::alarms::Alarms;
use super::body::{Kind, Label};
use super::faults::Faults;
use super::info;
use super::nursery::{Nursery, pause, until};
use super::table::{Player, say};
use crate::model::Model;
use crate::observed::Watch;
use crate::scenario::write::side;
use crate::scenario::{Call, Deed, Dropped, Push, Scenario};
use crate::trace::{Ending, Left, Pushed, Trace};
use crate::{BOTH, other};

/// How long a side waits for messages that may never come.
pub(crate) const SIGHT: Duration = Duration::from_millis(200);
/// How long it is quiet before a side believes it.
pub(crate) const QUIET: Duration = Duration::from_millis(20);
/// How long a drain may take.
pub(crate) const DRAIN: Duration = Duration::from_secs(20);

/// Both sides, and what they share.
pub(crate) struct Stage {
    scenario: Rc<Scenario>,
    pub(crate) alarms: Alarms,
    pub(crate) watch: Watch,
    pub(crate) faults: Rc<Faults>,
    actors: [Actor; 2],
    client: RefCell<Option<Peer>>,
    server: RefCell<Option<ServerHandle>>,
    restart: Cell<bool>,
}

/// One side.
struct Actor {
    player: Player,
    /// The deed that it is at.
    deed: Cell<Option<Deed>>,
    performed: Cell<bool>,
    /// It wanted to end a connection before it had one: it will have none.
    forlorn: Cell<bool>,
    /// Calls that have not ended.
    open: Cell<usize>,
    /// By the number among the calls: whether it is to be dropped.
    dropped: RefCell<Vec<Rc<Cell<bool>>>>,
    /// Pushes that have not been accepted or refused.
    pushes: RefCell<VecDeque<(u32, Push)>>,
}

impl Stage {
    pub(crate) fn new(scenario: Rc<Scenario>, alarms: &Alarms, watch: Watch) -> Self {
        let actor = |role| Actor {
            player: Player::new(role, alarms),
            deed: Cell::new(None),
            performed: Cell::new(false),
            forlorn: Cell::new(false),
            open: Cell::new(0),
            dropped: RefCell::default(),
            pushes: RefCell::default(),
        };
        Self {
            faults: Rc::new(Faults::new(&scenario.faults)),
            scenario,
            alarms: alarms.clone(),
            watch,
            actors: [actor(Role::Acceptor), actor(Role::Dialer)],
            client: RefCell::default(),
            server: RefCell::default(),
            restart: Cell::new(false),
        }
    }

    const fn actor(&self, role: Role) -> &Actor {
        &self.actors[role as usize]
    }

    pub(crate) const fn player(&self, role: Role) -> &Player {
        &self.actor(role).player
    }

    pub(crate) fn set_client(&self, client: Peer) {
        self.client.replace(Some(client));
    }

    pub(crate) fn set_server(&self, server: Option<ServerHandle>) {
        self.server.replace(server);
    }

    pub(crate) fn server(&self) -> Option<ServerHandle> {
        self.server.borrow().clone()
    }

    pub(crate) fn wants_restart(&self) -> bool {
        self.restart.get()
    }

    pub(crate) fn restarted(&self) {
        self.restart.set(false);
    }

    /// Whether a side's script has ended.
    pub(crate) fn is_performed(&self, role: Role) -> bool {
        self.actor(role).performed.get()
    }

    /// What is waited for, as exactly as it is known.
    pub(crate) fn waits_for(&self, what: &str) -> String {
        let mut told = vec![what.to_owned()];
        for role in BOTH {
            let (actor, name) = (self.actor(role), side(role));
            if let Some(deed) = actor.deed.get().filter(|_| !actor.performed.get()) {
                told.push(format!("the {name} is at `{deed}`"));
            }
            if actor.open.get() > 0 {
                told.push(format!("{} calls of the {name} have not ended", actor.open.get()));
            }
            if !actor.pushes.borrow().is_empty() {
                told.push(format!("{} pushes of the {name} have no room", actor.pushes.borrow().len()));
            }
            let left = self.left(role);
            if self.peer(role).is_none() {
                told.push(format!("the {name} has no connection"));
            } else if !left.is_rest() {
                told.push(format!("the {name} has {} calls in flight and {} bytes", left.calls, left.bytes));
            }
        }
        told.join("; ")
    }

    /// Whether nothing that a side has begun is under way.
    pub(crate) fn is_done(&self, role: Role) -> bool {
        let actor = self.actor(role);
        actor.open.get() == 0 && actor.pushes.borrow().is_empty()
    }

    /// Whether all that a side sent has arrived, and it holds no more than it did in the beginning.
    pub(crate) fn is_at_rest(&self, role: Role) -> bool {
        let left = self.left(role);
        let (player, there) = (self.player(role), self.player(other(role)));
        let accepted = player.record(|side| {
            let accepted = |&&pushed: &&Pushed| pushed == Pushed::Accepted;
            side.pushes.values().filter(accepted).count()
        });
        let arrived = there.record(|side| side.arrivals.iter().filter(|arrival| !arrival.is_call).count());
        let all_there = accepted == arrived || Model::new(&self.scenario).may_end();
        left.is_rest() && all_there
    }

    pub(crate) fn left(&self, role: Role) -> Left {
        let peer = self.peer(role);
        Left {
            calls: peer.as_ref().map_or(0, Peer::calls_in_flight),
            bytes: peer.as_ref().map_or(0, Peer::held_bytes),
            handlers: self.player(role).handlers(),
            ..Left::default()
        }
    }

    pub(crate) fn trace(&self, stuck: Option<String>) -> Trace {
        let side = |role| self.player(role).record(|side| side.clone());
        Trace {
            dialer: side(Role::Dialer),
            acceptor: side(Role::Acceptor),
            stuck,
            faults: self.faults.came(),
            work: self.watch.work(),
        }
    }

    /// The connection as a side knows it, if it knows one.
    fn peer(&self, role: Role) -> Option<Peer> {
        match role {
            Role::Acceptor => self.player(role).peer().filter(|_| !self.actor(role).forlorn.get()),
            Role::Dialer => self.client.borrow().clone(),
        }
    }

    /// Waits until a side has a connection, or will never have one.
    async fn connected(&self, role: Role) {
        let Some(client) = self.peer(Role::Dialer) else { return };
        match role {
            Role::Dialer => drop(client.opened().await),
            Role::Acceptor => {
                let mut over = pin!(client.closed());
                poll_fn(|cx| {
                    if self.player(role).peer().is_some() {
                        Poll::Ready(())
                    } else {
                        over.as_mut().poll(cx).map(drop)
                    }
                })
                .await;
            }
        }
    }

    /// Does all that the script of a side says.
    pub(crate) async fn perform(self: Rc<Self>, role: Role, nursery: Nursery<'_>) {
        if role == Role::Acceptor {
            self.connected(role).await;
        }
        let mut messages = 0;
        for (number, deed) in self.scenario.script(role).iter().enumerate() {
            self.faults.begun(role, number);
            self.actor(role).deed.set(Some(*deed));
            match *deed {
                Deed::Call(call) => {
                    self.call(role, messages, call, &nursery);
                    messages += 1;
                }
                Deed::Push(push) => {
                    self.actor(role).pushes.borrow_mut().push_back((messages, push));
                    messages += 1;
                }
                other => self.act(role, other).await,
            }
            // So that what was begun is where it belongs before the next deed.
            pause().await;
        }
        self.actor(role).performed.set(true);
        self.alarms.nudge();
    }

    async fn act(&self, role: Role, deed: Deed) {
        if deed == Deed::Drain {
            // Before there is a connection it is a close.
            self.connected(role).await;
        }
        let actor = self.actor(role);
        let peer = self.peer(role);
        // Who ends a connection that it does not have yet does not take it when it comes.
        if peer.is_none()
            && matches!(deed, Deed::Abort | Deed::Close | Deed::Drain)
            && !self.scenario.comes_back
        {
            actor.forlorn.set(true);
        }
        match deed {
            Deed::Abort => drop(peer.map(|peer| peer.abort(CloseCode::NORMAL))),
            Deed::Await => until(|| actor.open.get() == 0).await,
            Deed::Close => drop(peer.map(|peer| peer.close(CloseCode::GOING_AWAY, info()))),
            Deed::Drain => drop(peer.map(|peer| peer.drain(CloseCode::GOING_AWAY, info(), DRAIN))),
            Deed::Drop(which) => {
                if let Some(dropped) = actor.dropped.borrow().get(which) {
                    dropped.set(true);
                }
            }
            Deed::Idle(duration) => self.idle(role, duration).await,
            Deed::Hold => actor.player.hold(true),
            Deed::LetGo => actor.player.hold(false),
            Deed::Restart => {
                self.restart.set(true);
                self.alarms.nudge();
                until(|| !self.restart.get()).await;
            }
            Deed::See(count) => {
                let mut late = pin!(self.alarms.wait(SIGHT));
                poll_fn(|cx| {
                    let seen = actor.player.record(|side| side.arrivals.len());
                    if seen >= count { Poll::Ready(()) } else { late.as_mut().poll(cx) }
                })
                .await;
            }
            Deed::Wait(duration) => self.alarms.wait(duration).await,
            Deed::Call(_) | Deed::Push(_) => {}
        }
    }

    /// Waits until all is quiet, and then counts what drivers do although nothing happens.
    async fn idle(&self, role: Role, duration: Duration) {
        until(|| self.is_done(role)).await;
        let mut before = self.watch.work().reads;
        for _ in 0..50 {
            self.alarms.wait(QUIET).await;
            let now = self.watch.work().reads;
            if now == before {
                break;
            }
            before = now;
        }
        self.alarms.wait(duration).await;
        let turns = self.watch.work().reads - before;
        self.player(role).record(|side| side.idle_turns += turns);
    }

    fn call(self: &Rc<Self>, role: Role, number: u32, call: Call, nursery: &Nursery<'_>) {
        let actor = self.actor(role);
        let dropped = Rc::new(Cell::new(false));
        actor.dropped.borrow_mut().push(dropped.clone());
        actor.open.set(actor.open.get() + 1);
        let stage = self.clone();
        nursery.spawn(async move {
            stage.called(role, number, call, &dropped).await;
            let open = &stage.actor(role).open;
            open.set(open.get() - 1);
            stage.alarms.nudge();
        });
    }

    async fn called(&self, role: Role, number: u32, call: Call, dropped: &Cell<bool>) {
        let player = self.player(role);
        let Some(peer) = self.peer(role) else { return player.ended(number, Ending::NotMade) };
        let label = Label { kind: Kind::Call, from: role, number };
        let body = label.call(&call.answer, call.within.is_some(), call.size);
        let message = say(number, body).in_lane(call.lane);
        let future = peer.call_message(message);
        let future = if call.idempotent { future.idempotent() } else { future };
        let future = match call.within {
            Some(within) => future.timeout(within),
            None => future.no_timeout(),
        };
        match self.unless_dropped(future, call.dropped, dropped).await {
            Some(result) => player.call_ended(number, result),
            None => player.ended(number, Ending::Dropped),
        }
    }

    /// Polls a future until it is ready or is to be dropped, and drops it.
    async fn unless_dropped<T>(
        &self,
        future: impl Future<Output = T>,
        dropped: Option<Dropped>,
        by_name: &Cell<bool>,
    ) -> Option<T> {
        let polls = match dropped {
            Some(Dropped::AfterPolls(polls)) => polls,
            _ => usize::MAX,
        };
        let mut late = match dropped {
            Some(Dropped::AfterTime(duration)) => Some(Box::pin(self.alarms.wait(duration))),
            _ => None,
        };
        // One that is dropped at some poll is polled until then, whether or not there is a reason.
        let (mut polled, hurries) = (0, polls < usize::MAX);
        let mut future = Box::pin(future);
        poll_fn(|cx| {
            if polled == polls || by_name.get() {
                return Poll::Ready(None);
            }
            polled += 1;
            if let Poll::Ready(result) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if late.as_mut().is_some_and(|late| late.as_mut().poll(cx).is_ready()) {
                return Poll::Ready(None);
            }
            if hurries {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
        .await
    }

    /// Sends a side's pushes, one after the other.
    pub(crate) async fn pushes(self: Rc<Self>, role: Role) {
        self.connected(role).await;
        let actor = self.actor(role);
        loop {
            until(|| !actor.pushes.borrow().is_empty()).await;
            let Some((number, push)) = actor.pushes.borrow().front().copied() else { continue };
            match self.peer(role) {
                Some(peer) => {
                    let label = Label { kind: Kind::Push, from: role, number };
                    let message = say(number, label.body(push.size)).in_lane(push.lane);
                    let pushed = peer.pushed_message(message);
                    match self.unless_dropped(pushed, push.dropped, &Cell::new(false)).await {
                        Some(result) => actor.player.pushed(number, result),
                        None => drop(actor.player.record(|side| side.pushes.insert(number, Pushed::Dropped))),
                    }
                }
                None => drop(actor.player.record(|side| side.pushes.insert(number, Pushed::NotMade))),
            }
            actor.pushes.borrow_mut().pop_front();
            self.alarms.nudge();
        }
    }
}
