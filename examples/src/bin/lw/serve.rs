//! `lw serve`: a server with an orderly end.

use std::future::ready;
use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use adapter_tokio::{BindError, Server, on_request};

use crate::args::{self, ServeOptions};
use crate::exit::{Exit, Failure, say};
use crate::routes::{self, Chat};

/// How long connections may take to close once the server has been told to stop. Each has limits of its own; this is
/// a little more than a silent peer can use up.
const GRACE: Duration = Duration::from_secs(6);

pub(crate) async fn serve(options: ServeOptions) -> Result<(), Failure> {
    let verbose = options.verbose;
    let config = args::config(options.max_message, options.call_slots)?;
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
    handle.stop();
    tokio::select! {
        () = &mut serving => Ok(()),
        () = signals.next() => Err(Failure::quiet(Exit::Interrupted)),
        () = tokio::time::sleep(GRACE) => {
            say(format_args!("{} connections did not close in time", handle.connections()));
            Ok(())
        }
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

/// What asks a server to end.
#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// What asks a server to end.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}
