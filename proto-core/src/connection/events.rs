//! Events that wait for the application, and how much memory they hold.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::mem;

use super::arrival::{Arrival, Whole};
#[cfg(feature = "peer")]
use super::buffers::Boxes;
use crate::event::Event;
use crate::time::Instant;
use crate::wire::Sequence;

#[derive(Debug)]
pub(super) struct Events {
    /// Kept for the next event while there is none, until somebody else wants it.
    queue: Option<Box<Queue>>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    queue: VecDeque<Arrival>,
    /// Bytes held by everything in the queue beside the queue itself.
    held: usize,
    /// Lengths of the replies in the queue, and of those that are arriving in fragments.
    replies: usize,
    /// Lengths of replies that have been polled and are still kept for the application, as it said last, and of those that were taken
    /// since without an event.
    kept: usize,
    /// `Writable` is in the queue. Once is enough, for an application that sends and takes no events.
    writable: bool,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self { queue: None }
    }

    /// Appends an event that holds this many bytes.
    pub(super) fn push(&mut self, event: Event, held: usize) {
        self.queue().append_event(event, held, 0);
    }

    /// Appends a request that came in one piece.
    #[inline]
    pub(super) fn push_request(&mut self, id: Sequence, deadline: Option<Instant>, whole: &Whole<'_>) {
        self.queue().append(|arrival| arrival.set_request(id, deadline, whole));
    }

    /// Appends a push that came in one piece and was charged as much.
    #[inline]
    pub(super) fn push_push(&mut self, charge: u64, whole: &Whole<'_>) {
        self.queue().append(|arrival| arrival.set_push(charge, whole));
    }

    /// Appends the end of a call by a reply that came in one piece and has this length.
    #[inline]
    pub(super) fn push_whole_reply(&mut self, call: Sequence, length: u32, whole: &Whole<'_>) {
        let queue = self.queue();
        queue.replies += length as usize;
        queue.append(|arrival| arrival.set_reply(call, length, whole));
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
    pub(super) fn first(&self) -> Option<&Arrival> {
        self.queue.as_ref()?.queue.front()
    }

    #[inline]
    pub(super) fn pop(&mut self) -> Option<Arrival> {
        let queue = self.queue.as_mut()?;
        let first = queue.queue.front()?;
        queue.held -= first.held as usize;
        queue.replies -= first.reply as usize;
        queue.writable &= !matches!(first.as_event(), Some(Event::Writable));
        queue.queue.pop_front()
    }

    /// Hands all that waits to somebody who has nothing, if it may have each of them. What has been asked about is asked about
    /// again, if not all of it was handed over.
    #[cfg(feature = "peer")]
    pub(super) fn move_to(&mut self, to: &mut VecDeque<Arrival>, mut may_have: impl FnMut(&Arrival) -> bool) {
        let Some(queue) = self.queue.as_mut() else { return };
        let is_possible = to.is_empty() && !queue.queue.is_empty();
        if is_possible && queue.queue.iter().all(&mut may_have) {
            mem::swap(&mut queue.queue, to);
            queue.held = 0;
        }
    }

    /// The application has seen all there were.
    #[inline]
    pub(super) fn end(&mut self) {
        if let Some(queue) = self.queue.as_mut().filter(|queue| queue.queue.capacity() > Arrival::KEPT) {
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

    /// Lends the queue to somebody else, if it is empty and no reply is kept.
    pub(super) fn lend(&mut self) -> Option<Box<Queue>> {
        self.queue.take_if(|queue| queue.queue.is_empty() && queue.replies == 0 && queue.kept == 0)
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
        self.queue.as_ref().map_or(0, |queue| queue.replies + queue.kept)
    }

    pub(super) fn keep(&mut self, kept: usize) {
        if kept > 0 || self.queue.is_some() {
            self.queue().kept = kept;
        }
    }

    /// One more reply of this length is kept for the application.
    pub(super) fn keep_more(&mut self, length: usize) {
        self.queue().kept += length;
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

    /// Appends what `set` makes of nothing, where it stays: what is moved in here would be put together elsewhere first, for the case
    /// that there is no memory.
    #[inline]
    fn append(&mut self, set: impl FnOnce(&mut Arrival)) {
        let at = self.queue.len();
        self.queue.push_back(const { Arrival::NOTHING });
        let arrival = &mut self.queue[at];
        set(arrival);
        self.held += arrival.held as usize;
    }

    fn append_event(&mut self, event: Event, held: usize, reply: u32) {
        let mut arrival = Arrival::of_event(event, held);
        arrival.reply = reply;
        self.held += arrival.held as usize;
        self.queue.push_back(arrival);
    }
}
