//! Handlers at work.
//!
//! A handler's future is polled for the first time where it was made. If it is ready then, its box serves the next one;
//! only one that waits joins the set of those that are woken one by one.

use alloc::boxed::Box;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::panic::catch_unwind;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::error::Status;
use super::handler::{Handler, Refuse, Reply};
use crate::event::{PushToken, RequestId};
use crate::wire::{CloseCode, StatusCode};

/// What a handler's future came to.
#[derive(Debug)]
pub(super) enum Done {
    Replied(RequestId, Result<Reply, Status>),
    Released(PushToken),
    Opened(Result<(), Refuse>),
}

/// The handlers of one connection that have not ended.
pub(super) struct Work<H: Handler> {
    /// Those that wait. None is held while there are none.
    waiting: Option<FuturesUnordered<Task<H>>>,
    spare_request: Option<Place<H::Request>>,
    spare_push: Option<Place<H::Push>>,
}

type Place<F> = Pin<Box<Option<F>>>;

enum Task<H: Handler> {
    Request(Option<RequestId>, Place<H::Request>),
    Push(Option<PushToken>, Place<H::Push>),
    Open(Place<H::Open>),
}

impl<H: Handler> Work<H> {
    pub(super) const fn new() -> Self {
        Self { waiting: None, spare_request: None, spare_push: None }
    }

    pub(super) fn start_request(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        future: H::Request,
    ) -> Option<Done> {
        let place = settle(self.spare_request.take(), future);
        self.start(cx, Task::Request(Some(id), place))
    }

    pub(super) fn start_push(
        &mut self,
        cx: &mut Context<'_>,
        token: PushToken,
        future: H::Push,
    ) -> Option<Done> {
        let place = settle(self.spare_push.take(), future);
        self.start(cx, Task::Push(Some(token), place))
    }

    pub(super) fn start_open(&mut self, cx: &mut Context<'_>, future: H::Open) -> Option<Done> {
        self.start(cx, Task::Open(settle(None, future)))
    }

    /// The next handler that has ended.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Option<Done> {
        let waiting = self.waiting.as_mut()?;
        match waiting.poll_next_unpin(cx) {
            Poll::Ready(Some(done)) => Some(done),
            Poll::Ready(None) => {
                self.waiting = None;
                None
            }
            Poll::Pending => None,
        }
    }

    /// Nothing was in the works: what was kept for the next handler is given up.
    pub(super) fn rest(&mut self) {
        self.spare_request = None;
        self.spare_push = None;
    }

    fn start(&mut self, cx: &mut Context<'_>, mut task: Task<H>) -> Option<Done> {
        match Pin::new(&mut task).poll(cx) {
            Poll::Ready(done) => {
                match task {
                    Task::Request(_, place) => self.spare_request = Some(place),
                    Task::Push(_, place) => self.spare_push = Some(place),
                    Task::Open(_) => {}
                }
                Some(done)
            }
            Poll::Pending => {
                self.waiting.get_or_insert_with(FuturesUnordered::new).push(task);
                None
            }
        }
    }
}

// The futures are boxed, so the task itself may move.
impl<H: Handler> Unpin for Task<H> {}

impl<H: Handler> Future for Task<H> {
    type Output = Done;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Done> {
        match &mut *self {
            Self::Request(id, place) => match poll_place(place, cx) {
                Poll::Ready(result) => {
                    let result = result.unwrap_or_else(|Panicked| Err(StatusCode::HANDLER_FAILED.into()));
                    id.take().map_or(Poll::Pending, |id| Poll::Ready(Done::Replied(id, result)))
                }
                Poll::Pending => Poll::Pending,
            },
            Self::Push(token, place) => match poll_place(place, cx) {
                Poll::Ready(_) => {
                    token.take().map_or(Poll::Pending, |token| Poll::Ready(Done::Released(token)))
                }
                Poll::Pending => Poll::Pending,
            },
            Self::Open(place) => poll_place(place, cx).map(|result| {
                let failed = |Panicked| Err(Refuse::new(CloseCode::INTERNAL, "the server failed"));
                Done::Opened(result.unwrap_or_else(failed))
            }),
        }
    }
}

/// The future panicked. What it panicked with has been shown by the panic hook.
struct Panicked;

/// Polls the future in its place; takes it away when it has ended.
fn poll_place<F: Future>(place: &mut Place<F>, cx: &mut Context<'_>) -> Poll<Result<F::Output, Panicked>> {
    // A handler that panics is not polled again, so whatever it left behind half done is its own.
    let polled = catch_unwind(AssertUnwindSafe(|| match place.as_mut().as_pin_mut() {
        Some(future) => future.poll(cx),
        None => Poll::Pending,
    }));
    let result = match polled {
        Ok(Poll::Pending) => return Poll::Pending,
        Ok(Poll::Ready(output)) => Ok(output),
        Err(_) => Err(Panicked),
    };
    let dropped = catch_unwind(AssertUnwindSafe(|| place.set(None)));
    Poll::Ready(if dropped.is_ok() { result } else { Err(Panicked) })
}

/// Puts a future where it can be polled, in a place that is free if there is one.
fn settle<F>(spare: Option<Place<F>>, future: F) -> Place<F> {
    match spare {
        Some(mut place) => {
            place.set(Some(future));
            place
        }
        None => Box::pin(Some(future)),
    }
}
