//! Sockets that block: a thread for each connection, and a client that is one thread.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::READ;
use crate::Result;
use crate::contender::{Contender, Kind, Load, listening};
use crate::hand::{self, Client};
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};

pub(crate) const CONTENDER: Contender = Contender {
    name: "raw-blocking",
    kind: Kind::Limit,
    about: "blocking sockets; the server sends back the bytes that it reads",
    workloads: &["W1", "W2", "W4"],
    serve: |_| serve(),
    load: |load| match load.job {
        Job::Echo(echo) => self::echo(load, echo),
        _ => Err("it only echoes".into()),
    },
};

fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listening(listener.local_addr()?)?;
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        thread::spawn(move || {
            let mut buffer = vec![0; READ];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..read]).is_err() {
                    break;
                }
            }
        });
    }
}

fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let mut stream: TcpStream = hand::connect(load)?;
    load.begin(echo.sample_every())?;
    let mut client = Client::new(echo.in_flight, echo.size);
    let mut buffer = vec![0; READ];
    while !client.is_over() {
        // What is in flight fits between the two, so that neither waits for the other to read.
        client.write(|pieces| stream.write_vectored(pieces))?;
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err("the server has hung up".into());
        }
        client.feed(&buffer[..read]);
    }
    client.check()?;
    meter::figures()
}
