//! The command line: of the orchestrator, and of the processes that it starts from the same executable.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::contender::{Contender, Load};
use crate::page::{self, Side};
use crate::workload::Point;
use crate::{Result, orchestrator, system};

/// Longwire beside its limits and its rivals.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    plan: Plan,
}

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Which workloads, such as W1,W3; all of them if not said
    #[arg(long, value_delimiter = ',')]
    pub(crate) workloads: Vec<String>,
    /// Which contenders, such as raw-epoll,longwire-tokio or longwire for all whose names begin so; all of
    /// them if not said
    #[arg(long, value_delimiter = ',')]
    pub(crate) contenders: Vec<String>,
    /// How often everybody is measured
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rounds: u32,
    /// How long each measurement takes, without its warm-up
    #[arg(long, default_value_t = 2.0)]
    pub(crate) seconds: f64,
    /// Writes everything to a file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draws a picture for each workload, in a folder; if none is named, in that beside the manifest
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = concat!(env!("CARGO_MANIFEST_DIR"), "/plots"))]
    pub(crate) plots: Option<PathBuf>,
    /// Shows which workloads and contenders there are
    #[arg(long)]
    pub(crate) list: bool,
}

#[derive(Debug, Subcommand)]
enum Part {
    /// Is a contender's server.
    #[command(hide = true)]
    Serve(Child),
    /// Is a contender's client.
    #[command(hide = true)]
    Load {
        #[command(flatten)]
        child: Child,
        #[arg(long)]
        address: SocketAddr,
        #[arg(long)]
        server: u32,
        #[arg(long)]
        seconds: f64,
    },
}

/// What both ends are told.
#[derive(Args, Debug)]
struct Child {
    contender: String,
    point: String,
    #[arg(long)]
    core: usize,
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    page: PathBuf,
}

pub(crate) fn run() -> Result {
    let Command { part, plan } = Command::parse();
    match part {
        None => orchestrator::run(&plan),
        Some(Part::Serve(child)) => {
            let (contender, point) = child.prepare(Side::Server)?;
            (contender.serve)(&point.job)
        }
        Some(Part::Load { child, address, server, seconds }) => {
            let (contender, point) = child.prepare(Side::Client)?;
            let time = Duration::try_from_secs_f64(seconds)?;
            let figures = (contender.load)(&Load { job: point.job, address, server, time })?;
            writeln!(std::io::stdout(), "{}", serde_json::to_string(&figures)?)?;
            // Whatever still runs is of no use any more.
            std::process::exit(0)
        }
    }
}

impl Child {
    fn prepare(&self, side: Side) -> Result<(Contender, &'static Point)> {
        system::end_with_parent(self.parent)?;
        system::pin(self.core)?;
        system::raise_open_files()?;
        page::open(&self.page, side)?;
        Ok((Contender::find(&self.contender)?, Point::find(&self.point)?))
    }
}
