//! One call, made again if its deadline passed while there was no connection. What else is to be called again when a
//! connection is lost, the client calls again by itself.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use adapter_tokio::{Call, CallError, Delivery, Message, Reply};

use crate::link::Link;
use crate::units::Deadline;

/// A call with its deadline, which passes only while there is a connection: whoever waits for a server to come back has
/// said how long elsewhere.
pub(crate) struct Attempt<'a> {
    link: &'a Link,
    request: Request,
    stage: Stage,
    /// How many connections had ended when it was made, and whether there was one.
    ended: u64,
    was_open: bool,
}

/// What to call.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) message: Message,
    pub(crate) deadline: Deadline,
    pub(crate) idempotent: bool,
}

enum Stage {
    Calls(Call),
    /// Until there is another connection, or none to hope for.
    Waits(Pin<Box<dyn Future<Output = ()>>>),
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(link: &'a Link, request: Request) -> Self {
        let stage = Stage::Calls(request.call(link));
        Self { link, request, stage, ended: link.ended(), was_open: link.client.is_open() }
    }

    pub(crate) async fn run(mut self) -> Result<Reply, CallError> {
        poll_fn(|cx| self.poll(cx)).await
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Reply, CallError>> {
        loop {
            match &mut self.stage {
                Stage::Waits(change) => {
                    // Asked each time, because a state that comes and goes between two polls is no change.
                    if self.link.has_hope() && !self.link.client.is_open() {
                        ready!(change.as_mut().poll(cx));
                        *change = change_of(self.link);
                    } else {
                        *self = Self::new(self.link, self.request.clone());
                    }
                }
                Stage::Calls(call) => match ready!(Pin::new(call).poll(cx)) {
                    Err(CallError::TimedOut(delivery)) if self.may_be_made_again(delivery) => {
                        self.stage = Stage::Waits(change_of(self.link));
                    }
                    result => return Poll::Ready(result),
                },
            }
        }
    }

    /// Whether a deadline passed while there was no connection.
    fn may_be_made_again(&self, delivery: Delivery) -> bool {
        let was_down = !self.was_open || !self.link.client.is_open() || self.link.ended() != self.ended;
        let harmless = self.request.idempotent || delivery == Delivery::NotSent;
        self.link.comes_back && self.link.has_hope() && was_down && harmless
    }
}

fn change_of(link: &Link) -> Pin<Box<dyn Future<Output = ()>>> {
    let client = link.client.clone();
    Box::pin(async move {
        let known = client.state();
        client.changed(&known).await;
    })
}

impl Request {
    fn call(&self, link: &Link) -> Call {
        let call = link.client.call_message(self.message.clone());
        let call = if self.idempotent { call.idempotent() } else { call };
        match self.deadline {
            Deadline::After(time) => call.timeout(time),
            Deadline::Never => call.no_timeout(),
        }
    }
}
