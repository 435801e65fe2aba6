//! Handlers at work.
//!
//! A handler's future is polled for the first time where it was made. If it is ready then, its box serves the next one;
//! only one that waits joins the set of those that are woken one by one. There it is found again when its caller gives the
//! call up: looking through the set costs a cancelled call something, and all others nothing.

use alloc::boxed::Box;
use core::cell::Cell;
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

/// What a request is answered with.
pub(super) type Answer = Result<Reply, Status>;

/// What a handler's future came to.
#[derive(Debug)]
pub(super) enum Done {
    /// A handler that did not wait has answered; the answer is where it was to be left.
    AnsweredInPlace(RequestId),
    Answered(RequestId, Answer),
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

    /// Starts the handler of a request, which also says whether it runs to its end. If it does not wait, gives the request back, and
    /// leaves the answer in `answer`, unless it has failed. Neither is returned beside the other: nearly all answers would be moved
    /// then, several times, before they are written.
    #[inline]
    pub(super) fn start_request(
        &mut self,
        cx: &mut Context<'_>,
        id: RequestId,
        runs_to_end: &Cell<bool>,
        make: impl FnOnce() -> H::Request,
        answer: &mut Option<Answer>,
    ) -> Option<RequestId> {
        let mut place = self.spare_request.take().unwrap_or_else(|| Box::pin(None));
        if start_in(&mut place, cx, make, answer).is_pending() {
            let runs_to_end = runs_to_end.get();
            self.wait(Task::Request(RequestTask { id: Some(id), place, runs_to_end, waker: None }));
            return None;
        }
        self.spare_request = Some(place);
        Some(id)
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
        Some(Done::Answered(id, Err(status.into())))
    }

    /// Starts the handler of a push. Gives its token back if it does not wait.
    #[inline]
    pub(super) fn start_push(
        &mut self,
        cx: &mut Context<'_>,
        token: PushToken,
        make: impl FnOnce() -> H::Push,
    ) -> Option<PushToken> {
        let mut place = self.spare_push.take().unwrap_or_else(|| Box::pin(None));
        if start_in(&mut place, cx, make, &mut None).is_pending() {
            self.wait(Task::Push(Some(token), place));
            return None;
        }
        self.spare_push = Some(place);
        Some(token)
    }

    /// Starts the handler of a dialer. Gives its answer if it does not wait.
    pub(super) fn start_open(
        &mut self,
        cx: &mut Context<'_>,
        make: impl FnOnce() -> H::Open,
    ) -> Option<Result<(), Refuse>> {
        let (mut place, mut answer) = (Box::pin(None), None);
        if start_in(&mut place, cx, make, &mut answer).is_pending() {
            self.wait(Task::Open(place));
            return None;
        }
        Some(answer.unwrap_or_else(refused_by_failure))
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
    pub(super) fn drop_spares(&mut self) {
        self.spare_request = None;
        self.spare_push = None;
    }

    fn wait(&mut self, task: Task<H>) {
        self.waiting.get_or_insert_default().push(task);
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
                let mut answer = None;
                if poll_in(&mut task.place, cx, &mut answer).is_pending() {
                    if task.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
                        task.waker = Some(cx.waker().clone());
                    }
                    return Poll::Pending;
                }
                let answer = answer.unwrap_or_else(|| Err(StatusCode::HANDLER_FAILED.into()));
                Poll::Ready(task.id.take().map(|id| Done::Answered(id, answer)))
            }
            Self::Push(token, place) => {
                poll_in(place, cx, &mut None).map(|()| token.take().map(Done::Released))
            }
            Self::Open(place) => {
                let mut answer = None;
                poll_in(place, cx, &mut answer)
                    .map(|()| Some(Done::Opened(answer.unwrap_or_else(refused_by_failure))))
            }
        }
    }
}

fn refused_by_failure() -> Result<(), Refuse> {
    Err(Refuse::new(CloseCode::INTERNAL, "the server failed"))
}

/// Makes a future in a place that is free, and polls it for the first time.
#[inline]
fn start_in<F: Future>(
    place: &mut Place<F>,
    cx: &mut Context<'_>,
    make: impl FnOnce() -> F,
    output: &mut Option<F::Output>,
) -> Poll<()> {
    // A handler that panics before it returns its future fails like one whose future panics.
    let made = catch_unwind(AssertUnwindSafe(|| place.set(Some(make()))));
    if made.is_err() { Poll::Ready(()) } else { poll_in(place, cx, output) }
}

/// Polls the future in its place, and takes it away when it has ended. What it came to is in `output` then, unless it has panicked:
/// what it panicked with has been shown by the panic hook.
#[inline]
fn poll_in<F: Future>(
    place: &mut Place<F>,
    cx: &mut Context<'_>,
    output: &mut Option<F::Output>,
) -> Poll<()> {
    // A handler that panics is not polled again, so whatever it left behind half done is its own.
    let polled = catch_unwind(AssertUnwindSafe(|| {
        let future = place.as_mut().as_pin_mut()?;
        match future.poll(cx) {
            Poll::Ready(value) => {
                *output = Some(value);
                Some(())
            }
            Poll::Pending => None,
        }
    }));
    if matches!(polled, Ok(None)) {
        return Poll::Pending;
    }
    if catch_unwind(AssertUnwindSafe(|| place.set(None))).is_err() {
        *output = None;
    }
    Poll::Ready(())
}
