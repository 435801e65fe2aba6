//! One thread that calls: its connections, its calls in flight, and what comes of them.
//!
//! All of it is one task. When it runs it asks for the time once, takes what has ended, and makes the calls that there is
//! room for. Nothing in here waits, locks, formats or allocates for a call that is answered.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use adapter_tokio::{CallError, Client, Delivery, Refusal, StatusCode};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::alarm::Alarm;
use super::calls::{CallResult, Calls, Ticket};
use super::clock::{Clock, Nanos};
use super::load::Load;
use super::plan::Plan;
use super::recorder::Recorder;
use super::sample::Kind;
use super::usage::ThreadTime;
use super::word::{Order, Part, Word};
use crate::exit::describe;

pub(super) struct Worker {
    plan: Arc<Plan>,
    thread: usize,
    clock: Clock,
    orders: UnboundedReceiver<Order>,
    words: UnboundedSender<Word>,
    alarm: Alarm,
    connections: Vec<Connection>,
    /// Those of them that may have room for the next call: they take turns.
    in_line: VecDeque<usize>,
    calls: Calls,
    /// `None` before it begins.
    run: Option<Run>,
    is_abandoned: bool,
}

#[derive(Default)]
struct Connection {
    /// `None` while it takes no calls.
    client: Option<Client>,
    /// Tells apart those that come after one another.
    generation: u32,
    in_flight: usize,
    is_in_line: bool,
}

struct Run {
    load: Load,
    recorder: Recorder,
    /// Calls that were due and that nobody made.
    unmade: u64,
    busy: Busy,
}

/// What the thread had of the processors: at the beginning, and from then to the end.
#[derive(Default)]
struct Busy {
    begun: Option<(ThreadTime, Nanos)>,
    total: Option<(ThreadTime, Nanos)>,
}

impl Worker {
    pub(super) fn new(
        (plan, thread): (Arc<Plan>, usize),
        clock: Clock,
        orders: UnboundedReceiver<Order>,
        words: UnboundedSender<Word>,
    ) -> io::Result<Self> {
        let connections = plan.share(plan.connections as u64, thread) as usize;
        Ok(Self {
            alarm: Alarm::new()?,
            connections: std::iter::repeat_with(Connection::default).take(connections).collect(),
            in_line: VecDeque::new(),
            calls: Calls::new(connections * plan.in_flight),
            run: None,
            is_abandoned: false,
            plan,
            thread,
            clock,
            orders,
            words,
        })
    }

    /// Calls until all is over.
    pub(super) async fn run(mut self) -> io::Result<Part> {
        poll_fn(|cx| self.poll(cx)).await?;
        let now = self.clock.now();
        let Some(Run { recorder, unmade, busy, .. }) = self.run else { return Ok(Part::default()) };
        let in_flight = self.calls.tickets().filter(|ticket| recorder.counts(ticket.due)).count();
        Ok(Part { summary: recorder.end(now), abandoned: unmade + in_flight as u64, busy: busy.total })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.calls.set_task(cx.waker());
        self.alarm.poll(cx)?;
        let now = self.clock.now();
        if let Some(run) = &mut self.run {
            run.advance(now);
        }
        while let Poll::Ready(Some(order)) = self.orders.poll_recv(cx) {
            self.obey(order, now);
        }
        while let Some((ticket, result)) = self.calls.next_ended() {
            self.settle(ticket, result, now);
        }
        self.make_calls(now);
        if self.is_abandoned {
            return Poll::Ready(Ok(()));
        }
        let Some(run) = &self.run else { return Poll::Pending };
        if run.load.has_ended(now) && !run.load.is_waiting() && self.calls.in_flight() == 0 {
            return Poll::Ready(Ok(()));
        }
        let next = run.load.next(now).unwrap_or(Nanos::MAX).min(run.recorder.tick_ends());
        self.alarm.set(next, now, cx)?;
        Poll::Pending
    }

    fn obey(&mut self, order: Order, now: Nanos) {
        match order {
            Order::Up(number, client) => {
                let connection = &mut self.connections[number];
                connection.client = Some(client);
                connection.generation += 1;
                self.line_up(number);
            }
            Order::Down(number) => self.connections[number].client = None,
            Order::Begin(begin) => {
                let load = Load::new(&self.plan, self.thread, begin);
                let recorder = Recorder::new(self.words.clone(), begin + self.plan.warm_up);
                let mut run = Run { load, recorder, unmade: 0, busy: Busy::default() };
                run.advance(now);
                self.run = Some(run);
            }
            Order::Stop => self.stop(now),
            Order::Abandon => {
                self.stop(now);
                self.is_abandoned = true;
            }
        }
    }

    /// Makes no further calls.
    fn stop(&mut self, now: Nanos) {
        if let Some(run) = &mut self.run {
            let waiting = run.load.waiting().filter(|&due| run.recorder.counts(due)).count();
            run.unmade += waiting as u64;
            run.load.stop();
            run.close_window(now);
        }
    }

    /// Makes all calls that are due and that there is room for.
    fn make_calls(&mut self, now: Nanos) {
        if let Some(run) = &mut self.run {
            run.let_arrive(now, self.plan.timeout);
        }
        while let Some(&number) = self.in_line.front() {
            let Some(run) = &mut self.run else { return };
            let connection = &mut self.connections[number];
            let Some(client) =
                connection.client.as_ref().filter(|_| connection.in_flight < self.plan.in_flight)
            else {
                connection.is_in_line = false;
                self.in_line.pop_front();
                continue;
            };
            let Some((due, is_new)) = run.load.take(now) else { return };
            if is_new {
                run.recorder.due(due);
            }
            let body = self.calls.next_place() % self.plan.bodies.len();
            let mut message = self.plan.message.clone();
            message.body = self.plan.bodies[body].clone();
            let call = client.call_message(message);
            let call = match self.plan.timeout {
                Some(timeout) => call.timeout(Duration::from_nanos((due + timeout).saturating_sub(now))),
                None => call.no_timeout(),
            };
            let ticket = Ticket { due, connection: number, generation: connection.generation, body };
            connection.in_flight += 1;
            self.in_line.rotate_left(1);
            if let Some(result) = self.calls.start(call, ticket) {
                self.settle(ticket, result, now);
            }
        }
    }

    /// Puts a connection in line for the next call.
    fn line_up(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        if connection.client.is_some() && !connection.is_in_line {
            connection.is_in_line = true;
            self.in_line.push_back(number);
        }
    }

    /// Takes note of what a call has come to.
    fn settle(&mut self, ticket: Ticket, result: CallResult, now: Nanos) {
        self.connections[ticket.connection].in_flight -= 1;
        self.line_up(ticket.connection);
        let Some(Run { load, recorder, .. }) = &mut self.run else { return };
        let body = &self.plan.bodies[ticket.body];
        let error = match result {
            Ok(reply) if self.plan.check && reply.body != *body => {
                return recorder.failed(ticket.due, now, Kind::WrongAnswer, None);
            }
            Ok(reply) => return recorder.answered(ticket.due, now, body.len(), reply.body.len()),
            Err(error) => error,
        };
        let kind = match &error {
            // It was certainly not run, so it is due still, for a connection that takes it.
            CallError::Status(status) if status.code == StatusCode::DRAINING => None,
            CallError::Refused(refused) => match refused.refusal {
                Refusal::Closed | Refusal::Draining | Refusal::NotOpen => None,
                // All others would be refused as well.
                _ => {
                    let _ = self.words.send(Word::Impossible(describe(&error)));
                    return self.stop(now);
                }
            },
            CallError::Status(status) => Some(Kind::Status(status.code)),
            CallError::TimedOut(delivery) => Some(Kind::TimedOut(*delivery)),
            CallError::Lost { delivery, .. } => Some(Kind::Lost(*delivery)),
            CallError::Discarded => Some(Kind::Discarded),
            _ => Some(Kind::Other),
        };
        match kind {
            Some(kind) => recorder.failed(ticket.due, now, kind, Some(&error)),
            None => load.put_back(ticket.due),
        }
        let connection = &mut self.connections[ticket.connection];
        let is_over = kind.is_none() || matches!(error, CallError::Lost { .. });
        if is_over && connection.generation == ticket.generation {
            connection.client = None;
        }
    }
}

impl Run {
    /// It is so late now.
    fn advance(&mut self, now: Nanos) {
        self.recorder.advance(now);
        if self.busy.begun.is_none() && self.recorder.counts(now) {
            self.busy.begun = ThreadTime::own().map(|time| (time, now));
        }
        if let Some(until) = self.load.until().filter(|&until| now >= until) {
            self.close_window(until);
        }
    }

    /// Lets calls become due, and too late.
    fn let_arrive(&mut self, now: Nanos, timeout: Option<Nanos>) {
        let Self { load, recorder, .. } = self;
        load.advance(now, |due, fits| {
            recorder.due(due);
            if !fits {
                recorder.failed(due, now, Kind::BacklogFull, None);
            }
        });
        let Some(oldest) = timeout.and_then(|timeout| now.checked_sub(timeout)) else { return };
        while let Some(due) = load.expired(oldest) {
            recorder.failed(due, now, Kind::TimedOut(Delivery::NotSent), None);
        }
    }

    fn close_window(&mut self, at: Nanos) {
        self.recorder.close_window(at);
        if let (Some((time, begun)), None) = (self.busy.begun, self.busy.total) {
            self.busy.total = ThreadTime::own().map(|now| (now.since(&time), at.saturating_sub(begun)));
        }
    }
}
