//! `lw`: a server to try things with, and a tool that calls any Longwire server.
//!
//! It is an example that is meant to be used: `lw serve` shows handlers and an orderly end, `lw call` shows calls with
//! deadlines and, over standard input, many calls in flight with answers in order and memory that does not grow.
//!
//! The parts: `args` says what can be asked for, `serve` and `routes` are the server, `call` is one call, `stream` is
//! one for each line, with `lines`, `input`, `output` and `progress` around it. `exit` has the exit codes.

mod args;
mod call;
mod exit;
mod input;
mod lines;
mod output;
mod progress;
mod routes;
mod serve;
mod stream;
mod units;

use std::process::ExitCode;

use clap::Parser;

use self::args::{Arguments, Command};
use self::exit::{Exit, Failure};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match &arguments.command {
        Command::Serve(_) => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
        // One connection is one task: a second thread would only pass messages back and forth.
        Command::Call(_) => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let result = match runtime {
        Ok(runtime) => {
            let result = runtime.block_on(async {
                match arguments.command {
                    Command::Serve(options) => serve::serve(options).await,
                    Command::Call(options) => call::call(options).await,
                }
            });
            // What still runs then (such as a look-up of a name) is not waited for.
            runtime.shutdown_background();
            result
        }
        Err(error) => Err(Failure::new(Exit::System, format!("cannot start: {error}"))),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
