//! Sockets that do not block, asked again and again: nobody sleeps, so nobody has to be woken. A core for
//! each end is the price.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use super::READ;
use crate::Result;
use crate::contender::{Contender, Kind, Load, listening};
use crate::hand::{self, Client};
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};

pub(crate) const CONTENDER: Contender = Contender {
    name: "raw-busy",
    kind: Kind::Limit,
    about: "as raw-epoll, but both ends ask their sockets without a pause",
    workloads: &["W1", "W2", "W3", "W4"],
    serve: |_| serve(),
    load: |load| match load.job {
        Job::Echo(echo) => self::echo(load, echo),
        _ => Err("it only echoes".into()),
    },
};

/// The listener is asked once in so many rounds.
const ACCEPT_EVERY: u32 = 1024;

fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    listening(listener.local_addr()?)?;
    let mut connections: Vec<Connection> = Vec::new();
    let mut buffer = vec![0; READ];
    for round in 0_u32.. {
        if (connections.is_empty() || round % ACCEPT_EVERY == 0)
            && let Some((stream, _)) = unless_blocked(listener.accept())?
        {
            connections.push(Connection::new(stream)?);
        }
        connections.retain_mut(|connection| connection.turn(&mut buffer).unwrap_or(false));
    }
    Ok(())
}

struct Connection {
    stream: TcpStream,
    /// What is to be written, and how much of it has been.
    waiting: Vec<u8>,
    written: usize,
}

impl Connection {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, waiting: Vec::new(), written: 0 })
    }

    /// Sends back what there is; `false` if the connection has ended.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<bool> {
        if self.waiting.is_empty() {
            let Some(read) = unless_blocked(self.stream.read(buffer))? else { return Ok(true) };
            let sent = unless_blocked(self.stream.write(&buffer[..read]))?.unwrap_or(0);
            self.waiting.extend_from_slice(&buffer[sent..read]);
            return Ok(read > 0);
        }
        self.written += unless_blocked(self.stream.write(&self.waiting[self.written..]))?.unwrap_or(0);
        if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
        Ok(true)
    }
}

fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let mut callers = Vec::new();
    for _ in 0..echo.connections {
        callers.push(Connection::new(hand::connect(load)?)?);
    }
    load.begin(echo.sample_every())?;
    let mut clients: Vec<_> = callers.iter().map(|_| Client::new(echo.in_flight, echo.size)).collect();
    let mut buffer = vec![0; READ];
    while !clients.iter().all(Client::is_over) {
        for (Connection { stream, .. }, client) in callers.iter_mut().zip(&mut clients) {
            client.write(|pieces| stream.write_vectored(pieces))?;
            match unless_blocked(stream.read(&mut buffer))? {
                Some(0) => return Err("the server has hung up".into()),
                Some(read) => client.feed(&buffer[..read]),
                None => {}
            }
        }
    }
    clients.iter().try_for_each(Client::check)?;
    meter::figures()
}

/// `None` if there is nothing to be had now.
fn unless_blocked<T>(result: std::io::Result<T>) -> Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => Ok(Some(result?)),
    }
}
