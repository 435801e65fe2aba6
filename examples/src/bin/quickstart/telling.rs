//! How the steps of the tour are run, checked and told.

use std::error::Error;
use std::fmt::{Debug, Display};
use std::future::Future;
use std::time::Duration;

use adapter_tokio::ClientState;

pub(crate) type Result<T, E = Box<dyn Error + Send + Sync>> = std::result::Result<T, E>;

/// Runs a step and prints what it says, or fails with its number and name.
pub(crate) async fn step(number: u32, name: &str, work: impl Future<Output = Result<String>>) -> Result<()> {
    let done = tokio::time::timeout(Duration::from_secs(10), work).await;
    let told = done.unwrap_or_else(|_| Err("it does not end".into()));
    let told = told.map_err(|problem| format!("step {number}, {name}, failed: {problem}"))?;
    for (index, line) in told.lines().enumerate() {
        let heading = if index == 0 { format!("{number:>2}. {name}") } else { String::new() };
        println!("{heading:<21}{line}");
    }
    Ok(())
}

pub(crate) fn line(who: &str, what: &str, answer: impl Display) -> String {
    let arrow = if what.is_empty() { ' ' } else { '←' };
    format!("{who:<20}{what:<25}{arrow} {answer}")
}

pub(crate) fn check<T: PartialEq<U> + Debug + ?Sized, U: Debug + ?Sized>(
    what: &str,
    found: &T,
    expected: &U,
) -> Result<()> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}").into()) }
}

pub(crate) fn unexpected<T>(found: impl Debug) -> Result<T> {
    Err(format!("unexpected: {found:?}").into())
}

pub(crate) fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// Where a client stands, in a word.
pub(crate) const fn word(state: &ClientState) -> &'static str {
    match state {
        ClientState::Connecting { .. } => "connecting",
        ClientState::Connected => "connected",
        ClientState::Reconnecting { .. } => "reconnecting",
        ClientState::GivenUp { .. } => "given up",
        ClientState::Stopped(_) => "stopped",
        _ => "elsewhere",
    }
}
