//! The echo by hand on tokio's runtime of one thread.

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};
use crate::{Result, hand};

pub(crate) const CONTENDER: Contender = Contender {
    name: "hand-tokio",
    kind: Kind::ByHand,
    about: "tokio, current_thread: a task for each connection, framed, one write in a turn",
    can: |job| matches!(job, Job::Echo(_)),
    serve: |_| runtime()?.block_on(serve()),
    load: |load| match load.job {
        Job::Echo(echo) => runtime()?.block_on(self::echo(load, echo)),
    },
};

/// What everybody on tokio runs on.
pub(crate) fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    listening(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(hand::echo(stream));
    }
}

async fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..echo.connections {
        let stream = TcpStream::connect(load.address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    load.begin(echo)?;
    let calling: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(hand::call(stream, echo))).collect();
    for called in calling {
        called.await??;
    }
    meter::figures()
}
