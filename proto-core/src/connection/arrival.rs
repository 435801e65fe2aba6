//! What waits for the application, from when it has come until somebody looks at it.

use alloc::boxed::Box;
use core::{fmt, mem};

use crate::event::{Brief, CallId, Event, Message, Outcome, PushToken, RequestId};
use crate::time::Instant;
use crate::wire::{ExtensionBlock, Extensions, Lane, Sequence, StatusCode};

/// What waits. Its parts lie side by side, so that they are written where they stay: to move them there would take longer.
pub(crate) struct Arrival {
    kind: Kind,
    lane: Lane,
    code: u32,
    /// The id of a request or of a call, and what a push was charged.
    number: u64,
    deadline: Option<Instant>,
    body: Option<Box<[u8]>>,
    /// Rarely any, or they would be larger than all else.
    extensions: Option<Box<Extensions>>,
    event: Option<Box<Event>>,
    /// What it holds beside itself.
    pub(super) held: u32,
    /// The length of a reply; 0 of all else.
    pub(super) reply: u32,
}

/// What an arrival is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Request,
    Push,
    Reply,
    Event,
}

/// A message that has come in one piece.
#[derive(Clone, Copy)]
pub(super) struct Whole<'a> {
    /// Its route or its status.
    pub(super) code: u32,
    pub(super) lane: Lane,
    pub(super) block: Option<&'a ExtensionBlock<'a>>,
    pub(super) body: &'a [u8],
}

/// An event, or what becomes one: a message that came in one piece is put together where it is wanted.
pub(crate) enum Item {
    Request(RequestId, Option<Instant>, Parts),
    Push(PushToken, Parts),
    Reply(CallId, Parts),
    Event(Box<Event>),
}

/// Of a message that came in one piece.
pub(crate) struct Parts {
    /// Its route or its status.
    code: u32,
    lane: Lane,
    extensions: Extensions,
    body: Box<[u8]>,
}

impl Arrival {
    /// For how many room is kept while there are none.
    pub(crate) const KEPT: usize = 128;

    /// To be made something of.
    pub(super) const NOTHING: Self = Self {
        kind: Kind::Event,
        lane: Lane::Normal,
        code: 0,
        number: 0,
        deadline: None,
        body: None,
        extensions: None,
        event: None,
        held: 0,
        reply: 0,
    };

    /// Becomes a request.
    #[inline]
    pub(super) fn set_request(&mut self, id: Sequence, deadline: Option<Instant>, whole: &Whole<'_>) {
        self.set(Kind::Request, id.to_u64(), whole);
        self.deadline = deadline;
    }

    /// Becomes a push that was charged as much.
    #[inline]
    pub(super) fn set_push(&mut self, charge: u64, whole: &Whole<'_>) {
        self.set(Kind::Push, charge, whole);
    }

    /// Becomes a reply of this length.
    #[inline]
    pub(super) fn set_reply(&mut self, call: Sequence, length: u32, whole: &Whole<'_>) {
        self.set(Kind::Reply, call.to_u64(), whole);
        self.reply = length;
    }

    /// The body is copied, so that it pins nothing but itself.
    #[inline]
    fn set(&mut self, kind: Kind, number: u64, whole: &Whole<'_>) {
        let Whole { code, lane, block, body } = *whole;
        (self.kind, self.lane, self.code, self.number) = (kind, lane, code, number);
        // The length of a message has 32 bits.
        self.held = body.len() as u32;
        // There is none yet: forgetting it spares the compiler's search for one to be dropped.
        mem::forget(self.body.replace(body.into()));
        if let Some(block) = block {
            self.extend(block);
        }
    }

    // Apart from what is done for every message.
    #[inline(never)]
    fn extend(&mut self, block: &ExtensionBlock<'_>) {
        self.code = block.route_number(self.code);
        let extensions = Extensions::of_block(block);
        self.held += (size_of::<Extensions>() + extensions.held_bytes()) as u32;
        self.extensions = Some(Box::new(extensions));
    }

    /// An event that holds this many bytes.
    pub(super) fn of_event(event: Event, held: usize) -> Self {
        // What one event holds came in one frame or one message, whose length has 32 bits.
        let held = u32::try_from(size_of::<Event>() + held).unwrap_or(u32::MAX);
        Self { event: Some(Box::new(event)), held, ..Self::NOTHING }
    }

    /// The event that it is, unless it becomes one.
    pub(crate) fn as_event(&self) -> Option<&Event> {
        self.event.as_deref()
    }

    /// The request that it becomes, and its deadline.
    #[inline]
    pub(super) fn as_request(&self) -> Option<(Sequence, Option<Instant>)> {
        matches!(self.kind, Kind::Request).then(|| (Sequence::from_u64(self.number), self.deadline))
    }

    /// Whether it becomes a push.
    #[cfg(feature = "peer")]
    pub(super) const fn is_push(&self) -> bool {
        matches!(self.kind, Kind::Push)
    }

    /// Whether it becomes the end of a call.
    #[cfg(feature = "peer")]
    pub(crate) const fn is_reply(&self) -> bool {
        matches!(self.kind, Kind::Reply)
    }

    #[inline]
    pub(crate) fn into_item(self) -> Item {
        let Self { kind, lane, code, number, deadline, body, extensions, event, .. } = self;
        if let Some(event) = event {
            return Item::Event(event);
        }
        let extensions = extensions.map_or(Extensions::none(), |extensions| *extensions);
        let parts = Parts { code, lane, extensions, body: body.unwrap_or_default() };
        match kind {
            Kind::Push => Item::Push(PushToken(number), parts),
            Kind::Reply => Item::Reply(CallId(Sequence::from_u64(number)), parts),
            // All events have gone above.
            Kind::Request | Kind::Event => {
                Item::Request(RequestId(Sequence::from_u64(number)), deadline, parts)
            }
        }
    }
}

impl Item {
    /// The event that it is, or becomes.
    #[inline]
    pub(crate) fn into_event(self) -> Event {
        match self {
            Self::Request(id, deadline, parts) => {
                Event::Request { id, deadline, message: parts.into_message() }
            }
            Self::Push(token, parts) => Event::Push { token, message: parts.into_message() },
            Self::Reply(call, Parts { code, extensions, body, .. }) => {
                let body = body.into();
                Event::Ended { call, outcome: Outcome::Reply { status: StatusCode(code), extensions, body } }
            }
            Self::Event(event) => *event,
        }
    }
}

impl Parts {
    #[inline]
    pub(crate) fn into_message(self) -> Message {
        let Self { code, lane, extensions, body } = self;
        Message { number: code, lane, extensions, body: body.into() }
    }
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(event) = &self.event {
            return event.fmt(f);
        }
        let Self { kind, code, body, .. } = self;
        let body = body.as_deref().unwrap_or_default();
        f.debug_struct("Arrival").field("kind", kind).field("code", code).field("body", &Brief(body)).finish()
    }
}
