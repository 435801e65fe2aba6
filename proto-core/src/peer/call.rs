//! A call as a future.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use super::callers::CallerKey;
use super::entry::Entry;
use super::error::CallError;
use super::handle::Peer;
use super::messages::Reply;
use super::shared::{CallResult, Shared};
use crate::error::{Refusal, Refused};
use crate::event::{Message, Timeout};
use crate::wire::{ExtensionFields, Extensions, Lane};

/// A call: from [`Peer::call`]. Nothing is sent before it is polled for the first time.
///
/// It becomes the reply, or a [`CallError`]. An error status is an error. If there is no room or no slot for the call,
/// it waits in line behind the calls that came before it; that time counts for its deadline.
///
/// # Cancel safety
/// Dropping it gives the call up: a request that still waits is deleted; of one that has been sent the peer is told that
/// nobody waits for it, so that it can stop the work. Nothing else on the connection is disturbed.
#[must_use = "a call does nothing unless it is awaited"]
pub struct Call {
    peer: Arc<Shared>,
    stage: Stage,
    timeout: Timeout,
    in_line: bool,
    idempotent: bool,
}

enum Stage {
    New(Result<Message, Refused>),
    /// Waits for its turn, or for its outcome.
    Under(CallerKey),
    Done,
}

impl Call {
    pub(super) fn new(peer: &Peer, message: Result<Message, Refused>) -> Self {
        Self {
            peer: peer.shared().clone(),
            stage: Stage::New(message),
            timeout: Timeout::Default,
            in_line: true,
            idempotent: false,
        }
    }

    /// Waits at most this long, in place of [`Config::call_timeout`](crate::Config::call_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Timeout::After(timeout);
        self
    }

    /// Waits for as long as the connection lives.
    pub fn no_timeout(mut self) -> Self {
        self.timeout = Timeout::Never;
        self
    }

    /// Is as urgent as this lane, and so is the reply. Default [`Lane::Normal`]. Order is kept among the calls of one lane.
    pub fn lane(mut self, lane: Lane) -> Self {
        if let Stage::New(Ok(message)) = &mut self.stage {
            message.lane = lane;
        }
        self
    }

    /// Says that running it twice does no harm. If a client loses its connection and it is not known whether the call was
    /// run, it is called again on the next one, instead of ending as [lost](CallError::Lost). An idempotency key among its
    /// [extensions](Self::extensions) lets the callee notice.
    pub const fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Does not wait in line: see [`Peer::try_call`].
    pub fn or_refuse(mut self) -> Self {
        self.in_line = false;
        self
    }

    /// Says more than route and body. The route stays what it is, unless these name one.
    pub fn extensions(mut self, fields: &ExtensionFields<'_>) -> Self {
        if let Stage::New(Ok(message)) = &mut self.stage {
            let route = fields.route.or_else(|| message.extensions.fields().route);
            match Extensions::new(&ExtensionFields { route, ..*fields }) {
                Ok(extensions) => message.extensions = extensions,
                Err(_) => {
                    let message = core::mem::take(message);
                    self.stage = Stage::New(Err(Refused { refusal: Refusal::BadExtension, message }));
                }
            }
        }
        self
    }

    fn start(&mut self, message: Message, cx: &Context<'_>) -> Poll<CallResult> {
        let Self { timeout, in_line, idempotent, .. } = *self;
        let entry = Entry { message, timeout, in_line, idempotent };
        match self.peer.enter(entry, cx.waker()) {
            Ok(key) => {
                self.stage = Stage::Under(key);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Future for Call {
    type Output = Result<Reply, CallError>;

    /// # Panics
    /// When polled again after it was ready, as futures may.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Stage::Under(key) = self.stage {
            let result = ready!(self.peer.outcome(key, cx.waker()));
            self.stage = Stage::Done;
            return Poll::Ready(result);
        }
        match core::mem::replace(&mut self.stage, Stage::Done) {
            Stage::New(Ok(message)) => self.start(message, cx),
            Stage::New(Err(refused)) => Poll::Ready(Err(refused.into())),
            Stage::Under(_) => unreachable!("it was looked at before"),
            Stage::Done => panic!("a call was polled after it had ended"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Stage::Under(key) = self.stage {
            let left = self.peer.with(|state, now, _| {
                let (call, left) = state.callers.leave(key);
                if let Some(call) = call {
                    state.connection.cancel(now, call);
                }
                left
            });
            drop(left);
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("peer", &self.peer.id)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
