//! How the tool ends: exit codes, and the one line that says why.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use adapter_tokio::{CallError, Delivery, Refusal, StatusCode};

use crate::link::Link;
use crate::progress;

/// The exit codes, apart from 0. Those who change them change the table in `args` too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// A call failed.
    CallFailed = 1,
    /// The arguments make no sense. The argument parser uses the same number.
    Usage = 2,
    /// The address cannot be connected to, or listened on.
    Unreachable = 3,
    /// The connection was lost, or took no further calls, before all was answered.
    Lost = 4,
    /// Standard input or output does not work, or the system lacks something.
    System = 5,
    /// A second Ctrl-C cut the end short, as shells say it.
    Interrupted = 130,
}

impl Exit {
    pub(crate) fn of_call(error: &CallError) -> Self {
        let lost = matches!(error, CallError::Lost { .. }) || is_draining(error);
        if lost { Self::Lost } else { Self::CallFailed }
    }
}

/// Why the tool ends with another code than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Display) -> Self {
        Self { exit, text: Some(text.to_string()) }
    }

    /// There is nobody left to tell, or it has been told.
    pub(crate) const fn quiet(exit: Exit) -> Self {
        Self { exit, text: None }
    }

    /// A call that failed.
    pub(crate) fn of_call(link: &Link, error: &CallError) -> Self {
        let text = match error {
            CallError::Lost { delivery, reason } => {
                let reason = link.explain(reason);
                match delivery {
                    Delivery::NotSent => format!("{reason}; the call was not sent"),
                    Delivery::MaybeSent => format!("{reason}; the peer may have run the call"),
                }
            }
            error => describe(error),
        };
        Self::new(Exit::of_call(error), text)
    }

    pub(crate) fn of_input(error: &io::Error) -> Self {
        Self::new(Exit::System, format_args!("cannot read standard input: {error}"))
    }

    pub(crate) fn of_output(error: &io::Error) -> Self {
        Self::new(Exit::System, format_args!("cannot write to standard output: {error}"))
    }

    pub(crate) fn report(self) -> ExitCode {
        if let Some(text) = &self.text {
            say(text);
        }
        ExitCode::from(self.exit as u8)
    }
}

/// Whether a call was not taken because the connection is coming to its end: further ones would not be either.
pub(crate) fn is_draining(error: &CallError) -> bool {
    match error {
        CallError::Refused(refused) => refused.refusal == Refusal::Draining,
        CallError::Status(status) => status.code == StatusCode::DRAINING,
        _ => false,
    }
}

/// What happened to a call, and whether the peer may have run it.
pub(crate) fn describe(error: &CallError) -> String {
    let delivery = match error {
        // These say so themselves.
        CallError::Lost { .. } | CallError::TimedOut(_) => "",
        CallError::Refused(_) => "; the call was not sent",
        error if error.may_have_run() => "; the peer may have run the call",
        _ => "; the call was not run",
    };
    format!("{}{delivery}", shorten(&error.to_string()))
}

/// Tells people something on standard error, in one line.
pub(crate) fn say(text: impl Display) {
    progress::clear();
    // Whoever closed standard error does not want to hear of it.
    let _ = io::stderr().write_all(one_line(&format!("lw: {text}")).as_bytes());
}

/// A line of its own, whatever a peer has put into it: it cannot move the cursor or begin another line.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).chain(['\n']).collect()
}

/// A peer may describe its error with a megabyte.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 400;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapter_tokio::{Message, Refused, Status};

    #[test]
    fn every_failure_says_whether_the_call_may_have_run() {
        let status = |code, text: &'static str| CallError::Status(Box::new(Status::new(code, text)));
        let cases = [
            (status(StatusCode::BAD_REQUEST, "no"), "BAD_REQUEST: no; the call was not run"),
            (status(StatusCode::HANDLER_FAILED, ""), "HANDLER_FAILED; the peer may have run the call"),
            (CallError::TimedOut(Delivery::NotSent), "the deadline passed; the call was not sent"),
            (CallError::TimedOut(Delivery::MaybeSent), "the deadline passed; the peer may have run the call"),
        ];
        for (error, text) in cases {
            assert_eq!(describe(&error), text);
        }
    }

    #[test]
    fn a_call_that_comes_too_late_is_told_from_one_that_fails() {
        let refused =
            |refusal| CallError::Refused(Box::new(Refused { refusal, message: Message::default() }));
        let status = |code: StatusCode| CallError::Status(Box::new(code.into()));
        for late in [refused(Refusal::Draining), status(StatusCode::DRAINING)] {
            assert!(is_draining(&late) && !late.may_have_run(), "{late}");
            assert_eq!(Exit::of_call(&late), Exit::Lost);
        }
        for failed in [refused(Refusal::NotCallable), status(StatusCode::OVERLOADED)] {
            assert!(!is_draining(&failed), "{failed}");
            assert_eq!(Exit::of_call(&failed), Exit::CallFailed);
        }
    }

    #[test]
    fn a_long_description_is_cut_at_a_character() {
        assert_eq!(shorten(&"é".repeat(500)).chars().count(), 401);
        assert_eq!(shorten("short"), "short");
    }

    #[test]
    fn what_a_peer_says_stays_in_its_line() {
        assert_eq!(
            one_line("closed (\x1b[2J\nlw: all is well)"),
            "closed (\u{fffd}[2J\u{fffd}lw: all is well)\n"
        );
    }
}
