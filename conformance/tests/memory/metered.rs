//! Connections that are charged for every byte that lives because of them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use conformance::stepwise::Action;
use conformance::stepwise::label::{Label, Purpose};
use proptest::prelude::*;
use proto_core::wire::{CloseInfo, Extensions, StatusCode};
use proto_core::{
    CallId, CloseCode, Connection, Event, Instant, Lane, PushToken, RequestId, Role, SharedConfig, Timeout,
};

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

impl Counting {
    fn count(bytes: isize) {
        LIVE.with(|live| live.set(live.get() + bytes));
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every request goes to the system's allocator unchanged, and counting allocates nothing: the counter is a
// constant-initialised thread-local without a destructor.
#[allow(unsafe_code, reason = "only an allocator can see what lives")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count(layout.size() as isize);
        // SAFETY: the caller keeps to the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        Self::count(-(layout.size() as isize));
        // SAFETY: the caller keeps to the contract of `dealloc`, and the pointer came from the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps to the contract of `realloc`, and the pointer came from the same allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// A connection and the heap that lives because of it.
pub(crate) struct Metered {
    pub(crate) connection: Connection,
    pub(crate) live: isize,
    now: Instant,
}

/// What is left of an event once its memory has been given back.
pub(crate) enum Seen {
    Hello,
    Request(RequestId),
    Push(PushToken),
    Ended(CallId),
    Other,
}

/// What [`bytes::Bytes`](proto_core::Bytes) takes from the heap when a body is shared for the first time.
const SHARED: isize = 24;

impl Metered {
    pub(crate) fn new(config: &SharedConfig, role: Role) -> Self {
        let now = Instant::EPOCH;
        let before = LIVE.get();
        let connection = Connection::new(config, role, now, 1);
        Self { connection, live: LIVE.get() - before, now }
    }

    /// Does something to the connection and charges it for what lives afterwards. What `act` makes for the connection, it
    /// must make within; what it gets back it must drop, and only what holds no memory may be returned.
    pub(crate) fn act<T>(&mut self, act: impl FnOnce(&mut Connection, Instant) -> T) -> T {
        let before = LIVE.get();
        let result = act(&mut self.connection, self.now);
        self.live += LIVE.get() - before;
        result
    }

    pub(crate) fn poll(&mut self) -> Option<Seen> {
        self.act(|connection, _| {
            connection.poll_event().map(|event| match event {
                Event::Hello(_) => Seen::Hello,
                Event::Request { id, .. } => Seen::Request(id),
                Event::Push { token, .. } => Seen::Push(token),
                Event::Ended { call, .. } => Seen::Ended(call),
                _ => Seen::Other,
            })
        })
    }

    pub(crate) fn send(
        &mut self,
        label: Label,
        purpose: Purpose,
        size: usize,
        metadata: usize,
        (timeout, lane): (Timeout, Lane),
    ) -> Option<CallId> {
        self.act(|connection, now| {
            let message = label.message(purpose, size, metadata).in_lane(lane);
            match purpose {
                Purpose::Request => connection.call(now, message, timeout).ok(),
                Purpose::Push | Purpose::Reply => connection.push(now, message).ok().and(None),
            }
        })
    }

    pub(crate) fn check(&self) -> Result<(), TestCaseError> {
        let (said, live) = (self.connection.held_bytes() as isize, self.live);
        // A body that is sent in pieces needs to count who shares it. Whether it did so before is its maker's affair.
        let shared = live - said;
        prop_assert!(
            (0..=8 * SHARED).contains(&shared) && shared % SHARED == 0,
            "held_bytes is {said}, {live} are live: {:?}",
            self.connection
        );
        Ok(())
    }
}

/// One side of the scripts below.
pub(crate) struct Peer {
    pub(crate) metered: Metered,
    pub(crate) role: Role,
    next: u32,
    pub(crate) calls: Vec<CallId>,
    pub(crate) requests: Vec<RequestId>,
    pub(crate) tokens: Vec<PushToken>,
}

impl Peer {
    pub(crate) fn new(config: &SharedConfig, role: Role) -> Self {
        Self {
            metered: Metered::new(config, role),
            role,
            next: 0,
            calls: Vec::new(),
            requests: Vec::new(),
            tokens: Vec::new(),
        }
    }

    pub(crate) fn act(&mut self, action: &Action) {
        match *action {
            Action::Call { size, metadata, timeout, lane } => {
                let timeout = timeout.map_or(Timeout::Never, Timeout::After);
                let label = self.label();
                let call = self.metered.send(label, Purpose::Request, size, metadata, (timeout, lane));
                self.calls.extend(call);
            }
            Action::Push { size, metadata, lane } => {
                let label = self.label();
                self.metered.send(label, Purpose::Push, size, metadata, (Timeout::Never, lane));
            }
            Action::Reply { which, size } if !self.requests.is_empty() => {
                let id = self.requests.remove(which % self.requests.len());
                let label = self.label();
                self.metered.act(|connection, now| {
                    let body = label.body(Purpose::Reply, size).into();
                    connection.reply(now, id, StatusCode::OK, Extensions::none(), body).is_ok()
                });
            }
            Action::Cancel { which } if !self.calls.is_empty() => {
                let call = self.calls.swap_remove(which % self.calls.len());
                self.metered.act(|connection, now| connection.cancel(now, call));
            }
            Action::Release { which } if !self.tokens.is_empty() => {
                let token = self.tokens.remove(which % self.tokens.len());
                self.metered.act(|connection, now| connection.release(now, token));
            }
            Action::Poll(most) => {
                for _ in 0..most {
                    self.poll();
                }
            }
            Action::Close => self.metered.act(|connection, now| {
                connection.close(now, CloseCode::GOING_AWAY, CloseInfo::with_text("enough of this"));
            }),
            Action::Abort => self.metered.act(|connection, now| connection.abort(now, CloseCode::NORMAL)),
            Action::Accept => self.metered.act(|connection, now| connection.accept(now)),
            Action::Wait(duration) => {
                self.metered.now += duration;
                self.metered.act(|connection, now| connection.handle_timeout(now));
            }
            _ => {}
        }
    }

    pub(crate) fn poll(&mut self) -> bool {
        match self.metered.poll() {
            Some(Seen::Hello) => self.metered.act(|connection, now| connection.accept(now)),
            Some(Seen::Request(id)) => self.requests.push(id),
            Some(Seen::Push(token)) => self.tokens.push(token),
            Some(Seen::Ended(call)) => self.calls.retain(|other| *other != call),
            Some(Seen::Other) => {}
            None => return false,
        }
        true
    }

    pub(crate) fn label(&mut self) -> Label {
        self.next += 1;
        Label { from: self.role, number: self.next }
    }
}

/// Moves up to `most` bytes, and says whether there were any.
pub(crate) fn carry(from: &mut Peer, to: &mut Peer, most: usize) -> bool {
    let mut bytes: Vec<u8> = from.metered.connection.transmit().flatten().copied().take(most).collect();
    let length = bytes.len();
    from.metered.act(|connection, now| connection.advance_transmit(now, length));
    to.metered.act(|connection, now| connection.handle_input(now, &mut bytes));
    length > 0
}
