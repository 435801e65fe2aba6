//! Sockets by io_uring: an operation for each read and each write, one system call for all that is new in a
//! turn. Each connection has a buffer of its own, of which the pages count that were written to.

mod ring;

use std::io;
use std::net::{TcpListener, TcpStream};

use memmap2::MmapMut;
use slab::Slab;

use self::ring::{Kind as Done, Operation, Ring, accepted};
use super::READ;
use crate::Result;
use crate::contender::{Contender, Kind, Load, listening};
use crate::hand::{self, Client};
use crate::meter::{self, Figures};
use crate::workload::{COMMON, Echo, Job};

pub(crate) const CONTENDER: Contender = Contender {
    name: "raw-uring",
    kind: Kind::Limit,
    about: "io_uring; the server sends back the bytes that it reads",
    workloads: COMMON,
    serve: |_| serve(),
    load: |load| match load.job {
        Job::Echo(echo) => self::echo(load, echo),
        Job::Idle { connections } => hand::idle(load, connections),
        Job::Broadcast { .. } | Job::Mixed { .. } => Err("it only echoes".into()),
    },
};

fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut ring = Ring::new()?;
    ring.accept(&listener)?;
    listening(listener.local_addr()?)?;
    let mut streams: Slab<TcpStream> = Slab::new();
    let mut done = Vec::new();
    loop {
        ring.wait(&mut done)?;
        for (Operation { kind, token, buffer }, result) in done.drain(..) {
            match (kind, buffer) {
                (Done::Accept, _) => {
                    let stream = accepted(result)?;
                    stream.set_nodelay(true)?;
                    let token = streams.insert(stream);
                    // Its pages are taken when they are written to.
                    ring.read(&streams[token], token, MmapMut::map_anon(READ)?)?;
                }
                (Done::Read, Some(buffer)) if result > 0 => {
                    ring.write(&streams[token], token, buffer, length(result)?)?;
                }
                (Done::Write, Some(buffer)) if result > 0 => ring.read(&streams[token], token, buffer)?,
                (Done::Read | Done::Write, _) => drop(streams.try_remove(token)),
            }
        }
    }
}

fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let streams = (0..echo.connections).map(|_| hand::connect(load)).collect::<Result<Vec<_>>>()?;
    let mut ring = Ring::new()?;
    load.begin(echo.sample_every())?;
    let mut callers = Vec::new();
    for (token, stream) in streams.into_iter().enumerate() {
        ring.read(&stream, token, vec![0; READ])?;
        let client = Client::new(echo.in_flight, echo.size);
        let mut caller = Caller { stream, client, spare: Some(Vec::new()) };
        caller.write(&mut ring, token)?;
        callers.push(caller);
    }
    let mut done = Vec::new();
    while !callers.iter().all(|caller| caller.client.is_over()) {
        ring.wait(&mut done)?;
        for (Operation { kind, token, buffer }, result) in done.drain(..) {
            let Some(mut buffer) = buffer else { continue };
            let caller = callers.get_mut(token).ok_or("an operation of no connection")?;
            let length = length(result)?;
            match kind {
                Done::Read if length == 0 => return Err("the server has hung up".into()),
                Done::Read => {
                    caller.client.feed(&buffer[..length]);
                    ring.read(&caller.stream, token, buffer)?;
                }
                Done::Write => {
                    buffer.clear();
                    caller.spare = Some(buffer);
                }
                Done::Accept => {}
            }
            caller.write(&mut ring, token)?;
        }
    }
    callers.iter().try_for_each(|caller| caller.client.check())?;
    meter::figures()
}

struct Caller {
    stream: TcpStream,
    client: Client,
    /// Takes what is to be written; not here while that goes on.
    spare: Option<Vec<u8>>,
}

impl Caller {
    /// Writes what is new, if nothing is being written.
    fn write(&mut self, ring: &mut Ring<Vec<u8>>, token: usize) -> Result {
        let Some(mut bytes) = self.spare.take() else { return Ok(()) };
        self.client.take_output(&mut bytes);
        if bytes.is_empty() {
            self.spare = Some(bytes);
            return Ok(());
        }
        let length = bytes.len();
        ring.write(&self.stream, token, bytes, length)
    }
}

/// What an operation came to.
fn length(result: i32) -> Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result).into())
}
