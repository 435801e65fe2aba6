//! `lw call`: connects, and calls once or for each line.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use adapter_tokio::{CallError, Reply, WhileDown};

use crate::args::CallOptions;
use crate::attempt::{Attempt, Request};
use crate::exit::{Failure, describe};
use crate::json::Object;
use crate::link::{Link, Plan};
use crate::stream::Stream;
use crate::units::Deadline;

/// How long lines wait for a server to come back unless something else is asked for: long enough for a restart.
const PATIENCE: Deadline = Deadline::After(Duration::from_secs(60));

pub(crate) async fn call(options: CallOptions) -> Result<(), Failure> {
    options.check()?;
    let plan = Plan {
        options: &options.link,
        config: options.link.config(options.max_message)?,
        patience: options.link.patience(options.is_stream().then_some(PATIENCE)),
        // How many there are is limited where lines are read.
        while_down: WhileDown::Wait { calls: usize::MAX, bytes: usize::MAX },
        pushes: None,
    };
    let link = plan.connect().await?;
    let result = if options.is_stream() {
        Stream::new(&link, &options).run().await
    } else {
        once(&link, &options).await
    };
    link.finish().await;
    result
}

/// One call: its answer to standard output.
async fn once(link: &Link, options: &CallOptions) -> Result<(), Failure> {
    let message = options.route.clone().with_body(options.body.clone().into_encoded_bytes());
    let CallOptions { deadline, idempotent, .. } = *options;
    let result = Attempt::new(link, Request { message, deadline, idempotent }).run().await;
    if options.json {
        write(&(to_json(None, &result) + "\n").into_bytes(), false)?;
    } else if let Ok(reply) = &result {
        write(&reply.body, true)?;
    }
    result.map(drop).map_err(|error| Failure::of_call(link, &error))
}

/// What has become of a call, as an object.
pub(crate) fn to_json(line: Option<u64>, result: &Result<Reply, CallError>) -> String {
    let object = match line {
        Some(line) => Object::new().plain("line", line),
        None => Object::new(),
    };
    match result {
        Ok(reply) => object.bytes("body", &reply.body),
        Err(error) => {
            let object = object.text("error", &describe(error));
            let object = match error {
                CallError::Status(status) => object.text("status", &status.code.to_string()),
                _ => object,
            };
            object.plain("may_have_run", error.may_have_run())
        }
    }
    .end()
}

fn write(bytes: &[u8], as_text: bool) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let newline = as_text && out.is_terminal() && !bytes.ends_with(b"\n");
    let written = out.write_all(bytes).and_then(|()| out.write_all(if newline { b"\n" } else { b"" }));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of_output(&error)),
        _ => Ok(()),
    }
}
