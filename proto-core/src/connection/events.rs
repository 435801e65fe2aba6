//! Events that wait for the application, and how much memory they hold.

use alloc::collections::VecDeque;

use crate::event::Event;

#[derive(Debug)]
pub(super) struct Events {
    queue: VecDeque<Queued>,
    /// Bytes held by everything in the queue beside the queue itself.
    held: usize,
    /// The part of it that replies hold.
    replies: usize,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    held: usize,
}

impl Events {
    pub(super) const fn new() -> Self {
        Self { queue: VecDeque::new(), held: 0, replies: 0 }
    }

    /// Appends an event that holds this many bytes.
    pub(super) fn push(&mut self, event: Event, held: usize) {
        self.held += held;
        if matches!(event, Event::Ended { .. }) {
            self.replies += held;
        }
        self.queue.push_back(Queued { event, held });
    }

    pub(super) fn pop(&mut self) -> Option<Event> {
        let Some(Queued { event, held }) = self.queue.pop_front() else {
            // The application has seen everything, so nothing need be held for it.
            self.queue = VecDeque::new();
            return None;
        };
        self.held -= held;
        if matches!(event, Event::Ended { .. }) {
            self.replies -= held;
        }
        Some(event)
    }

    /// Bytes of replies that wait.
    pub(super) const fn reply_bytes(&self) -> usize {
        self.replies
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.held + self.queue.capacity() * size_of::<Queued>()
    }
}
