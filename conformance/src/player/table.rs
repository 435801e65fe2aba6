//! What one side knows and writes down: its handler, which runs wherever the runtime has it run.

use std::fmt;
use std::future::{Future, Ready, pending, ready};
use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use proto_core::peer::{CallError, Handler, Peer, Push, Refuse, Reply, Request, Status};
use proto_core::wire::Hello;
use proto_core::{Bytes, CloseReason, Delivery, Lane, Message, Refusal, Refused, Role, Route, StatusCode};

use super::alarms::Alarms;
use super::body::{Kind, LEAST, Label};
use crate::other;
use crate::scenario::{Answer, Answered};
use crate::trace::{Arrival, End, Ending, Pushed, Side};

/// The routes of messages: by number and by name in turn.
const NUMBER: u32 = 1;
const NAME: &str = "scenario";
/// What a handler answers whose own call has failed.
pub(crate) const BACK_FAILED: StatusCode = StatusCode(2000);

/// A message of this number with this body.
pub(crate) fn say(number: u32, body: Vec<u8>) -> Message {
    if number.is_multiple_of(2) {
        Message::new(NUMBER, body)
    } else {
        Message::named(NAME, body).expect("the name is short")
    }
}

/// One side's application: it answers as each call says, and writes down what it observes. Clones are the same.
#[derive(Clone)]
pub struct Player(Arc<Table>);

struct Table {
    role: Role,
    alarms: Alarms,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    side: Side,
    /// The connection that was opened last, until it ends.
    peer: Option<Peer>,
    holding: bool,
    held: Vec<Waker>,
    handlers: usize,
    /// Servers that have been replaced, each of which counted its connections from 1.
    servers: u64,
}

impl fmt::Debug for Player {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Player").field("role", &self.0.role).finish_non_exhaustive()
    }
}

impl Player {
    pub(crate) fn new(role: Role, alarms: &Alarms) -> Self {
        Self(Arc::new(Table { role, alarms: alarms.clone(), state: Mutex::default() }))
    }

    /// The connection that was opened last, unless it has ended.
    pub(crate) fn peer(&self) -> Option<Peer> {
        self.state().peer.clone()
    }

    pub(crate) fn record<T>(&self, write: impl FnOnce(&mut Side) -> T) -> T {
        write(&mut self.state().side)
    }

    pub(crate) fn handlers(&self) -> usize {
        self.state().handlers
    }

    /// From now on pushes wait, or wait no more.
    pub(crate) fn hold(&self, holding: bool) {
        let held = {
            let mut state = self.state();
            state.holding = holding;
            mem::take(&mut state.held)
        };
        held.into_iter().for_each(Waker::wake);
    }

    /// Another server begins to count its connections.
    pub(crate) fn replaced(&self) {
        self.state().servers += 1;
    }

    pub(crate) fn call_ended(&self, number: u32, result: Result<Reply, CallError>) {
        let ending = match result {
            Ok(reply) => return self.answered(number, &reply.body),
            Err(CallError::Status(status)) => match status.code {
                StatusCode::DEADLINE_EXPIRED => Ending::TimedOut,
                code if !code.may_have_run() => Ending::NotMade,
                code => {
                    let words = Label { kind: Kind::Reply, from: self.0.role, number }.words();
                    if code >= StatusCode::APPLICATION && code != BACK_FAILED && status.body != words {
                        self.nonsense(format!("call {number} was answered with the words {:?}", status.body));
                    }
                    Ending::Answered(code.0, 0)
                }
            },
            Err(CallError::Discarded) => Ending::Discarded,
            Err(CallError::TimedOut(_)) => Ending::TimedOut,
            Err(CallError::Lost { delivery: Delivery::MaybeSent, .. }) => Ending::Lost,
            Err(CallError::Lost { .. }) => Ending::NotMade,
            Err(error) => match error.refusal() {
                Some(Refusal::Closed | Refusal::Draining | Refusal::NotOpen) => Ending::NotMade,
                _ => Ending::Refused,
            },
        };
        self.ended(number, ending);
    }

    pub(crate) fn ended(&self, number: u32, ending: Ending) {
        self.record(|side| side.calls.entry(number).or_default().push(ending));
    }

    pub(crate) fn answered(&self, number: u32, body: &Bytes) {
        let expected = Label { kind: Kind::Reply, from: self.0.role, number };
        if Label::read(body) == Some(expected) {
            self.ended(number, Ending::Answered(0, body.len()));
        } else {
            self.nonsense(format!("call {number} was answered with what nobody answered to it: {body:?}"));
        }
    }

    pub(crate) fn pushed(&self, number: u32, result: Result<(), Refused>) {
        let pushed = match result {
            Ok(()) => Pushed::Accepted,
            Err(refused) => match refused.refusal {
                Refusal::Closed | Refusal::Draining | Refusal::NotOpen => Pushed::NotMade,
                _ => Pushed::Refused,
            },
        };
        self.record(|side| side.pushes.insert(number, pushed));
    }

    pub(crate) fn nonsense(&self, what: String) {
        self.record(|side| side.nonsense.push(what));
    }

    pub(crate) fn connection_ended(&self, reason: &CloseReason) {
        let end = match reason {
            CloseReason::Local(_) => End::Here,
            CloseReason::Peer(code, _) if (0x0101..0x0300).contains(&code.0) => End::Protocol,
            CloseReason::Peer(code, _) => End::There(code.0),
            CloseReason::Protocol(_) => End::Protocol,
            _ => End::Broken,
        };
        self.record(|side| {
            if end == End::Protocol {
                side.accusations.push(reason.to_string());
            }
            side.ends.push(end);
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what came, and reads whose it is.
    pub(crate) fn arrived(
        &self,
        kinds: &[Kind],
        body: &Bytes,
        lane: Lane,
        route: Route<'_>,
        connection: u64,
    ) -> Option<Label> {
        let is_its_route = |label: &Label| route == say(label.number, Vec::new()).route();
        let label = Label::read(body).filter(is_its_route);
        let Some(label) =
            label.filter(|label| kinds.contains(&label.kind) && label.from == other(self.0.role))
        else {
            self.nonsense(format!("a message came that nobody sent: {body:?}"));
            return None;
        };
        if label.kind != Kind::Nested {
            let is_call = label.kind == Kind::Call;
            let State { side, servers, .. } = &mut *self.state();
            // A client has no numbers for its connections, and has one after the other.
            let connection = if connection == 0 { side.opened as u64 } else { connection + (*servers << 32) };
            side.arrivals.push(Arrival { number: label.number, is_call, lane, connection });
        }
        self.0.alarms.nudge();
        Some(label)
    }

    async fn answer(self, peer: Peer, label: Label, answer: Answer) -> Result<Reply, Status> {
        let _present = Present::new(self.clone());
        if !answer.after.is_zero() {
            self.0.alarms.wait(answer.after).await;
        }
        if let Some(size) = answer.back {
            let nested = Label { kind: Kind::Nested, from: self.0.role, number: label.number };
            let call = peer.call_message(say(label.number, nested.body(size))).no_timeout();
            let reply = call.await.map_err(|_| Status::from(BACK_FAILED))?;
            if Label::read(&reply.body) != Some(nested) {
                self.nonsense(format!("a call back was answered with something else: {:?}", reply.body));
            }
        }
        match answer.what {
            Answered::Never => pending().await,
            // Said by nobody: the scenario wants it.
            Answered::Panic => resume_unwind(Box::new("as the scenario says")),
            Answered::Reply(size) => Ok(Label { kind: Kind::Reply, ..label }.body(size.max(LEAST)).into()),
            Answered::Status(code) => Err(Status::new(StatusCode(code.into()), label.words())),
        }
    }

    /// Waits while pushes are held.
    async fn released(self) {
        let _present = Present::new(self.clone());
        std::future::poll_fn(|cx| {
            let mut state = self.state();
            if state.holding {
                state.held.push(cx.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

/// A handler is at work.
struct Present(Player);

impl Present {
    fn new(player: Player) -> Self {
        player.state().handlers += 1;
        Self(player)
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.state().handlers -= 1;
        self.0.0.alarms.nudge();
    }
}

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Handler for Player {
    type Request = Boxed<Result<Reply, Status>>;
    type Push = Boxed<()>;
    type Open = Ready<Result<(), Refuse>>;

    fn request(&self, peer: Peer, request: Request) -> Self::Request {
        let Some(label) = self.arrived(
            &[Kind::Call, Kind::Nested],
            &request.body,
            request.lane,
            request.route(),
            peer.id(),
        ) else {
            return Box::pin(ready(Err(StatusCode::BAD_REQUEST.into())));
        };
        if label.kind == Kind::Nested {
            return Box::pin(ready(Ok(request.body.into())));
        }
        if request.deadline.is_some() != Label::has_deadline(&request.body) {
            self.nonsense(format!("call {} came with deadline {:?}", label.number, request.deadline));
        }
        match Label::answer(&request.body) {
            Some(answer) => Box::pin(self.clone().answer(peer, label, answer)),
            None => Box::pin(ready(Err(StatusCode::BAD_REQUEST.into()))),
        }
    }

    fn push(&self, peer: Peer, push: Push) -> Self::Push {
        match self.arrived(&[Kind::Push], &push.body, push.lane, push.route(), peer.id()) {
            Some(_) => Box::pin(self.clone().released()),
            None => Box::pin(ready(())),
        }
    }

    /// On the acceptor, who has been let in here is who will be heard of when it ends.
    fn open(&self, _: Peer, _: Hello) -> Self::Open {
        self.record(|side| side.opened += 1);
        ready(Ok(()))
    }

    fn opened(&self, peer: &Peer) {
        let mut state = self.state();
        state.side.opened += usize::from(self.0.role == Role::Dialer);
        state.peer = Some(peer.clone());
        drop(state);
        self.0.alarms.nudge();
    }

    fn close(&self, peer: &Peer, reason: &CloseReason) {
        let mut state = self.state();
        if state.peer.as_ref().is_some_and(|current| current.id() == peer.id()) {
            state.peer = None;
        }
        drop(state);
        self.connection_ended(reason);
        self.0.alarms.nudge();
    }
}
