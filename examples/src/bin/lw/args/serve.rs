//! What can be asked of `lw serve`.

use std::time::Duration;

use clap::Args;

use crate::units;

/// Runs a server to try things with.
///
/// It prints "listening on ADDRESS" when it can be connected to. On Ctrl-C or SIGTERM it drains: it takes nothing new, and
/// ends when the calls in flight have been answered. A second one closes all connections at once.
#[derive(Args, Debug)]
#[command(after_long_help = super::help::SERVE)]
pub(crate) struct ServeOptions {
    /// Where to listen, as host:port. Port 0 lets the system choose.
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,

    /// Most connections at a time; further ones wait until one ends [default: no limit].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,

    /// The longest message that a client may send.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_message: u32,

    /// How many calls a client may have in flight.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    pub(crate) call_slots: u32,

    /// How long calls in flight may take to be answered when it is told to end; 0 waits for none.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = units::duration)]
    pub(crate) drain: Duration,

    /// Drain a connection on which nothing was said for so long [default: never].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) idle: Option<Duration>,

    /// Drain a connection that is so old, 10 % more or less [default: never].
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub(crate) max_age: Option<Duration>,

    /// Say on standard error who comes and goes, and why.
    #[arg(short, long)]
    pub(crate) verbose: bool,
}
