//! Connections that make one call and then do nothing, for servers of the echo by hand.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::frames::encode;
use crate::Result;
use crate::contender::Load;
use crate::memory::{self, Memory};
use crate::meter::Figures;

/// Bytes of the only call.
const SIZE: usize = 64;

/// Does the client's part of [`Job::Idle`](crate::workload::Job::Idle), in which only the server is measured:
/// so it is the same for all of these servers.
pub(crate) fn idle(load: &Load, count: usize) -> Result<Figures> {
    let first = connect(load)?;
    std::thread::sleep(memory::SETTLING);
    let memory = Memory::before(load.server)?;
    let connections = (0..count).map(|_| connect(load)).collect::<Result<Vec<_>>>()?;
    std::thread::sleep(memory::SETTLING);
    let figures = memory.after(count);
    drop((first, connections));
    figures
}

/// A connection that has made one call.
pub(crate) fn connect(load: &Load) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(load.address)?;
    stream.set_nodelay(true)?;
    let mut frame = Vec::new();
    encode(&mut frame, 0, &[7; SIZE]);
    stream.write_all(&frame)?;
    let mut reply = vec![0; frame.len()];
    stream.read_exact(&mut reply)?;
    if reply == frame { Ok(stream) } else { Err("the reply is not the request".into()) }
}
