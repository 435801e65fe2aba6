//! What can be asked for on the command line. The order of the options here is their order in `--help`.

mod bench;
mod clients;
mod help;
mod link;
mod serve;

use adapter_tokio::{Bytes, Config, Message};
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::bench::{Arrivals, BenchOptions, Check};
pub(crate) use self::clients::{CallOptions, ListenOptions, PingOptions, PushOptions};
pub(crate) use self::link::{LinkOptions, Patience};
pub(crate) use self::serve::ServeOptions;
use crate::exit::{Exit, Failure};

/// Serves, calls and listens over Longwire, a protocol for long-lived connections.
#[derive(Debug, Parser)]
#[command(name = "lw", version, propagate_version = true, after_help = help::ALL)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(ServeOptions),
    Call(CallOptions),
    Push(PushOptions),
    Listen(ListenOptions),
    Ping(PingOptions),
    Bench(BenchOptions),
    Completion(CompletionOptions),
    Man(ManOptions),
}

/// Prints a script that lets a shell complete the arguments of lw.
#[derive(Args, Debug)]
#[command(after_long_help = help::COMPLETION)]
pub(crate) struct CompletionOptions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints the manual page of lw, or of one of its commands.
#[derive(Args, Debug)]
#[command(after_long_help = help::MAN)]
pub(crate) struct ManOptions {
    /// The command; lw itself if it is left out.
    #[arg(value_name = "COMMAND")]
    pub(crate) command: Option<String>,
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
