//! What can be asked for on the command line.

use std::ffi::OsString;
use std::time::Duration;

use adapter_tokio::{Bytes, Config, Message};
use clap::{Args, Parser, Subcommand};

use crate::exit::{Exit, Failure};
use crate::units::{self, Deadline};

/// Serves and calls over Longwire, a protocol for long-lived connections.
#[derive(Debug, Parser)]
#[command(name = "lw", version, propagate_version = true, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeOptions),
    Call(CallOptions),
}

const EXIT_CODES: &str = "\
Exit codes:
  0  all went well
  1  a call failed
  2  the arguments make no sense
  3  cannot connect, or cannot listen
  4  the connection was lost, or drained, before all calls were answered
  5  standard input or output does not work, or the system lacks something

Try it:
  lw serve 127.0.0.1:7000 &
  lw call 127.0.0.1:7000 echo hello
  seq 200000 | lw call 127.0.0.1:7000 echo - | tail -1

`lw help serve` and `lw help call` say more.";

/// Runs a server to try things with.
///
/// It prints "listening on ADDRESS" when it can be connected to. On Ctrl-C or SIGTERM it drains: it takes nothing new, and
/// ends when the calls in flight have been answered. A second one closes all connections at once.
#[derive(Args, Debug)]
#[command(after_long_help = SERVE_HELP)]
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

const SERVE_HELP: &str = "\
Routes:
  echo   the body back
  time   the time as text: seconds since 1970, with milliseconds
  sleep  an answer after the time that the body says: 250ms, 1.5s, 2m, or
         plain milliseconds; at most 1h
  chat   a push goes on to all who are connected, its sender included; so does
         a call, and its answer is how many got it

Examples:
  lw serve 127.0.0.1:7000
  lw serve [::1]:0 --verbose
  lw serve 0.0.0.0:7000 --max-connections 1000 --max-message 64K
  lw serve 0.0.0.0:7000 --idle 10m --max-age 24h --drain 2m

Exit codes:
  0 ended in good order, 2 wrong arguments, 3 cannot listen, 5 the system lacks
  something, 130 a second Ctrl-C or SIGTERM cut the end short";

/// Calls a server: once, or once for each line of standard input.
#[derive(Args, Debug)]
#[command(after_long_help = CALL_HELP)]
pub(crate) struct CallOptions {
    /// The server, as host:port.
    #[arg(value_name = "ADDR")]
    pub(crate) address: String,

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

    /// With `-`: most calls in flight.
    #[arg(
        short, long, value_name = "N", default_value_t = 64,
        value_parser = clap::value_parser!(u32).range(1..=65_536)
    )]
    pub(crate) concurrency: u32,

    /// With `-`: go on when a line fails, and print an empty line in its place.
    #[arg(short, long)]
    pub(crate) keep_going: bool,

    /// The longest line to send, and the longest answer to take.
    #[arg(long, value_name = "SIZE", default_value = "1MiB", value_parser = units::size)]
    pub(crate) max_message: u32,
}

const CALL_HELP: &str = "\
One call:
  The answer goes to standard output byte by byte. Only on a terminal a newline
  is added if it ends without one. A failure is one line on standard error,
  which says whether the server may have run the call.

One call for each line (BODY is -):
  Answers are printed one per line, in the order of the input, with up to
  --concurrency calls in flight. A line is bytes, without its newline; an empty
  line is an empty body; the last line needs no newline. Answers are printed as
  they are, so one that contains newlines takes several lines.

  The first failure ends it: the answers before it have been printed, the line
  is named on standard error, and the exit code is 1. Lines behind it that were
  in flight may have been run. With --keep-going each failed line is named on
  standard error and an empty line stands in its place, so that answer n
  belongs to line n; the exit code is 1 at the end. A line longer than
  --max-message, or than the server takes, is such a failure.

  When the connection is lost nothing further is sent: standard error says how
  many lines were answered and how many may have been run without an answer,
  and the exit code is 4. So it is when the server drains, which means that it
  wants to end: what it has taken it still answers, what comes after that is not
  sent.

  Memory does not depend on the length of the input. No further lines are sent
  while 4 MiB of them are in flight, or while 64 MiB of answers as long as the
  longest so far could come; a slow reader of the answers slows the calls down.
  One that has read enough (| head) ends it quietly.

Examples:
  lw call 127.0.0.1:7000 time
  lw call 127.0.0.1:7000 sleep 250ms --deadline 1s
  lw call 127.0.0.1:7000 chat 'hello, all'
  lw call 127.0.0.1:7000 echo -- -v            # a body that looks like an option
  lw call example.org:7000 7 '{\"id\":1}' > answer.json
  seq 200000 | lw call 127.0.0.1:7000 echo -
  lw call 127.0.0.1:7000 sleep - -k -c 1000 < times | paste times -

Exit codes:
  0 all answered, 1 a call failed, 2 wrong arguments, 3 cannot connect,
  4 connection lost or draining, 5 standard input or output does not work";

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

/// A configuration for messages up to a length: what depends on it follows.
pub(crate) fn config(max_message: u32, call_slots: u32) -> Result<Config, Failure> {
    let config = Config {
        call_slots,
        undelivered_limit: crate::stream::REPLY_BYTES.max(max_message as usize),
        // Chat lines for a peer that reads nothing: it misses some rather than costing megabytes.
        outbox_limit: 256 << 10,
        ..Config::default().with_max_message(max_message)
    };
    config.validate().map_err(|error| Failure::new(Exit::Usage, error))?;
    Ok(config)
}

/// A route as the user writes it, as a message that lacks nothing but its body.
fn route(text: &str) -> Result<Message, String> {
    let number = match text.strip_prefix('#') {
        Some(number) => Some(number),
        None => Some(text).filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())),
    };
    if let Some(number) = number {
        return match number.parse() {
            Ok(number) => Ok(Message::new(number, Bytes::new())),
            Err(_) => Err(format!("{number:?} is no route's number: they go from 0 to {}", u32::MAX)),
        };
    }
    let name = text.strip_prefix("name:").unwrap_or(text);
    Message::named(name, Bytes::new()).map_err(|_| "a route's name has 1 to 255 bytes".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_tokio::Route;
    use clap::CommandFactory;

    #[test]
    fn the_arguments_contradict_nothing() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_route_is_a_name_or_a_number() {
        let cases = [
            ("echo", Route::Name("echo")),
            ("7", Route::Number(7)),
            ("#7", Route::Number(7)),
            ("name:7", Route::Name("7")),
            ("name:#7", Route::Name("#7")),
            ("7a", Route::Name("7a")),
            ("4294967295", Route::Number(u32::MAX)),
        ];
        for (text, expected) in cases {
            assert_eq!(route(text).unwrap().route(), expected, "{text}");
        }
        for text in ["", "name:", "#", "#x", "4294967296", &"x".repeat(256)] {
            assert!(route(text).is_err(), "{text}");
        }
    }

    #[test]
    fn any_length_of_messages_makes_a_valid_configuration() {
        for max_message in [1024, 1 << 20, 100 << 20, u32::MAX] {
            assert!(config(max_message, 1).is_ok(), "{max_message}");
        }
        assert!(config(1023, 1).is_err());
        assert!(config(1024, 65_537).is_err());
    }
}
