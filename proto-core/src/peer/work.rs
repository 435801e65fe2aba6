//! Handlers at work.
//!
//! A handler's future is polled for the first time where it was made. If it is ready then, its box serves the next one;
//! only one that waits joins the set of those that are woken one by one. There it is found again when its caller gives the
//! call up: looking through the set costs a cancelled call something, and all others nothing.

use alloc::boxed::Box;
use core::future::Future;
use core::panic::AssertUnwindSafe;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use std::panic::catch_unwind;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::error::Status;
use super::handler::Handler;
use super::messages::{Refuse, Reply};
use crate::event::{PushToken, RequestId};
use crate::wire::{CloseCode, Sequence, StatusCode};

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
    waiting: Option<Box<FuturesUnordered<Task<H>>>>,
    spare_request: Option<Place<H::Request>>,
    spare_push: Option<Place<H::Push>>,
}

type Place<F> = Pin<Box<Option<F>>>;

enum Task<H: Handler> {
    Request(RequestTask<H>),
    Push(Option<PushToken>, Place<H::Push>),
    Open(Place<H::Open>),
}

struct RequestTask<H: Handler> {
    /// Whom to answer, until that has been done.
    id: Option<RequestId>,
    place: Place<H::Request>,
    runs_to_end: bool,
    /// Of this task, once it waits.
    waker: Option<Waker>,
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
        runs_to_end: bool,
    ) -> Option<Done> {
        let place = settle(self.spare_request.take(), future);
        self.start(cx, Task::Request(RequestTask { id: Some(id), place, runs_to_end, waker: None }))
    }

    /// The caller of a request has given it up: drops its handler, unless that is to run to its end.
    pub(super) fn cancel(&mut self, id: Sequence) -> Option<Done> {
        let tasks = self.waiting.iter_mut().flat_map(|waiting| waiting.iter_mut());
        let mut requests = tasks.filter_map(|task| match task {
            Task::Request(request) => Some(request),
            Task::Push(..) | Task::Open(_) => None,
        });
        let task = requests.find(|task| task.id.as_ref().map(RequestId::sequence) == Some(id))?;
        if task.runs_to_end {
            return None;
        }
        // Polled once more, the task finds that it is over, and leaves the set.
        let id = task.id.take()?;
        let place = &mut task.place;
        let dropped = catch_unwind(AssertUnwindSafe(|| place.set(None)));
        if let Some(waker) = task.waker.take() {
            waker.wake();
        }
        let status = if dropped.is_ok() { StatusCode::CANCELLED } else { StatusCode::HANDLER_FAILED };
        Some(Done::Replied(id, Err(status.into())))
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
        loop {
            match self.waiting.as_mut()?.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(done))) => return Some(done),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) => self.waiting = None,
                Poll::Pending => return None,
            }
        }
    }

    /// Whether no handler waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.waiting.is_none()
    }

    /// How many handlers wait, those included that are over and have not left.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.as_ref().map_or(0, |waiting| waiting.len())
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
                    Task::Request(RequestTask { place, .. }) => self.spare_request = Some(place),
                    Task::Push(_, place) => self.spare_push = Some(place),
                    Task::Open(_) => {}
                }
                done
            }
            Poll::Pending => {
                self.waiting.get_or_insert_default().push(task);
                None
            }
        }
    }
}

// The futures are boxed, so the task itself may move.
impl<H: Handler> Unpin for Task<H> {}

impl<H: Handler> Future for Task<H> {
    /// `None` if what it was there for has been done.
    type Output = Option<Done>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Done>> {
        match &mut *self {
            Self::Request(task) => {
                if task.id.is_none() {
                    return Poll::Ready(None);
                }
                let polled = poll_place(&mut task.place, cx);
                if polled.is_pending() && task.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker()))
                {
                    task.waker = Some(cx.waker().clone());
                }
                polled.map(|result| {
                    let result = result.unwrap_or_else(|Panicked| Err(StatusCode::HANDLER_FAILED.into()));
                    task.id.take().map(|id| Done::Replied(id, result))
                })
            }
            Self::Push(token, place) => poll_place(place, cx).map(|_| token.take().map(Done::Released)),
            Self::Open(place) => poll_place(place, cx).map(|result| {
                let failed = |Panicked| Err(Refuse::new(CloseCode::INTERNAL, "the server failed"));
                Some(Done::Opened(result.unwrap_or_else(failed)))
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
