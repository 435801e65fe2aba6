//! Longwire beside its limits and its rivals, measured in one run. The README says how to read it.

mod allocations;
mod callers;
mod command;
mod contender;
mod contenders;
mod hand;
mod memory;
mod meter;
mod orchestrator;
mod page;
mod report;
mod runtimes;
mod system;
mod workload;

use std::process::ExitCode;

/// Whatever goes wrong is told to a person.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T = (), E = Error> = std::result::Result<T, E>;

fn main() -> ExitCode {
    match command::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
