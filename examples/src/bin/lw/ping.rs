//! `lw ping`: calls again and again, and tells how long the answers take.

use std::io;
use std::time::Duration;

use adapter_tokio::{CallError, ClientState, Refusal, WhileDown};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use crate::args::PingOptions;
use crate::exit::{Exit, Failure, describe};
use crate::json::Object;
use crate::link::{Link, Plan};
use crate::output::{Closed, Output};
use crate::statistics::Statistics;
use crate::units::Deadline;

/// The longest answer to take. Nothing is done with it.
const MAX_MESSAGE: u32 = 1 << 20;

pub(crate) async fn ping(options: PingOptions) -> Result<(), Failure> {
    if options.interval < Duration::from_millis(1) {
        return Err(Failure::new(Exit::Usage, "--interval must be at least 1ms"));
    }
    let plan = Plan {
        options: &options.link,
        config: options.link.config(MAX_MESSAGE)?,
        patience: options.link.patience(Some(Deadline::Never)),
        while_down: WhileDown::Fail,
        pushes: None,
    };
    let link = plan.start()?;
    let mut run = Run {
        options: &options,
        link: &link,
        output: Output::new(),
        calls: JoinSet::new(),
        statistics: Statistics::default(),
    };
    let ended = tokio::select! {
        biased;
        ended = run.ping() => ended,
        _ = tokio::signal::ctrl_c() => Ok(None),
    };
    let result = run.end(ended).await;
    link.finish().await;
    result
}

struct Run<'a> {
    options: &'a PingOptions,
    link: &'a Link,
    output: Output,
    calls: JoinSet<Outcome>,
    statistics: Statistics,
}

/// A call that has ended: its number, how long it took, and what came of it.
struct Outcome(u64, Duration, Result<(), CallError>);

impl Run<'_> {
    /// Calls until it was enough, or no connection is to be hoped for any more: then it says why.
    async fn ping(&mut self) -> Result<Option<String>, Closed> {
        let client = &self.link.client;
        // The time to connect is not that of the first answer.
        let connecting = client.state();
        let _ = timeout(self.options.deadline, client.changed(&connecting)).await;
        let mut ticks = interval_at(Instant::now(), self.options.interval);
        // After a pause of this process it does not catch up: that would measure nothing but the crowd.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let closed = client.closed();
        tokio::pin!(closed);
        loop {
            let enough = self.options.count.is_some_and(|count| self.statistics.sent >= count);
            if enough && self.calls.is_empty() {
                return Ok(None);
            }
            tokio::select! {
                biased;
                Some(outcome) = self.calls.join_next() => {
                    // It neither panics nor is aborted.
                    let Ok(outcome) = outcome else { continue };
                    self.tell(outcome);
                    self.output.flush().await?;
                }
                reason = &mut closed => {
                    while let Some(Ok(outcome)) = self.calls.join_next().await {
                        self.tell(outcome);
                    }
                    return Ok(Some(self.link.explain(&reason)));
                }
                () = self.output.closed() => return Err(Closed),
                _ = ticks.tick(), if !enough => self.call(),
            }
        }
    }

    fn call(&mut self) {
        self.statistics.sent += 1;
        let (seq, begun) = (self.statistics.sent, Instant::now());
        let call = self.link.client.call_message(self.options.route.clone()).timeout(self.options.deadline);
        self.calls.spawn(async move {
            let result = call.await;
            Outcome(seq, begun.elapsed(), result.map(drop))
        });
    }

    fn tell(&mut self, Outcome(seq, time, result): Outcome) {
        let object = Object::new().plain("seq", seq);
        let status = match result {
            Ok(()) => None,
            Err(CallError::Status(status)) => Some(status.code.to_string()),
            Err(error) => {
                let text = match (error.refusal(), self.link.client.state()) {
                    (Some(Refusal::NotOpen), ClientState::Reconnecting { reason, .. }) => {
                        format!("not connected ({reason})")
                    }
                    (Some(Refusal::NotOpen), _) => "not connected".to_owned(),
                    _ => describe(&error),
                };
                let object = object.text("error", &text);
                return self.print(&format!("no answer: seq={seq}: {text}"), object);
            }
        };
        self.statistics.answer(time);
        let time = format!("{:.3}", time.as_secs_f64() * 1e3);
        let (mut text, mut object) =
            (format!("answer: seq={seq} time={time} ms"), object.plain("time_ms", time));
        if let Some(status) = status {
            text = format!("{text} ({status})");
            object = object.text("status", &status);
        }
        self.print(&text, object);
    }

    fn print(&mut self, text: &str, object: Object) {
        if self.options.quiet {
            return;
        }
        if self.options.json {
            self.output.line(object.end().as_bytes());
        } else {
            self.output.line(text.as_bytes());
        }
    }
    /// Prints the statistics.
    async fn end(mut self, ended: Result<Option<String>, Closed>) -> Result<(), Failure> {
        // What is under way still, because somebody has seen enough, is neither answered nor lost.
        self.statistics.forget(self.calls.len() as u64);
        self.calls.abort_all();
        let lost = self.link.lost();
        if self.options.json {
            self.output.line(self.statistics.json(lost).as_bytes());
        } else {
            self.output.line(format!("--- {} ---", self.options.link.addresses).as_bytes());
            self.output.line(self.statistics.text(lost).as_bytes());
        }
        let flushed = self.output.flush().await;
        match self.output.end() {
            // Whoever read the answers has enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Failure::of_output(&error)),
            Ok(()) => {}
        }
        match (ended, flushed) {
            (Ok(Some(reason)), Ok(())) => Err(Failure::new(Exit::Lost, reason)),
            (Ok(None), Ok(())) if self.statistics.answered() == 0 => Err(Failure::quiet(Exit::CallFailed)),
            _ => Ok(()),
        }
    }
}
