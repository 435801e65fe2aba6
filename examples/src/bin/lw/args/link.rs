//! What all commands that connect have in common: where to, and what to do when that fails.

use std::str::FromStr;
use std::time::Duration;

use adapter_tokio::{Address, Config, HeartbeatConfig};
use clap::Args;

use crate::exit::{Exit, Failure};
use crate::units::{self, Deadline};

#[derive(Args, Clone, Debug)]
pub(crate) struct LinkOptions {
    /// The server, as host:port. Several, with commas between them, are tried in turn.
    #[arg(value_name = "ADDR[,ADDR...]")]
    pub(crate) addresses: Addresses,

    /// Try so many times in a row to connect again, then give up; 0 never tries again.
    ///
    /// A connection that has lasted 5 s ends the row. The waits between are random, up to 0.5 s at first and up to 10 s
    /// later.
    #[arg(long, value_name = "N", help_heading = "Connection")]
    retry: Option<u32>,

    /// Give up when there has been no connection for so long, or never.
    #[arg(long, value_name = "TIME", value_parser = units::deadline, help_heading = "Connection")]
    retry_max_time: Option<Deadline>,

    /// Give a connection up on which nothing at all has come for so long; at least 2s.
    #[arg(
        long, value_name = "TIME", default_value = "25s", value_parser = units::duration,
        help_heading = "Connection"
    )]
    silence: Duration,

    /// Say on standard error when the connection is lost and regained. On a terminal it is said anyway.
    #[arg(short, long, help_heading = "Connection")]
    pub(crate) verbose: bool,
}

/// How long to go on trying, once it has been decided to try at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patience {
    /// So many attempts in a row.
    pub(crate) attempts: Option<u32>,
    /// So long without a connection.
    pub(crate) time: Option<Duration>,
}

impl LinkOptions {
    /// How to come back after a connection was lost; `None` does not. `usual` is what a command does unless it is told
    /// otherwise.
    pub(crate) fn patience(&self, usual: Option<Deadline>) -> Option<Patience> {
        if self.retry == Some(0) {
            return None;
        }
        let time = match (self.retry_max_time, self.retry) {
            (Some(time), _) => time,
            (None, Some(_)) => Deadline::Never,
            (None, None) => usual?,
        };
        Some(Patience { attempts: self.retry, time: time.limit() })
    }

    /// Whether to try again if already the first attempt fails.
    pub(crate) fn patience_at_start(&self) -> Option<Patience> {
        self.patience(None)
    }

    /// A configuration for messages up to a length.
    pub(crate) fn config(&self, max_message: u32) -> Result<Config, Failure> {
        if self.silence < Duration::from_secs(2) {
            return Err(Failure::new(Exit::Usage, "--silence must be at least 2s"));
        }
        // The other end is asked to speak so often that a late word does not count as silence.
        let wish = (self.silence * 3 / 5).clamp(Duration::from_secs(1), Duration::from_secs(3600));
        let heartbeat = HeartbeatConfig { wish, timeout: self.silence - wish, ..HeartbeatConfig::default() };
        // The server is not offered anything to call.
        let config = Config { heartbeat: Some(heartbeat), ..super::config(max_message, 0)? };
        config.validate().map_err(|error| Failure::new(Exit::Usage, error))?;
        Ok(config)
    }
}

/// One or more addresses.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    text: String,
    pub(crate) each: Vec<Address>,
}

impl FromStr for Addresses {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let each: Vec<_> = text.split(',').map(|one| one.trim().to_owned()).collect();
        // What can never work is not to be tried for ever.
        let makes_sense = |one: &String| match one.rsplit_once(':') {
            Some((host, port)) => !host.is_empty() && port.parse::<u16>().is_ok(),
            None => false,
        };
        if !each.iter().all(makes_sense) {
            return Err("an address is host:port, such as 127.0.0.1:7000".to_owned());
        }
        Ok(Self { text: text.to_owned(), each: each.iter().map(Address::from).collect() })
    }
}

impl std::fmt::Display for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Only {
        #[command(flatten)]
        link: LinkOptions,
    }

    fn patience(options: &str, usual: Option<Deadline>) -> Option<Patience> {
        let words = "lw a:1 ".to_owned() + options;
        Only::parse_from(words.split_whitespace()).link.patience(usual)
    }

    #[test]
    fn who_asks_for_attempts_or_for_a_time_gets_just_that() {
        let minute = Some(Deadline::After(Duration::from_secs(60)));
        let so = |attempts, seconds: Option<u64>| {
            Some(Patience { attempts, time: seconds.map(Duration::from_secs) })
        };
        assert_eq!(patience("", None), None);
        assert_eq!(patience("", minute), so(None, Some(60)));
        assert_eq!(patience("", Some(Deadline::Never)), so(None, None));
        for usual in [None, minute, Some(Deadline::Never)] {
            assert_eq!(patience("--retry 0", usual), None);
            assert_eq!(patience("--retry 3", usual), so(Some(3), None));
            assert_eq!(patience("--retry-max-time 5s", usual), so(None, Some(5)));
            assert_eq!(patience("--retry-max-time never", usual), so(None, None));
            assert_eq!(patience("--retry 3 --retry-max-time 5s", usual), so(Some(3), Some(5)));
        }
    }

    #[test]
    fn addresses_are_told_apart_by_commas() {
        let addresses: Addresses = "a:1, [::1]:2,127.0.0.1:3".parse().unwrap();
        assert_eq!(
            addresses.each.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["a:1", "[::1]:2", "127.0.0.1:3"]
        );
        for text in ["", ",", "a:1,", ",a:1", "a:1,,b:2", "a", ":1", "a:", "a:b", "a:70000"] {
            assert!(text.parse::<Addresses>().is_err(), "{text}");
        }
    }
}
