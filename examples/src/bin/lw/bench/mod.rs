//! `lw bench`: loads a server with calls, and reports how many it answers and how long that takes.
//!
//! | module | |
//! |---|---|
//! | `plan` | what is to be done, checked |
//! | `schedule`, `load` | when calls are due: at times fixed before (open loop), or when there is room (closed loop) |
//! | `threads`, `worker`, `calls`, `ready`, `alarm`, `timer` | the threads that call, and how one of them keeps many calls in flight |
//! | `connection`, `files` | one connection, made again when it is lost, and whether the system allows so many |
//! | `recorder`, `sample` | what a thread notes of each call, and what that comes to |
//! | `word` | what threads and the one that looks on tell each other |
//! | `run`, `live`, `timeline` | the one that looks on, what it shows, and how the run went over time |
//! | `watched`, `usage`, `server` | what this process and the server's use of the machine |
//! | `report` | text, JSON and a page with charts |
//!
//! Threads share nothing on the way of a call. Each notes in a histogram of its own, and hands it over ten times a second.

mod alarm;
mod calls;
mod clock;
mod connection;
mod figures;
mod files;
mod live;
mod load;
mod plan;
mod ready;
mod recorder;
mod report;
mod run;
mod sample;
mod schedule;
mod server;
mod threads;
mod timeline;
mod timer;
mod usage;
mod watched;
mod word;
mod worker;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

use self::live::Live;
use self::plan::Plan;
use self::report::{End, Report, ReportFile};
use self::run::{Hurry, Run};
use crate::args::BenchOptions;
use crate::exit::{Exit, Failure};
use crate::units::grouped;

pub(crate) async fn bench(options: BenchOptions) -> Result<(), Failure> {
    let plan = Arc::new(Plan::new(&options)?);
    // It would be a pity to find out only when all is measured.
    let file = options.report.as_deref().map(ReportFile::open).transpose()?;
    files::allow(plan.connections);
    let tells = options.link.verbose || io::stderr().is_terminal();
    let run = Run::start(Arc::clone(&plan), Live::new(options.quiet), tells)?;
    let (report, hurry) = run.run().await?;
    let printed = print(&if options.json { report.json() + "\n" } else { report.text() });
    if let Some(file) = file {
        file.write(&report.html())?;
    }
    printed?;
    verdict(&report, hurry)
}

/// Whether all went well.
fn verdict(report: &Report, hurry: Hurry) -> Result<(), Failure> {
    if let End::Lost(reason) = &report.end {
        return Err(Failure::new(Exit::Lost, reason));
    }
    if hurry == Hurry::Yes {
        return Err(Failure::quiet(Exit::Interrupted));
    }
    let failed = report.totals.failed;
    if failed > 0 {
        let (failed, due) = (grouped(failed), grouped(report.due));
        return Err(Failure::new(Exit::CallFailed, format_args!("failed calls: {failed} of {due}")));
    }
    if report.totals.answered == 0 {
        return Err(Failure::new(Exit::CallFailed, "no call was answered"));
    }
    Ok(())
}

fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever closed it does not want to read it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::of_output(&error)),
        _ => Ok(()),
    }
}
