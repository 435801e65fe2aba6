//! What can be asked of `lw bench`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use adapter_tokio::Message;
use clap::{Args, ValueEnum};

use super::{LinkOptions, help, route};
use crate::units::{self, Deadline};

/// Loads a server with calls, and reports how many it answers and how long that takes.
#[derive(Args, Debug)]
#[command(after_long_help = help::BENCH)]
pub(crate) struct BenchOptions {
    /// How many connections to make. Of several addresses, each connection begins with the next one.
    #[arg(
        short, long, value_name = "N", default_value_t = 1, help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) connections: u32,

    /// Most calls in flight on each connection [default: 1; 1,024 with --rate].
    #[arg(
        short, long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=65_536)
    )]
    pub(crate) in_flight: Option<u32>,

    /// Call so often per second, in all, however long the answers take: 500, 2.5k, 1M.
    ///
    /// When each call is due is fixed before the run, and its latency counts from then. Without it each answer is followed
    /// by the next call.
    #[arg(short, long, value_name = "CALLS", value_parser = units::rate, help_heading = "Load")]
    pub(crate) rate: Option<f64>,

    /// With --rate: at equal distances, or at random ones as of many independent users. The same in every run.
    #[arg(long, value_name = "KIND", value_enum, default_value_t = Arrivals::Constant, help_heading = "Load")]
    pub(crate) arrivals: Arrivals,

    /// With --rate: most calls that are due and not sent. Further ones fail as `backlog full`.
    #[arg(
        long, value_name = "N", default_value_t = 1_000_000, help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=100_000_000)
    )]
    pub(crate) max_backlog: u32,

    /// Call for so long [default: 10s, unless there is --count].
    #[arg(short, long, value_name = "TIME", value_parser = units::duration, help_heading = "Load")]
    pub(crate) duration: Option<Duration>,

    /// Make so many calls, and no more.
    #[arg(
        short = 'n', long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u64).range(1..)
    )]
    pub(crate) count: Option<u64>,

    /// Call for so long before that, and do not count it.
    #[arg(
        short, long, value_name = "TIME", default_value = "0", value_parser = units::duration,
        help_heading = "Load"
    )]
    pub(crate) warm_up: Duration,

    /// Threads that call [default: one for each two processors, at most one for each connection].
    #[arg(
        short, long, value_name = "N", help_heading = "Load",
        value_parser = clap::value_parser!(u32).range(1..=1024)
    )]
    pub(crate) threads: Option<u32>,

    /// What to call: a name, or a number if there is nothing but digits.
    ///
    /// `name:` in front makes a name of anything (name:7), and # a number (#7).
    #[arg(long, value_name = "ROUTE", default_value = "echo", value_parser = route, help_heading = "Calls")]
    pub(crate) route: Message,

    /// Bytes of each call's body: 64, 4KiB, 1M.
    #[arg(
        short, long, value_name = "SIZE", default_value = "64", value_parser = units::size,
        help_heading = "Calls"
    )]
    pub(crate) size: u32,

    /// Send this in place of so many bytes.
    #[arg(short, long, value_name = "TEXT", conflicts_with = "size", help_heading = "Calls")]
    pub(crate) body: Option<OsString>,

    /// How long to wait for each answer, from when the call was due: 250ms, 1.5s, 2m, plain milliseconds, or never.
    #[arg(
        long, visible_alias = "deadline", value_name = "TIME", default_value = "10s",
        value_parser = units::deadline, help_heading = "Calls"
    )]
    pub(crate) timeout: Deadline,

    /// Whether an answer must be what was sent. Automatically so if the route is called echo.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Check::Auto, help_heading = "Calls")]
    pub(crate) check: Check,

    /// The longest answer to take [default: 1MiB, or as long as the body].
    #[arg(long, value_name = "SIZE", value_parser = units::size, help_heading = "Calls")]
    pub(crate) max_message: Option<u32>,

    /// Write the report with charts to this file, as a page that needs nothing else.
    #[arg(long, value_name = "FILE.html", help_heading = "Report")]
    pub(crate) report: Option<PathBuf>,

    /// Print the report as a JSON object.
    #[arg(long, help_heading = "Report")]
    pub(crate) json: bool,

    /// Say nothing while it runs.
    #[arg(short, long, help_heading = "Report")]
    pub(crate) quiet: bool,

    #[command(flatten)]
    pub(crate) link: LinkOptions,
}

/// How calls of a given rate are spread over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arrivals {
    /// At equal distances.
    Constant,
    /// At random distances, each independent of the others.
    Poisson,
}

/// When to compare answers with what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Check {
    Auto,
    Always,
    Never,
}
