//! A broadcast by hand: the frame is encoded once, and the same bytes are written to all.

use std::io::{ErrorKind, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::time::Instant;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent};

use super::{EDGES, LISTENER, READ, read, wait, write};
use crate::Result;
use crate::contender::{Load, listening};
use crate::hand::{self, encode};
use crate::meter::{self, Figures};
use crate::page::{Word, word};

/// Whoever sends a frame with this number wants a broadcast; any other is sent back.
const BROADCAST: u64 = u64::MAX;

pub(super) fn serve(size: usize) -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&listener, EpollEvent::new(nix::sys::epoll::EpollFlags::EPOLLIN, LISTENER))?;
    listening(listener.local_addr()?)?;
    let mut trigger = Vec::new();
    encode(&mut trigger, BROADCAST, &[]);
    let mut streams: Vec<TcpStream> = Vec::new();
    let mut buffer = vec![0; READ];
    let mut events = [EpollEvent::empty(); 256];
    loop {
        let ready = wait(&epoll, &mut events)?;
        for event in &events[..ready] {
            if event.data() == LISTENER {
                accept(&listener, &epoll, &mut streams)?;
                continue;
            }
            let stream = &mut streams[event.data() as usize];
            match read(stream, &mut buffer)? {
                None => {}
                Some(length) if buffer[..length] == trigger => broadcast(&mut streams, size)?,
                Some(length) => drop(write(stream, &buffer[..length])?),
            }
        }
    }
}

/// Those that have ended keep their place: nobody leaves before the end of this workload.
fn accept(listener: &TcpListener, epoll: &Epoll, streams: &mut Vec<TcpStream>) -> Result {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        epoll.add(&stream, EpollEvent::new(EDGES, streams.len() as u64))?;
        streams.push(stream);
    }
}

fn broadcast(streams: &mut [TcpStream], size: usize) -> Result {
    let mut frame = Vec::new();
    encode(&mut frame, 0, &vec![7; size]);
    if let Some(encodes) = word(Word::Encodes) {
        encodes.fetch_add(1, Ordering::Relaxed);
    }
    for stream in streams {
        // One small message at a time, so there is room for it.
        if write(stream, &frame)? < frame.len() {
            return Err("a peer takes nothing".into());
        }
    }
    Ok(())
}

pub(super) fn load(load: &Load, peers: usize, size: usize) -> Result<Figures> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let mut streams = Vec::new();
    for number in 0..peers {
        let stream = hand::connect(load)?;
        stream.set_nonblocking(true)?;
        epoll.add(&stream, EpollEvent::new(EDGES, number as u64))?;
        streams.push(stream);
    }
    let (mut trigger, mut frame) = (Vec::new(), Vec::new());
    encode(&mut trigger, BROADCAST, &[]);
    encode(&mut frame, 0, &vec![7; size]);
    let mut buffer = vec![0; READ];
    let mut events = [EpollEvent::empty(); 256];
    load.begin(1)?;
    let mut broadcasts = 0.0;
    loop {
        let started = Instant::now();
        streams[0].write_all(&trigger)?;
        broadcasts += 1.0;
        let mut left = peers * frame.len();
        while left > 0 {
            let ready = wait(&epoll, &mut events)?;
            for event in &events[..ready] {
                match read(&mut streams[event.data() as usize], &mut buffer)? {
                    Some(0) => return Err("the server has hung up".into()),
                    read => left = left.checked_sub(read.unwrap_or(0)).ok_or("more came than was sent")?,
                }
            }
        }
        if !meter::end(Some(started)) {
            break;
        }
    }
    let mut figures = meter::figures()?;
    figures.insert("encodes".into(), meter::encodes() / broadcasts);
    Ok(figures)
}
