//! `lw serve`: a server with an orderly end.

use std::future::ready;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use adapter_tokio::{BindError, Config, Server, ServerHandle, on_request};

use crate::args::{self, ServeOptions};
use crate::exit::{Exit, Failure, say};
use crate::routes::{self, Chat};
use crate::signals::Signals;

/// How long connections may take to close once the server has been told to stop. Each has limits of its own; this is
/// a little more than a silent peer can use up.
const GRACE: Duration = Duration::from_secs(6);

pub(crate) async fn serve(options: ServeOptions) -> Result<(), Failure> {
    let verbose = options.verbose;
    let config = Config {
        idle_timeout: options.idle,
        max_age: options.max_age,
        ..args::config(options.max_message, options.call_slots)?
    };
    let chat = Chat::new(verbose);
    let handler = {
        let (asked, pushed) = (chat.clone(), chat.clone());
        on_request(move |_, request| routes::answer(asked.clone(), request))
            .on_push(move |_, push| routes::hear(pushed.clone(), push))
            .on_open(move |peer, _| {
                if verbose {
                    say(format_args!("connection {} from {} opened", peer.id(), from(&peer)));
                }
                ready(Ok(()))
            })
            .on_close(move |peer, reason| {
                if verbose {
                    say(format_args!("connection {} from {} ended: {reason}", peer.id(), from(peer)));
                }
            })
    };
    // Before anybody can know that the server is there, so that no signal finds it unprepared.
    let mut signals = Signals::new().map_err(|error| Failure::new(Exit::System, error))?;
    let server = Server::builder(handler)
        .config(config)
        .max_connections(options.max_connections.map(|most| most as usize))
        .on_handshake_error(move |remote, reason| {
            if verbose {
                say(format_args!("no handshake with {remote}: {reason}"));
            }
        })
        .on_accept_error(|error| say(format_args!("cannot accept a connection: {error}")))
        .bind(options.address)
        .await
        .map_err(|error| match error {
            BindError::Config(_) => Failure::new(Exit::Usage, error),
            _ => Failure::new(Exit::Unreachable, error),
        })?;
    let handle = server.handle();
    chat.open(handle.clone());
    announce(&handle.local_addr().to_string());

    let mut serving = pin!(server.serve());
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = signals.next() => {}
    }
    tell_of_drain(&handle, options.drain);
    handle.shutdown(options.drain);
    tokio::select! {
        () = &mut serving => return Ok(()),
        () = signals.next() => {}
        () = tokio::time::sleep(options.drain.saturating_add(GRACE)) => {
            say(format_args!("{} connections did not close in time", handle.connections()));
            return Ok(());
        }
    }
    // Whoever is in a hurry still wants the clients to be told.
    handle.stop();
    tokio::select! {
        () = &mut serving => {}
        () = signals.next() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    Err(Failure::quiet(Exit::Interrupted))
}

/// Says what a server that was told to end waits for, if it waits.
fn tell_of_drain(handle: &ServerHandle, within: Duration) {
    let connections = match handle.connections() {
        0 => return,
        1 => "1 connection".to_owned(),
        n => format!("{n} connections"),
    };
    if !within.is_zero() {
        say(format_args!("draining {connections}, for at most {within:?}; once more closes them at once"));
    }
}

/// Says where the server listens, in a line that programs can read.
fn announce(address: &str) {
    let mut out = io::stdout().lock();
    // A server serves even if nobody wants to know where.
    let _ = writeln!(out, "listening on {address}").and_then(|()| out.flush());
}

fn from(peer: &adapter_tokio::Peer) -> String {
    peer.remote_addr().map_or_else(|| "somewhere".to_owned(), |address| address.to_string())
}
