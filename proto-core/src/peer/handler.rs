//! What answers the peer: a [`Handler`], usually put together from closures.

use core::fmt;
use core::future::{Future, Ready, ready};

use super::error::Status;
use super::handle::Peer;
use super::messages::{Push, Refuse, Reply, Request};
use crate::error::CloseReason;
use crate::wire::{Hello, StatusCode};

/// Answers what the peer asks, and hears what it says.
///
/// One handler serves many connections. Its futures run inside the connection's driver: the first poll happens where
/// the request was read, so a handler that does not wait costs no task. Requests and pushes of one connection start in the
/// order in which they came, then run side by side, and replies may overtake each other. A handler that panics fails its own call
/// only (`HANDLER_FAILED`). One that computes for long without waiting holds up its connection.
///
/// [`on_request`] makes a handler from a closure, and shows how to keep state in it. Implement the trait by hand to name
/// the futures yourself.
///
/// A function that returns a handler for a runtime whose tasks move between threads says that the futures may:
/// `fn handler() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync`.
pub trait Handler: 'static {
    /// What [`request`](Self::request) returns.
    type Request: Future<Output = Result<Reply, Status>> + 'static;
    /// What [`push`](Self::push) returns.
    type Push: Future<Output = ()> + 'static;
    /// What [`open`](Self::open) returns.
    type Open: Future<Output = Result<(), Refuse>> + 'static;

    /// Answers a call. The future is dropped if the connection ends first, and if the caller gives the call up, which it does
    /// when it stops waiting and when its deadline passes ([`runs_to_end`](Self::runs_to_end) chooses otherwise).
    /// [`Request::time_left`] says how far the deadline is.
    fn request(&self, peer: Peer, request: Request) -> Self::Request;

    /// Whether this call is run to its end even if its caller gives it up meanwhile: for work that must not stop half way.
    /// Asked before [`request`](Self::request). Default: it is not, its future is dropped.
    fn runs_to_end(&self, request: &Request) -> bool {
        let _ = request;
        false
    }

    /// Takes a push. The peer's credit returns when the future ends. A future that still waits when the connection ends is
    /// dropped: what must not be lost is handed on before it waits.
    fn push(&self, peer: Peer, push: Push) -> Self::Push;

    /// Acceptor: decides on a dialer. The time for the handshake goes on.
    ///
    /// The connection is not open yet, so nothing can be sent on it. To greet who has been let in, spawn a task that waits
    /// for [`Peer::opened`].
    fn open(&self, peer: Peer, hello: Hello) -> Self::Open;

    /// The connection is open: of a client that comes back, each new one. This is where to log in, to subscribe or to greet: the
    /// handle can be used from here on, in a task of its own if that waits. Default: does nothing.
    fn opened(&self, peer: &Peer) {
        let _ = peer;
    }

    /// A connection has ended: on the acceptor, one that [`open`](Self::open) let in, whether or not it came to be
    /// [`opened`](Self::opened); on the dialer, one that was opened. Called once for each, last.
    fn close(&self, peer: &Peer, reason: &CloseReason);
}

/// A handler that lets everybody in, knows no route and drops every push: for clients that only call.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHandler;

impl Handler for NoHandler {
    type Request = Ready<Result<Reply, Status>>;
    type Push = Ready<()>;
    type Open = Ready<Result<(), Refuse>>;

    fn request(&self, _: Peer, _: Request) -> Self::Request {
        ready(Err(StatusCode::UNKNOWN_ROUTE.into()))
    }

    fn push(&self, _: Peer, _: Push) -> Self::Push {
        ready(())
    }

    fn open(&self, _: Peer, _: Hello) -> Self::Open {
        ready(Ok(()))
    }

    fn close(&self, _: &Peer, _: &CloseReason) {}
}

/// A handler whose parts are closures; what has none behaves like [`NoHandler`].
#[derive(Clone, Copy)]
pub struct Handlers<R = NoHandler, P = NoHandler, O = NoHandler, C = NoHandler, W = NoHandler> {
    request: R,
    push: P,
    open: O,
    close: C,
    opened: W,
    runs_to_end: fn(&Request) -> bool,
}

const fn never(_: &Request) -> bool {
    false
}

/// A handler that answers calls with this closure.
///
/// ```
/// use proto_core::StatusCode;
/// use proto_core::peer::{Handlers, Reply, Status, on_request};
/// use proto_core::Route;
///
/// let handler = on_request(|peer, request| async move {
///     match request.route() {
///         Route::Name("echo") => Ok(request.body.into()),
///         Route::Name("who") => Ok(Reply::from(format!("you are peer {}", peer.id()))),
///         _ => Err(Status::from(StatusCode::UNKNOWN_ROUTE)),
///     }
/// })
/// .on_push(|_peer, push| async move { println!("{} says {:?}", push.route(), push.body) });
/// ```
///
/// State is shared by all requests, so the closure keeps it in an `Arc` and gives each future its own clone:
///
/// ```
/// use std::sync::Arc;
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use proto_core::peer::on_request;
///
/// let served = Arc::new(AtomicU64::new(0));
/// let handler = on_request(move |_peer, _request| {
///     let served = served.clone();
///     async move { Ok(format!("you are number {}", served.fetch_add(1, Ordering::Relaxed)).into()) }
/// });
/// ```
pub fn on_request<F, T>(request: F) -> Handlers<F>
where
    F: Fn(Peer, Request) -> T + 'static,
    T: Future<Output = Result<Reply, Status>> + 'static,
{
    Handlers {
        request,
        push: NoHandler,
        open: NoHandler,
        close: NoHandler,
        opened: NoHandler,
        runs_to_end: never,
    }
}

/// A handler that takes pushes with this closure.
pub fn on_push<F, T>(push: F) -> Handlers<NoHandler, F>
where
    F: Fn(Peer, Push) -> T + 'static,
    T: Future<Output = ()> + 'static,
{
    Handlers {
        request: NoHandler,
        push,
        open: NoHandler,
        close: NoHandler,
        opened: NoHandler,
        runs_to_end: never,
    }
}

impl<R, P, O, C, W> Handlers<R, P, O, C, W> {
    /// Answers calls with this closure.
    pub fn on_request<F, T>(self, request: F) -> Handlers<F, P, O, C, W>
    where
        F: Fn(Peer, Request) -> T + 'static,
        T: Future<Output = Result<Reply, Status>> + 'static,
    {
        let Self { push, open, close, opened, runs_to_end, .. } = self;
        Handlers { request, push, open, close, opened, runs_to_end }
    }

    /// Takes pushes with this closure.
    pub fn on_push<F, T>(self, push: F) -> Handlers<R, F, O, C, W>
    where
        F: Fn(Peer, Push) -> T + 'static,
        T: Future<Output = ()> + 'static,
    {
        let Self { request, open, close, opened, runs_to_end, .. } = self;
        Handlers { request, push, open, close, opened, runs_to_end }
    }

    /// Says which calls are run to their end even if their caller gives them up; see [`Handler::runs_to_end`].
    ///
    /// ```
    /// # use proto_core::Route;
    /// # use proto_core::peer::on_request;
    /// # let pay = |_peer, _request| async { Ok("done".into()) };
    /// let handler = on_request(pay).run_to_end(|request| request.route() == Route::Name("pay"));
    /// ```
    pub fn run_to_end(mut self, which: fn(&Request) -> bool) -> Self {
        self.runs_to_end = which;
        self
    }

    /// Decides with this closure who is let in.
    pub fn on_open<F, T>(self, open: F) -> Handlers<R, P, F, C, W>
    where
        F: Fn(Peer, Hello) -> T + 'static,
        T: Future<Output = Result<(), Refuse>> + 'static,
    {
        let Self { request, push, close, opened, runs_to_end, .. } = self;
        Handlers { request, push, open, close, opened, runs_to_end }
    }

    /// Hears with this closure that a connection is open; see [`Handler::opened`].
    pub fn on_opened<F>(self, opened: F) -> Handlers<R, P, O, C, F>
    where
        F: Fn(&Peer) + 'static,
    {
        let Self { request, push, open, close, runs_to_end, .. } = self;
        Handlers { request, push, open, close, opened, runs_to_end }
    }

    /// Hears with this closure that a connection has ended.
    pub fn on_close<F>(self, close: F) -> Handlers<R, P, O, F, W>
    where
        F: Fn(&Peer, &CloseReason) + 'static,
    {
        let Self { request, push, open, opened, runs_to_end, .. } = self;
        Handlers { request, push, open, close, opened, runs_to_end }
    }
}

impl<R: OnRequest, P: OnPush, O: OnOpen, C: OnClose, W: OnOpened> Handler for Handlers<R, P, O, C, W> {
    type Request = R::Future;
    type Push = P::Future;
    type Open = O::Future;

    #[inline]
    fn request(&self, peer: Peer, request: Request) -> Self::Request {
        self.request.on_request(peer, request)
    }

    fn runs_to_end(&self, request: &Request) -> bool {
        (self.runs_to_end)(request)
    }

    #[inline]
    fn push(&self, peer: Peer, push: Push) -> Self::Push {
        self.push.on_push(peer, push)
    }

    fn open(&self, peer: Peer, hello: Hello) -> Self::Open {
        self.open.on_open(peer, hello)
    }

    fn opened(&self, peer: &Peer) {
        self.opened.on_opened(peer);
    }

    fn close(&self, peer: &Peer, reason: &CloseReason) {
        self.close.on_close(peer, reason);
    }
}

impl<R, P, O, C, W> fmt::Debug for Handlers<R, P, O, C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handlers").finish_non_exhaustive()
    }
}

macro_rules! part {
    ($(#[$doc:meta])* $part:ident, $method:ident, $hook:ident, $argument:ty => $output:ty) => {
        $(#[$doc])*
        pub trait $part: 'static {
            /// What it returns.
            type Future: Future<Output = $output> + 'static;

            /// Handles one of them; see [`Handler`].
            fn $method(&self, peer: Peer, argument: $argument) -> Self::Future;
        }

        impl<F, T> $part for F
        where
            F: Fn(Peer, $argument) -> T + 'static,
            T: Future<Output = $output> + 'static,
        {
            type Future = T;

            #[inline]
            fn $method(&self, peer: Peer, argument: $argument) -> T {
                self(peer, argument)
            }
        }

        impl $part for NoHandler {
            type Future = Ready<$output>;

            fn $method(&self, peer: Peer, argument: $argument) -> Self::Future {
                self.$hook(peer, argument)
            }
        }
    };
}

part! {
    /// The part of [`Handlers`] that answers calls: a closure.
    OnRequest, on_request, request, Request => Result<Reply, Status>
}
part! {
    /// The part of [`Handlers`] that takes pushes: a closure.
    OnPush, on_push, push, Push => ()
}
part! {
    /// The part of [`Handlers`] that lets dialers in: a closure.
    OnOpen, on_open, open, Hello => Result<(), Refuse>
}

/// The part of [`Handlers`] that hears of the end: a closure.
pub trait OnClose: 'static {
    /// Hears of the end; see [`Handler::close`].
    fn on_close(&self, peer: &Peer, reason: &CloseReason);
}

impl<F: Fn(&Peer, &CloseReason) + 'static> OnClose for F {
    fn on_close(&self, peer: &Peer, reason: &CloseReason) {
        self(peer, reason);
    }
}

impl OnClose for NoHandler {
    fn on_close(&self, _: &Peer, _: &CloseReason) {}
}

/// The part of [`Handlers`] that hears of the beginning: a closure.
pub trait OnOpened: 'static {
    /// Hears of the beginning; see [`Handler::opened`].
    fn on_opened(&self, peer: &Peer);
}

impl<F: Fn(&Peer) + 'static> OnOpened for F {
    fn on_opened(&self, peer: &Peer) {
        self(peer);
    }
}

impl OnOpened for NoHandler {
    fn on_opened(&self, _: &Peer) {}
}
