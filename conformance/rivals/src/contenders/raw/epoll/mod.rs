//! The measure of all others: non-blocking sockets and epoll, edge-triggered, on one thread. The server sends
//! back what it reads; the client looks at where frames end.

mod broadcast;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use slab::Slab;

use super::READ;
use crate::Result;
use crate::contender::{Contender, Kind, Load, listening};
use crate::hand::{self, Client};
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};

pub(crate) const CONTENDER: Contender = Contender {
    name: "raw-epoll",
    kind: Kind::Limit,
    about: "epoll, edge-triggered; the server sends back the bytes that it reads",
    workloads: &["W1", "W2", "W3", "W4", "W5", "W6", "W8"],
    serve: |job| match *job {
        Job::Broadcast { size, .. } => broadcast::serve(size),
        _ => serve(READ),
    },
    load: |load| match load.job {
        Job::Echo(echo) => self::echo(load, echo, READ),
        Job::Idle { connections } => hand::idle(load, connections),
        Job::Broadcast { peers, size } => broadcast::load(load, peers, size),
        Job::Mixed { .. } => Err("it cannot interleave".into()),
    },
};

/// The same with small turns, which let both ends of one connection work at once.
pub(crate) const SMALL_TURNS: Contender = Contender {
    name: "raw-epoll-small",
    about: "as raw-epoll, but what is read at once is 3 KiB at most, so that both ends work at once",
    workloads: &["W1", "W2", "W3"],
    serve: |_| serve(SMALL_READ),
    load: |load| match load.job {
        Job::Echo(echo) => self::echo(load, echo, SMALL_READ),
        _ => Err("it only echoes".into()),
    },
    ..CONTENDER
};

const SMALL_READ: usize = 3 << 10;

const LISTENER: u64 = u64::MAX;

fn serve(read: usize) -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(EpollFlags::EPOLLIN, LISTENER))?;
    listening(listener.local_addr()?)?;
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; read];
    let mut events = [EpollEvent::empty(); 256];
    loop {
        let ready = wait(&epoll, &mut events)?;
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(&listener, &epoll, &mut connections)?;
                continue;
            }
            let number = event.data() as usize;
            let Some(connection) = connections.get_mut(number) else { continue };
            if !connection.turn(&mut buffer).unwrap_or(false) {
                connections.remove(number);
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &Epoll, connections: &mut Slab<Connection>) -> Result {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        let entry = connections.vacant_entry();
        epoll.add(&stream, EpollEvent::new(EDGES, entry.key() as u64))?;
        entry.insert(Connection { stream, waiting: Vec::new() });
    }
}

const EDGES: EpollFlags =
    EpollFlags::EPOLLIN.union(EpollFlags::EPOLLOUT).union(EpollFlags::EPOLLRDHUP).union(EpollFlags::EPOLLET);

/// How many events there are. Without end, since children end with their parent.
fn wait(epoll: &Epoll, events: &mut [EpollEvent]) -> Result<usize> {
    loop {
        match epoll.wait(events, EpollTimeout::NONE) {
            Err(nix::Error::EINTR) => {}
            result => return Ok(result?),
        }
    }
}

struct Connection {
    stream: TcpStream,
    /// What was read and could not be written yet. Nothing is read meanwhile.
    waiting: Vec<u8>,
}

impl Connection {
    /// Does what can be done; `false` if the connection has ended.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<bool> {
        if !self.waiting.is_empty() {
            let sent = write(&mut self.stream, &self.waiting)?;
            self.waiting.drain(..sent);
            if !self.waiting.is_empty() {
                return Ok(true);
            }
            self.waiting = Vec::new();
        }
        loop {
            let Some(read) = read(&mut self.stream, buffer)? else { return Ok(true) };
            if read == 0 {
                return Ok(false);
            }
            let sent = write(&mut self.stream, &buffer[..read])?;
            if sent < read {
                self.waiting.extend_from_slice(&buffer[sent..read]);
                return Ok(true);
            }
            // Less than there was room for: there is nothing more, and when there is, that is another edge.
            if read < buffer.len() {
                return Ok(true);
            }
        }
    }
}

/// Reads once; `None` if there is nothing.
fn read(stream: &mut TcpStream, into: &mut [u8]) -> Result<Option<usize>> {
    match stream.read(into) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        result => Ok(Some(result?)),
    }
}

/// Writes as much as the system takes.
fn write(stream: &mut TcpStream, from: &[u8]) -> Result<usize> {
    let mut sent = 0;
    while sent < from.len() {
        match stream.write(&from[sent..]) {
            Ok(more) => sent += more,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sent)
}

fn echo(load: &Load, echo: Echo, read: usize) -> Result<Figures> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let connect = |count| (0..count).map(|_| hand::connect(load)).collect::<Result<Vec<_>>>();
    let _idle = connect(echo.idle)?;
    let streams = connect(echo.connections)?;
    load.begin(echo.sample_every())?;
    let mut callers = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EpollEvent::new(EDGES, number as u64))?;
        let client = Client::new(echo.in_flight, echo.size);
        callers.push(Caller { stream, client });
    }
    let mut buffer = vec![0; read];
    let mut events = [EpollEvent::empty(); 256];
    let mut left = callers.len();
    while left > 0 {
        let ready = wait(&epoll, &mut events)?;
        for event in &events[..ready] {
            let caller = callers.get_mut(event.data() as usize).ok_or("an event of no connection")?;
            if !caller.client.is_over() {
                caller.turn(&mut buffer)?;
                left -= usize::from(caller.client.is_over());
            }
        }
    }
    callers.iter().try_for_each(|caller| caller.client.check())?;
    meter::figures()
}

struct Caller {
    stream: TcpStream,
    client: Client,
}

impl Caller {
    fn turn(&mut self, buffer: &mut [u8]) -> Result {
        loop {
            self.write()?;
            // Reading goes on when writing cannot: the server may wait for just that.
            let Some(read) = read(&mut self.stream, buffer)? else { return Ok(()) };
            if read == 0 {
                return Err("the server has hung up".into());
            }
            self.client.feed(&buffer[..read]);
            // Less than there was room for: there is nothing more, and when there is, that is another edge.
            if self.client.is_over() || read < buffer.len() {
                return self.write();
            }
        }
    }

    fn write(&mut self) -> Result {
        Ok(self.client.write(|pieces| self.stream.write_vectored(pieces))?)
    }
}
