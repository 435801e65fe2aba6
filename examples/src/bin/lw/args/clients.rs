//! What can be asked of the commands that connect.

use std::ffi::OsString;
use std::time::Duration;

use adapter_tokio::Message;
use clap::Args;

use super::{LinkOptions, help, route};
use crate::exit::{Exit, Failure};
use crate::units::{self, Deadline};

/// Calls a server: once, or once for each line of standard input.
#[derive(Args, Debug)]
#[command(after_long_help = help::CALL)]
pub(crate) struct CallOptions {
    #[command(flatten)]
    pub(crate) link: LinkOptions,

    /// What to call: a name, or a number if there is nothing but digits.
    ///
    /// `name:` in front makes a name of anything (name:7), and # a number (#7).
    #[arg(value_name = "ROUTE", value_parser = route)]
    pub(crate) route: Message,

    /// What to send; nothing if it is left out. With `-` each line of standard input is a call of its own.
    #[arg(value_name = "BODY|-", default_value = "", hide_default_value = true)]
    pub(crate) body: OsString,

    /// How long to wait for each answer: 250ms, 1.5s, 2m, plain milliseconds, or never.
    #[arg(short, long, value_name = "TIME", default_value = "10s", value_parser = units::deadline)]
    pub(crate) deadline: Deadline,

    /// Calling twice does no harm: call again what may have been run when the connection was lost.
    #[arg(short, long)]
    pub(crate) idempotent: bool,

    /// With `-`: most calls in flight.
    #[arg(
        short, long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=65_536)
    )]
    pub(crate) concurrency: u32,

    /// With `-`: go on when a line fails, and print an empty line in its place.
    #[arg(short, long)]
    pub(crate) keep_going: bool,

    /// Print each answer as a JSON object in a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// The longest line to send, and the longest answer to take.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_message: u32,
}

impl CallOptions {
    /// What the parser cannot know.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.keep_going && !self.is_stream() {
            return Err(Failure::new(Exit::Usage, "--keep-going makes sense only with - as the body"));
        }
        Ok(())
    }

    /// Whether each line of standard input is a call.
    pub(crate) fn is_stream(&self) -> bool {
        self.body == "-"
    }
}

/// Sends a message that nobody answers: one, or one for each line of standard input.
#[derive(Args, Debug)]
#[command(after_long_help = help::PUSH)]
pub(crate) struct PushOptions {
    #[command(flatten)]
    pub(crate) link: LinkOptions,

    /// Where to: a name, or a number if there is nothing but digits.
    ///
    /// `name:` in front makes a name of anything (name:7), and # a number (#7).
    #[arg(value_name = "ROUTE", value_parser = route)]
    pub(crate) route: Message,

    /// What to send; nothing if it is left out. With `-` each line of standard input is a push of its own.
    #[arg(value_name = "BODY|-", default_value = "", hide_default_value = true)]
    pub(crate) body: OsString,

    /// The longest line to send.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_message: u32,
}

/// Prints the pushes that a server sends, one per line, until Ctrl-C.
#[derive(Args, Debug)]
#[command(after_long_help = help::LISTEN)]
pub(crate) struct ListenOptions {
    #[command(flatten)]
    pub(crate) link: LinkOptions,

    /// End after so many pushes.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// End after so long.
    #[arg(long = "for", value_name = "TIME", value_parser = units::duration)]
    pub(crate) duration: Option<Duration>,

    /// Print the route in front of each push, with a tab behind it.
    #[arg(short, long)]
    pub(crate) routes: bool,

    /// Print each push as a JSON object in a line.
    #[arg(long)]
    pub(crate) json: bool,

    /// The longest push to take.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_message: u32,
}

/// Calls a server again and again, and tells how long the answers take.
#[derive(Args, Debug)]
#[command(after_long_help = help::PING)]
pub(crate) struct PingOptions {
    #[command(flatten)]
    pub(crate) link: LinkOptions,

    /// What to call, with an empty body. An error status is an answer, too.
    #[arg(value_name = "ROUTE", default_value = "echo", value_parser = route)]
    pub(crate) route: Message,

    /// End after so many calls; without it, at Ctrl-C.
    #[arg(short, long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,

    /// How long to wait between calls; at least 1ms.
    #[arg(short, long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    pub(crate) interval: Duration,

    /// How long to wait for each answer.
    #[arg(short = 'W', long, value_name = "TIME", default_value = "5s", value_parser = units::duration)]
    pub(crate) deadline: Duration,

    /// Print only the statistics at the end.
    #[arg(short, long)]
    pub(crate) quiet: bool,

    /// Print each answer, and the statistics, as a JSON object in a line.
    #[arg(long)]
    pub(crate) json: bool,
}
