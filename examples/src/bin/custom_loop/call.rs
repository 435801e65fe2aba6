//! One call, on a connection that is made for it, and made again if it is lost too early.

use std::io::{self, Write};
use std::time::Duration;

use proto_core::client::{DialState, ReconnectConfig};
use proto_core::{Bytes, Config, Delivery, Event, Message, Outcome, Timeout};

use crate::event_loop::EventLoop;
use crate::{Result, resolve};

/// How often to try to connect.
const ATTEMPTS: u32 = 4;
/// How long to wait for a server that does not close its side.
const PARTING: Duration = Duration::from_secs(1);

pub(crate) fn call(address: &str, route: &str, body: &str) -> Result<()> {
    let message = match route.parse() {
        Ok(number) => Message::new(number, Bytes::new()),
        Err(_) => Message::named(route, Bytes::new())?,
    };
    let message = message.with_body(body.to_owned());
    // The server is not offered anything to call.
    let config = Config { call_slots: 0, ..Config::default() }.share()?;
    let reconnect = ReconnectConfig { attempt_limit: Some(ATTEMPTS), ..ReconnectConfig::default() };

    let mut net = EventLoop::new()?;
    let client = net.keep_connected(resolve(address)?, &config, reconnect);
    let mut result = None;
    while result.is_none() {
        net.turn(None)?;
        while let Some(happened) = net.poll_event() {
            match happened.event {
                // Each new connection begins here; what the last one did not deliver is tried again.
                Event::Open(_) => {
                    let now = net.now();
                    if let Some(connection) = net.connection(happened.link) {
                        connection.call(now, message.clone(), Timeout::Default)?;
                    }
                }
                Event::Ended { outcome: Outcome::Lost(Delivery::NotSent), .. } => {}
                Event::Ended { outcome, .. } => result = Some(outcome),
                _ => {}
            }
        }
        let Some(client) = net.client(client) else { break };
        if let (DialState::GivenUp(_), Some(reason), None) = (client.state(), client.last(), &result) {
            return Err(format!("cannot connect to {address}: {reason}").into());
        }
    }

    // The answer is there; an orderly end is a matter of politeness.
    net.stop_client(client);
    let end = net.now() + PARTING;
    while net.connections() > 0 && net.now() < end {
        net.turn(Some(end))?;
        while net.poll_event().is_some() {}
    }
    match result {
        Some(Outcome::Reply { status, body, .. }) if status.is_ok() => {
            let mut out = io::stdout().lock();
            out.write_all(&body)?;
            Ok(out.flush()?)
        }
        Some(Outcome::Reply { status, .. }) => Err(format!("the server answers with {status}").into()),
        Some(Outcome::TimedOut(_)) => Err("no answer in time; the server may have run the call".into()),
        Some(Outcome::Lost(_)) => Err("the connection was lost; the server may have run the call".into()),
        _ => Err("there is no answer".into()),
    }
}
