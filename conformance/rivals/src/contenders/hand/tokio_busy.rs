//! The echo by hand on tokio's runtime of one thread, whose tasks ask their sockets without a pause: each
//! time that they find nothing they wake themselves. tokio looks at everything else in between, so accepting
//! goes on.

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::net::TcpStream;
use std::task::{Context, Poll};

use tokio::net::TcpListener;

use crate::Result;
use crate::contender::{Contender, Kind, Load, listening};
use crate::hand::{self, Stream};
use crate::meter::{self, Figures};
use crate::runtimes::Tokio;
use crate::workload::{Echo, Job};

pub(crate) const CONTENDER: Contender = Contender {
    name: "hand-tokio-busy",
    kind: Kind::ByHand,
    about: "as hand-tokio, but tasks ask their sockets without a pause",
    workloads: &["W1", "W2", "W3", "W4"],
    serve: |_| Tokio::run(serve()),
    load: |load| match load.job {
        Job::Echo(echo) => Tokio::run(self::echo(load, echo)),
        _ => Err("it only echoes".into()),
    },
};

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // It does not block already, as all that tokio has.
        tokio::spawn(hand::echo(Busy(stream.into_std()?)));
    }
}

async fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..echo.connections {
        let stream = TcpStream::connect(load.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        streams.push(Busy(stream));
    }
    load.begin(echo.sample_every())?;
    let calling: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(hand::call(stream, echo))).collect();
    for called in calling {
        called.await??;
    }
    meter::figures()
}

/// A socket whose task never sleeps.
struct Busy(TcpStream);

impl Stream for Busy {
    const VECTORED: bool = true;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        or_again(cx, self.0.read(into))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        or_again(cx, self.0.write_vectored(pieces))
    }
}

fn or_again(cx: &Context<'_>, result: io::Result<usize>) -> Poll<io::Result<usize>> {
    match result {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}
