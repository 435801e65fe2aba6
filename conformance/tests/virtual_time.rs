//! The suite in virtual time: more scenarios than in real time, and never another result.

use std::process::ExitCode;

use conformance::VirtualTime;

fn main() -> ExitCode {
    conformance::run::<VirtualTime>()
}
