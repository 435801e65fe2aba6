//! `lw call`: connects, and calls once or for each line.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use adapter_tokio::proto_core::endpoint::ConnectError;
use adapter_tokio::{Call, Client, NoHandler, client};

use crate::args::{self, CallOptions};
use crate::exit::{Exit, Failure};
use crate::stream::Stream;
use crate::units::Deadline;

/// How long to wait for a server that does not close its side. All answers are there by then.
const PARTING: Duration = Duration::from_secs(1);

pub(crate) async fn call(options: CallOptions) -> Result<(), Failure> {
    options.check()?;
    // The server is not offered anything to call.
    let config = args::config(options.max_message, 0)?;
    let client = client(NoHandler).config(config).connect(&options.address).await.map_err(|error| {
        let exit = if let ConnectError::Config(_) = error { Exit::Usage } else { Exit::Unreachable };
        Failure::new(exit, error)
    })?;
    let result = if options.is_stream() {
        Stream::new(&client, &options).run().await
    } else {
        once(&client, options).await
    };
    // The server has answered what it was asked; if it does not part in time, that is no failure.
    let _ = tokio::time::timeout(PARTING, client.finish()).await;
    result
}

/// One call: its answer to standard output.
async fn once(client: &Client, options: CallOptions) -> Result<(), Failure> {
    let message = options.route.with_body(options.body.into_encoded_bytes());
    let reply = within(client.call_message(message), options.deadline)
        .await
        .map_err(|error| Failure::of_call(&error))?;
    let mut out = io::stdout().lock();
    let newline = out.is_terminal() && !reply.body.ends_with(b"\n");
    let written = out.write_all(&reply.body).and_then(|()| out.write_all(if newline { b"\n" } else { b"" }));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::System, format_args!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// A call with its deadline.
pub(crate) fn within(call: Call, deadline: Deadline) -> Call {
    match deadline {
        Deadline::After(time) => call.timeout(time),
        Deadline::Never => call.no_timeout(),
    }
}
