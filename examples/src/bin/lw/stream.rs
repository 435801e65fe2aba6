//! One call for each line of standard input, and the answers in the order of the lines.
//!
//! Calls wait in a queue, oldest first. Each is polled once when it joins, which sends it; after that only the oldest
//! is polled, since the connection keeps the answers of the others until their turn comes. The queue is bounded in
//! calls and in bytes, input and output have room for two chunks each, and what is full makes the rest wait: so
//! neither a long input nor a slow reader makes memory grow.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

use adapter_tokio::{CallError, CloseCode, Delivery, Reply};
use tokio::sync::mpsc::Receiver;

use crate::args::CallOptions;
use crate::attempt::{Attempt, Request};
use crate::call::to_json;
use crate::exit::{Exit, Failure, describe, is_draining, say};
use crate::input;
use crate::json::Object;
use crate::lines::{Line, Lines};
use crate::link::Link;
use crate::loss::Loss;
use crate::output::{Closed, Output};
use crate::progress::{self, Progress};
use crate::units::grouped;

/// Bytes of lines in flight before further ones wait. A server with default windows takes no more anyway.
const REQUEST_BYTES: usize = 4 << 20;
/// The same for answers, which are taken to be as long as the longest so far; before the first one, as long as they may be.
pub(crate) const REPLY_BYTES: usize = 64 << 20;

pub(crate) struct Stream<'a> {
    link: &'a Link,
    request: Request,
    concurrency: usize,
    keep_going: bool,
    json: bool,
    max_line: usize,

    input: Receiver<io::Result<Vec<u8>>>,
    lines: Lines,
    source: Source,
    output: Output,
    progress: Progress,

    /// Calls that have not been answered on standard output, oldest first.
    queue: VecDeque<Entry<'a>>,
    queued_bytes: usize,
    longest_reply: Option<usize>,
    max_message: usize,

    lines_read: u64,
    answered: u64,
    failed: u64,
    lost: Option<Loss>,
}

struct Entry<'a> {
    line: u64,
    bytes: usize,
    stage: Stage<'a>,
}

enum Stage<'a> {
    Waits(Attempt<'a>),
    /// It ended as soon as it began; `None` once that was taken.
    Ended(Option<LineResult>),
}

type LineResult = Result<Reply, LineError>;

/// What is still to come from standard input.
enum Source {
    Open,
    Ended,
    Failed(io::Error),
}

enum LineError {
    TooLong,
    Call(CallError),
}

enum Step {
    /// The oldest line has its answer.
    Answer(u64, LineResult),
    /// Nothing can be done at the moment, so what was answered should be seen.
    Flush,
    Progress,
    End,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(link: &'a Link, options: &CallOptions) -> Self {
        let max_line = options.max_message as usize;
        let CallOptions { deadline, idempotent, .. } = *options;
        Self {
            link,
            request: Request { message: options.route.clone(), deadline, idempotent },
            concurrency: options.concurrency as usize,
            keep_going: options.keep_going,
            json: options.json,
            max_line,
            input: input::chunks(),
            lines: Lines::new(max_line),
            source: Source::Open,
            output: Output::new(),
            progress: Progress::new(),
            queue: VecDeque::new(),
            queued_bytes: 0,
            longest_reply: None,
            max_message: options.max_message as usize,
            lines_read: 0,
            answered: 0,
            failed: 0,
            lost: None,
        }
    }

    /// Calls for every line.
    pub(crate) async fn run(mut self) -> Result<(), Failure> {
        let result = self.answer_all().await;
        progress::clear();
        let failed = self.failed > 0;
        // Nothing is in flight any more that anybody waits for.
        self.queue.clear();
        match (self.output.end(), result) {
            (Ok(()), Ok(result)) => result,
            // Whoever read the answers has enough.
            (Err(error), _) if error.kind() == io::ErrorKind::BrokenPipe => {
                if failed {
                    Err(Failure::quiet(Exit::CallFailed))
                } else {
                    Ok(())
                }
            }
            (Err(error), _) => Err(Failure::of_output(&error)),
            (Ok(()), Err(Closed)) => Err(Failure::new(Exit::System, "cannot write to standard output")),
        }
    }

    async fn answer_all(&mut self) -> Result<Result<(), Failure>, Closed> {
        loop {
            match poll_fn(|cx| self.poll_step(cx)).await {
                Step::Answer(line, Ok(reply)) => self.succeed(line, reply),
                Step::Answer(line, Err(error)) => {
                    if let Err(failure) = self.fail(line, error) {
                        self.output.flush().await?;
                        return Ok(Err(failure));
                    }
                }
                Step::Flush => self.output.flush().await?,
                Step::Progress => Progress::show(self.answered, self.queue.len()),
                Step::End => {
                    self.output.flush().await?;
                    return Ok(self.summary());
                }
            }
            if self.output.is_full() {
                self.output.flush().await?;
            }
        }
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        self.fill(cx);
        if let Some(Entry { line, bytes, stage }) = self.queue.front_mut() {
            if let Poll::Ready(result) = stage.poll(cx) {
                let line = *line;
                self.queued_bytes -= *bytes;
                self.queue.pop_front();
                return Poll::Ready(Step::Answer(line, result));
            }
        } else if self.lost.is_some() || !matches!(self.source, Source::Open) {
            return Poll::Ready(Step::End);
        }
        if !self.output.is_empty() {
            return Poll::Ready(Step::Flush);
        }
        self.progress.poll_due(cx).map(|()| Step::Progress)
    }

    /// Sends as many lines as there are and as may be in flight.
    fn fill(&mut self, cx: &mut Context<'_>) {
        while self.has_room() {
            let line = match self.lines.next() {
                Some(line) => line,
                None if !matches!(self.source, Source::Open) => return,
                None => match self.input.poll_recv(cx) {
                    Poll::Pending => return,
                    Poll::Ready(Some(Ok(chunk))) => {
                        self.lines.push(chunk);
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        self.source = Source::Failed(error);
                        return;
                    }
                    Poll::Ready(None) => {
                        self.source = Source::Ended;
                        let Some(line) = self.lines.finish() else { return };
                        line
                    }
                },
            };
            self.enter(line, cx);
        }
    }

    fn has_room(&self) -> bool {
        let calls = self.queue.len();
        self.lost.is_none()
            && (calls == 0
                || calls < self.concurrency
                    && self.queued_bytes < REQUEST_BYTES
                    && calls * self.longest_reply.unwrap_or(self.max_message) < REPLY_BYTES)
    }

    fn enter(&mut self, line: Line, cx: &mut Context<'_>) {
        self.lines_read += 1;
        let (bytes, stage) = match line {
            Line::TooLong => (0, Stage::Ended(Some(Err(LineError::TooLong)))),
            Line::Whole(body) => {
                let bytes = body.len();
                let mut request = self.request.clone();
                request.message = request.message.with_body(body);
                let mut stage = Stage::Waits(Attempt::new(self.link, request));
                if let Poll::Ready(result) = stage.poll(cx) {
                    stage = Stage::Ended(Some(result));
                }
                (bytes, stage)
            }
        };
        self.queued_bytes += bytes;
        self.queue.push_back(Entry { line: self.lines_read, bytes, stage });
    }

    fn succeed(&mut self, line: u64, reply: Reply) {
        self.longest_reply = self.longest_reply.max(Some(reply.body.len()));
        if self.json {
            self.output.line(to_json(Some(line), &Ok(reply)).as_bytes());
            self.answered += 1;
        } else if self.lost.is_none() || self.keep_going {
            // Behind a lost line there is no place for an answer, unless an empty line stands for the lost one.
            self.output.line(&reply.body);
            self.answered += 1;
        }
    }

    /// A line failed. It is an error if that ends all.
    fn fail(&mut self, line: u64, error: LineError) -> Result<(), Failure> {
        self.fill_place(line, &error);
        let text = match error {
            LineError::Call(CallError::Lost { delivery, reason }) if self.ends_all() => {
                if self.lost.is_none() {
                    self.lost = Some(Loss::new(line, self.link.explain(&reason)));
                    // What was not sent is not to be sent on the next connection: the lines before it are not answered.
                    self.link.client.abort(CloseCode::NORMAL);
                }
                self.lose(delivery);
                return Ok(());
            }
            LineError::Call(error) if is_draining(&error) => {
                let new = || Loss::new(line, error.to_string());
                self.lost.get_or_insert_with(new);
                self.lose(Delivery::NotSent);
                return Ok(());
            }
            LineError::Call(error) => describe(&error),
            LineError::TooLong => self.too_long(),
        };
        self.failed += 1;
        let line = grouped(line);
        if self.keep_going {
            say(format_args!("line {line}: {text}"));
        } else if self.lost.is_none() {
            let behind = match self.queue.len() {
                0 => String::new(),
                n => format!(" (lines behind it that may have been run: {})", grouped(n as u64)),
            };
            return Err(Failure::new(Exit::CallFailed, format_args!("line {line}: {text}{behind}")));
        }
        Ok(())
    }

    /// Whether a lost line is the end: nothing is called any more, or nothing should be.
    fn ends_all(&self) -> bool {
        self.lost.is_some() || !self.keep_going || !self.link.comes_back || !self.link.has_hope()
    }

    /// Puts something into the output where the answer to a line would stand.
    fn fill_place(&mut self, line: u64, error: &LineError) {
        if self.json {
            let object = match error {
                LineError::Call(error) => to_json(Some(line), &Err(error.clone())),
                LineError::TooLong => {
                    let object = Object::new().plain("line", line).text("error", &self.too_long());
                    object.plain("may_have_run", false).end()
                }
            };
            self.output.line(object.as_bytes());
        } else if self.keep_going {
            self.output.line(b"");
        }
    }

    fn too_long(&self) -> String {
        format!("longer than --max-message {}; the call was not sent", grouped(self.max_line as u64))
    }

    /// The others in the queue are heard before it ends, to count them.
    const fn lose(&mut self, delivery: Delivery) {
        if let Some(loss) = &mut self.lost {
            loss.count(delivery);
        }
    }

    /// All that was begun has ended.
    fn summary(&self) -> Result<(), Failure> {
        if let Some(loss) = &self.lost {
            return Err(loss.failure(self.answered));
        }
        if let Source::Failed(error) = &self.source {
            return Err(Failure::of_input(error));
        }
        if self.failed > 0 {
            let (failed, read) = (grouped(self.failed), grouped(self.lines_read));
            return Err(Failure::new(Exit::CallFailed, format_args!("failed lines: {failed} of {read}")));
        }
        Ok(())
    }
}

impl Stage<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<LineResult> {
        match self {
            Self::Waits(attempt) => attempt.poll(cx).map_err(LineError::Call),
            Self::Ended(result) => result.take().map_or(Poll::Pending, Poll::Ready),
        }
    }
}
