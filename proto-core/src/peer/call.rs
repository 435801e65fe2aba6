//! A call as a future.

use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use super::callers::CallerKey;
use super::entry::Terms;
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
// A call is put together where it is made, and moved to where it is awaited, body and all. With the body first, that is one copy of
// what has just been written in the same pieces. With padding in front of it, the pieces would not match, and the processor
// would wait for each of them.
#[repr(C)]
pub struct Call {
    /// Until it has been sent.
    message: Option<Message>,
    peer: Arc<Shared>,
    timeout: Timeout,
    in_line: bool,
    idempotent: bool,
    stage: Stage,
    /// Who waits, once it is under way.
    key: CallerKey,
    /// Why it can never be made, if it cannot.
    refusal: Option<Refusal>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    New,
    /// Waits for its turn, or for its outcome.
    Under,
    Done,
}

impl Call {
    #[inline]
    pub(super) fn new(peer: &Peer, message: Message) -> Self {
        Self {
            peer: peer.shared().clone(),
            message: Some(message),
            timeout: Timeout::Default,
            in_line: true,
            idempotent: false,
            stage: Stage::New,
            key: CallerKey::NOBODY,
            refusal: None,
        }
    }

    /// A call that cannot be made.
    pub(super) fn refused(peer: &Peer, Refused { refusal, message }: Refused) -> Self {
        let mut call = Self::new(peer, message);
        call.refusal = Some(refusal);
        call
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
        if let Some(message) = &mut self.message {
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
        if let (None, Some(message)) = (self.refusal, &mut self.message) {
            let route = fields.route.or_else(|| message.extensions.fields().route);
            match Extensions::new(&ExtensionFields { route, ..*fields }) {
                Ok(extensions) => message.extensions = extensions,
                Err(_) => self.refusal = Some(Refusal::BadExtension),
            }
        }
        self
    }

    fn start(&mut self, cx: &Context<'_>) -> Poll<CallResult> {
        // Should something of the caller's panic in here, the call is not made again.
        self.stage = Stage::Done;
        if let Some(refusal) = self.refusal {
            let message = self.message.take().unwrap_or_default();
            return Poll::Ready(Err(Refused { refusal, message }.into()));
        }
        let Self { timeout, in_line, idempotent, .. } = *self;
        match self.peer.enter(&mut self.message, Terms { timeout, in_line, idempotent }, cx.waker()) {
            Ok(key) => {
                (self.stage, self.key) = (Stage::Under, key);
                Poll::Pending
            }
            Err(error) => Poll::Ready(Err(*error)),
        }
    }
}

impl Future for Call {
    type Output = Result<Reply, CallError>;

    /// # Panics
    /// When polled again after it was ready, as futures may.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.stage {
            Stage::Under => {
                let polled = self.peer.outcome(self.key, cx.waker());
                if polled.is_ready() {
                    self.stage = Stage::Done;
                }
                polled
            }
            Stage::New => self.start(cx),
            Stage::Done => panic!("a call was polled after it had ended"),
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.stage == Stage::Under {
            let left = self.peer.with(|state, now, _| {
                let (call, left) = state.callers.leave(self.key);
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
