//! `lw`: a server to try things with, and a tool that calls any Longwire server.
//!
//! It is an example that is meant to be used: `lw serve` shows handlers and an orderly end, `lw call` shows calls with
//! deadlines and, over standard input, many calls in flight with answers in order and memory that does not grow; all
//! that connect show a client that comes back when its connection is lost.
//!
//! The parts: `args` says what can be asked for, `serve` and `routes` are the server, `link` is the connection of all
//! others. `call` is one call, `stream` is one for each line, with `attempt`, `loss`, `lines`, `input`, `output` and
//! `progress` around it. `push`, `listen`, `ping` and `bench` are what they are called, `generate` prints manual pages
//! and completions, `exit` has the exit codes.

mod args;
mod attempt;
mod bench;
mod call;
mod exit;
mod generate;
mod input;
mod json;
mod lines;
mod link;
mod listen;
mod loss;
mod output;
mod ping;
mod progress;
mod push;
mod routes;
mod serve;
mod signals;
mod statistics;
mod stream;
mod units;

use std::process::ExitCode;

use clap::Parser;
use tokio::runtime::Builder;

use self::args::{Arguments, Command};
use self::exit::{Exit, Failure};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve(options) => run(Builder::new_multi_thread(), serve::serve(options)),
        // One connection is one task: a second thread would only pass messages back and forth.
        Command::Call(options) => run(Builder::new_current_thread(), call::call(options)),
        Command::Push(options) => run(Builder::new_current_thread(), push::push(options)),
        Command::Listen(options) => run(Builder::new_current_thread(), listen::listen(options)),
        Command::Ping(options) => run(Builder::new_current_thread(), ping::ping(options)),
        // Its calls are made by threads of their own.
        Command::Bench(options) => run(Builder::new_current_thread(), bench::bench(options)),
        Command::Completion(options) => generate::completion(&options),
        Command::Man(options) => generate::man(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn run(mut runtime: Builder, command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = runtime
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Exit::System, format_args!("cannot start: {error}")))?;
    let result = runtime.block_on(command);
    // What still runs then (such as a look-up of a name) is not waited for.
    runtime.shutdown_background();
    result
}
