//! Longwire in an event loop of your own: one thread, non-blocking sockets, no runtime.
//!
//! Without arguments it shows itself at work and checks what it shows; with `serve` or `call` it is a server or a caller
//! that understands `lw`, and every other Longwire program.
//!
//! The parts: `event_loop` is what to copy. `routes` is what the server does, `demo` shows it, `call` calls once.

mod call;
mod demo;
mod event_loop;
mod routes;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::net::{TcpListener, ToSocketAddrs};
use std::process::ExitCode;

use proto_core::SharedConfig;

use self::event_loop::EventLoop;
use self::routes::Service;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

const USAGE: &str = "\
Usage:
  custom_loop                        shows itself at work, and checks what it shows
  custom_loop serve ADDR             serves echo, sleep and chat until it is killed
  custom_loop call ADDR ROUTE BODY   calls once, and prints the answer";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => demo::tour(),
        ["serve", address] => serve(address),
        ["call", address, route, body] => call::call(address, route, body),
        ["-h" | "--help" | "help"] => print(USAGE),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("custom_loop: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// Serves for ever. This is a whole server: the loop, what to do when something happens, and when to do more.
fn serve(address: &str) -> Result<()> {
    let listener =
        TcpListener::bind(address).map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let address = listener.local_addr()?;
    let mut net = EventLoop::new()?;
    net.listen(listener, &SharedConfig::default())?;
    print(&format!("listening on {address}"))?;

    let mut service = Service::default();
    loop {
        net.turn(service.next_alarm())?;
        while let Some(happened) = net.poll_event() {
            service.handle(&mut net, happened.link, happened.event);
        }
        service.tick(&mut net);
    }
}

/// The addresses behind a name. It may wait, which is why nobody does it in the loop.
fn resolve(address: &str) -> Result<Vec<std::net::SocketAddr>> {
    match address.to_socket_addrs() {
        Ok(found) => Ok(found.collect()),
        Err(error) => Err(format!("cannot look up {address}: {error}").into()),
    }
}

fn print(line: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
