//! Events that wait for the application, and how much memory they hold.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

#[cfg(feature = "peer")]
use super::buffers::Boxes;
use crate::event::{CallId, Event, Message, Outcome, PushToken, RequestId};
use crate::time::Instant;
use crate::wire::{Extensions, Lane, Sequence, StatusCode};

/// For how many events room is kept while there are none.
const KEPT: usize = 128;

#[derive(Debug)]
pub(super) struct Events {
    /// Kept for the next event while there is none, until somebody else wants it.
    queue: Option<Box<Queue>>,
    /// Lengths of replies that have been polled and are still kept for the application.
    kept: usize,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    queue: VecDeque<Arrival>,
    /// Bytes held by everything in the queue beside the queue itself.
    held: usize,
    /// Lengths of the replies in the queue, and of those that are arriving in fragments.
    replies: usize,
    /// `Writable` is in the queue. Once is enough, for an application that sends and takes no events.
    writable: bool,
}

/// What waits. Its parts lie side by side, so that they are written where they stay: to move them there would take longer.
#[derive(Debug)]
pub(crate) struct Arrival {
    kind: Kind,
    lane: Lane,
    code: u32,
    /// The id of a request or of a call, and what a push was charged.
    number: u64,
    deadline: Option<Instant>,
    extensions: Extensions,
    body: Option<Box<[u8]>>,
    event: Option<Box<Event>>,
    held: u32,
    /// The length of a reply; 0 of all else.
    reply: u32,
}

/// What an arrival is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Request,
    Push,
    Reply,
    Event,
}

/// An event, or what becomes one: a message in one piece is put together where it is wanted.
#[derive(Debug)]
pub(crate) enum Item {
    Request(RequestId, Option<Instant>, Whole),
    Push(PushToken, Whole),
    Reply(CallId, Whole),
    Event(Box<Event>),
}

/// A message that came in one piece.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Its route or its status.
    pub(crate) code: u32,
    pub(crate) lane: Lane,
    pub(crate) extensions: Extensions,
    pub(crate) body: Box<[u8]>,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self { queue: None, kept: 0 }
    }

    /// Appends an event that holds this many bytes.
    pub(super) fn push(&mut self, event: Event, held: usize) {
        self.queue().append_event(event, held, 0);
    }

    /// Appends a request that came in one piece.
    #[inline]
    pub(super) fn push_request(&mut self, id: Sequence, deadline: Option<Instant>, whole: Whole) {
        let arrival = self.queue().append(Kind::Request, id.to_u64(), whole);
        arrival.deadline = deadline;
    }

    /// Appends a push that came in one piece and was charged as much.
    #[inline]
    pub(super) fn push_push(&mut self, charge: u64, whole: Whole) {
        self.queue().append(Kind::Push, charge, whole);
    }

    /// Appends the end of a call by a reply that came in one piece.
    #[inline]
    pub(super) fn push_whole_reply(&mut self, call: CallId, whole: Whole) {
        let queue = self.queue();
        queue.replies += whole.body.len();
        let arrival = queue.append(Kind::Reply, call.0.to_u64(), whole);
        arrival.reply = arrival.held;
    }

    /// Appends the end of a call by a reply of this length. Its length is what counts against the limit: what it holds
    /// depends on how its bytes were cut.
    pub(super) fn push_reply(&mut self, event: Event, held: usize, length: u32) {
        let queue = self.queue();
        queue.replies += length as usize;
        queue.append_event(event, held, length);
    }

    /// Appends `Writable`, unless it waits already.
    pub(super) fn push_writable(&mut self) {
        if !mem::replace(&mut self.queue().writable, true) {
            self.push(Event::Writable, 0);
        }
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Item> {
        let queue = self.queue.as_mut()?;
        let front = queue.queue.front()?;
        queue.held -= front.held as usize;
        queue.replies -= front.reply as usize;
        if let Some(event) = &front.event {
            queue.writable &= !matches!(**event, Event::Writable);
        }
        queue.queue.pop_front().map(Arrival::into_item)
    }

    /// Hands all that waits to somebody who has nothing, if it may have each of them. What has been asked about is asked about
    /// again, if not all of it was handed over.
    #[cfg(feature = "peer")]
    pub(super) fn hand_over(
        &mut self,
        to: &mut VecDeque<Arrival>,
        mut may_have: impl FnMut(&Arrival) -> bool,
    ) {
        let Some(queue) = self.queue.as_mut() else { return };
        let is_possible = to.is_empty() && !queue.queue.is_empty();
        if is_possible && queue.queue.iter().all(&mut may_have) {
            mem::swap(&mut queue.queue, to);
            queue.held = 0;
        }
    }

    /// The application has seen all there were.
    pub(super) fn end(&mut self) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.queue.capacity() > KEPT) {
            queue.queue = VecDeque::new();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.as_ref().is_none_or(|queue| queue.queue.is_empty())
    }

    /// Gives back what is kept for further events, if the application has seen all there were.
    pub(super) fn shrink(&mut self) {
        drop(self.lend());
    }

    /// Lends the queue to somebody else, if it is empty.
    pub(super) fn lend(&mut self) -> Option<Box<Queue>> {
        self.queue.take_if(|queue| queue.queue.is_empty() && queue.replies == 0)
    }

    /// Takes a queue that somebody else has no use for, unless there is one here.
    #[cfg(feature = "peer")]
    pub(super) fn borrow(&mut self, queues: &mut Boxes<Queue>) {
        if self.queue.is_none() {
            self.queue = queues.pop();
        }
    }

    /// Makes room for a reply that begins to arrive in fragments.
    pub(super) fn begin_reply(&mut self, length: u32) {
        self.queue().replies += length as usize;
    }

    /// It has arrived, or nobody wants it any more.
    pub(super) fn end_reply(&mut self, length: u32) {
        self.queue().replies -= length as usize;
    }

    /// Nothing arrives any more.
    pub(super) fn end_arriving(&mut self) {
        if let Some(queue) = &mut self.queue {
            queue.replies = queue.queue.iter().map(|arrival| arrival.reply as usize).sum();
        }
    }

    /// Lengths of the replies that wait, here or with whoever polled them, or are on their way.
    pub(super) fn reply_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.replies) + self.kept
    }

    pub(super) const fn keep(&mut self, kept: usize) {
        self.kept = kept;
    }

    /// One more reply of this length is kept for the application.
    pub(super) const fn keep_more(&mut self, length: usize) {
        self.kept += length;
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.held + queue.held_bytes())
    }

    #[inline]
    fn queue(&mut self) -> &mut Queue {
        self.queue.get_or_insert_default()
    }
}

impl Queue {
    /// What it holds beside what its events do.
    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.queue.capacity() * size_of::<Arrival>()
    }

    /// Appends a message that came in one piece.
    #[inline]
    fn append(&mut self, kind: Kind, number: u64, whole: Whole) -> &mut Arrival {
        let Whole { code, lane, extensions, body } = whole;
        let held = extensions.held_bytes() + body.len();
        self.held += held;
        let arrival = self.push_back();
        (arrival.kind, arrival.lane, arrival.code, arrival.number) = (kind, lane, code, number);
        // The length of a message has 32 bits.
        arrival.held = held as u32;
        arrival.extensions = extensions;
        arrival.body = Some(body);
        arrival
    }

    fn append_event(&mut self, event: Event, held: usize, reply: u32) {
        let arrival = Arrival { reply, ..Arrival::of_event(event, held) };
        self.held += arrival.held as usize;
        self.queue.push_back(arrival);
    }

    /// A new arrival, to be written where it stays: what is moved in here would be put together elsewhere first, for the case that
    /// there is no memory.
    #[inline]
    fn push_back(&mut self) -> &mut Arrival {
        let at = self.queue.len();
        self.queue.push_back(const { Arrival::NOTHING });
        &mut self.queue[at]
    }
}

impl Arrival {
    const NOTHING: Self = Self {
        kind: Kind::Event,
        lane: Lane::Normal,
        code: 0,
        number: 0,
        deadline: None,
        extensions: Extensions::none(),
        body: None,
        event: None,
        held: 0,
        reply: 0,
    };

    fn of_event(event: Event, held: usize) -> Self {
        // What one event holds came in one frame or one message, whose length has 32 bits.
        let held = u32::try_from(size_of::<Event>() + held).unwrap_or(u32::MAX);
        Self { event: Some(Box::new(event)), held, ..Self::NOTHING }
    }

    /// The request that it is, and its deadline.
    #[cfg(feature = "peer")]
    #[inline]
    pub(super) fn as_request(&self) -> Option<(Sequence, Option<Instant>)> {
        matches!(self.kind, Kind::Request).then(|| (Sequence::from_u64(self.number), self.deadline))
    }

    #[cfg(feature = "peer")]
    pub(super) const fn is_push(&self) -> bool {
        matches!(self.kind, Kind::Push)
    }

    #[inline]
    pub(crate) fn into_item(self) -> Item {
        let Self { kind, lane, code, number, deadline, extensions, body, event, .. } = self;
        if let Some(event) = event {
            return Item::Event(event);
        }
        let whole = Whole { code, lane, extensions, body: body.unwrap_or_default() };
        match kind {
            Kind::Push => Item::Push(PushToken(number), whole),
            Kind::Reply => Item::Reply(CallId(Sequence::from_u64(number)), whole),
            Kind::Request | Kind::Event => {
                Item::Request(RequestId(Sequence::from_u64(number)), deadline, whole)
            }
        }
    }
}

impl From<Event> for Arrival {
    /// For somebody who does not count what is held.
    fn from(event: Event) -> Self {
        Self::of_event(event, 0)
    }
}

impl Item {
    /// The event that it is, or becomes.
    #[inline]
    pub(crate) fn into_event(self) -> Event {
        match self {
            Self::Request(id, deadline, whole) => {
                Event::Request { id, deadline, message: whole.into_message() }
            }
            Self::Push(token, whole) => Event::Push { token, message: whole.into_message() },
            Self::Reply(call, Whole { code, extensions, body, .. }) => {
                let body = body.into();
                Event::Ended { call, outcome: Outcome::Reply { status: StatusCode(code), extensions, body } }
            }
            Self::Event(event) => *event,
        }
    }
}

impl Whole {
    #[inline]
    pub(crate) fn into_message(self) -> Message {
        let Self { code, lane, extensions, body } = self;
        Message { number: code, lane, extensions, body: body.into() }
    }
}
