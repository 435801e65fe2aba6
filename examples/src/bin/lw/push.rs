//! `lw push`: messages that nobody answers.

use adapter_tokio::{Bytes, CloseReason, Refusal, Refused, WhileDown};

use crate::args::PushOptions;
use crate::exit::{Exit, Failure};
use crate::input;
use crate::lines::{Line, Lines};
use crate::link::{Link, Plan};
use crate::units::grouped;

pub(crate) async fn push(options: PushOptions) -> Result<(), Failure> {
    let plan = Plan {
        options: &options.link,
        config: options.link.config(options.max_message)?,
        // Nobody knows which pushes a lost connection took with it, so there is no going on after it.
        patience: None,
        while_down: WhileDown::Fail,
        pushes: None,
    };
    let link = plan.connect().await?;
    let mut pusher = Pusher { link: &link, options: &options, sent: 0 };
    let result = if options.body == "-" {
        pusher.each_line().await
    } else {
        pusher.one(options.body.as_encoded_bytes().to_vec().into()).await
    };
    let sent = pusher.sent;
    // The connection has limits of its own for this. The server closes behind all that it was sent.
    let parted = link.client.finish().await;
    result?;
    if let CloseReason::Local(_) = parted { Ok(()) } else { Err(lost(&parted, sent)) }
}

struct Pusher<'a> {
    link: &'a Link,
    options: &'a PushOptions,
    sent: u64,
}

impl Pusher<'_> {
    async fn one(&mut self, body: Bytes) -> Result<(), Failure> {
        let message = self.options.route.clone().with_body(body);
        match self.link.client.pushed_message(message).await {
            Ok(()) => {
                self.sent += 1;
                Ok(())
            }
            Err(Refused { refusal: Refusal::Closed | Refusal::NotOpen, .. }) => {
                Err(lost(&self.link.client.closed().await, self.sent))
            }
            Err(refused) => {
                let text = format!("push {}: {refused}; it was not sent", grouped(self.sent + 1));
                Err(Failure::new(Exit::CallFailed, text))
            }
        }
    }

    async fn each_line(&mut self) -> Result<(), Failure> {
        let mut input = input::chunks();
        let mut lines = Lines::new(self.options.max_message as usize);
        let closed = self.link.client.closed();
        tokio::pin!(closed);
        loop {
            while let Some(line) = lines.next() {
                self.line(line).await?;
            }
            tokio::select! {
                reason = &mut closed => return Err(lost(&reason, self.sent)),
                chunk = input.recv() => match chunk {
                    Some(Ok(chunk)) => lines.push(chunk),
                    Some(Err(error)) => return Err(Failure::of_input(&error)),
                    None => break,
                },
            }
        }
        match lines.finish() {
            Some(line) => self.line(line).await,
            None => Ok(()),
        }
    }

    async fn line(&mut self, line: Line) -> Result<(), Failure> {
        match line {
            Line::Whole(body) => self.one(body).await,
            Line::TooLong => {
                let most = grouped(self.options.max_message.into());
                let text = format!(
                    "push {}: longer than --max-message {most}; it was not sent",
                    grouped(self.sent + 1)
                );
                Err(Failure::new(Exit::CallFailed, text))
            }
        }
    }
}

/// The connection ended before the server had closed its side behind the last push.
fn lost(reason: &CloseReason, sent: u64) -> Failure {
    let text = match sent {
        0 => format!("{reason}; nothing was sent"),
        1 => format!("{reason}; the push may not have arrived"),
        _ => format!("{reason}; of {} pushes, the last may not have arrived", grouped(sent)),
    };
    Failure::new(Exit::Lost, text)
}
