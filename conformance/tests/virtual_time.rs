//! The suite in virtual time: more scenarios than in real time, and never another result.

use std::process::ExitCode;

fn main() -> ExitCode {
    conformance::run_in_virtual_time()
}
