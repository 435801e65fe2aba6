//! The echo by hand on tokio's runtime of one thread.

use tokio::net::{TcpListener, TcpStream};

use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::{self, Figures};
use crate::runtimes::Tokio;
use crate::workload::{COMMON, Echo, Job};
use crate::{Result, hand};

pub(crate) const CONTENDER: Contender = Contender {
    name: "hand-tokio",
    kind: Kind::ByHand,
    about: "tokio, current_thread: a task for each connection, framed, one write in a turn",
    workloads: COMMON,
    serve: |_| Tokio::run(serve()),
    load: |load| match load.job {
        Job::Echo(echo) => Tokio::run(self::echo(load, echo)),
        Job::Idle { connections } => hand::idle(load, connections),
        Job::Broadcast { .. } | Job::Mixed { .. } => Err("it only echoes".into()),
    },
};

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
    load.begin(echo.sample_every())?;
    let calling: Vec<_> = streams.into_iter().map(|stream| tokio::spawn(hand::call(stream, echo))).collect();
    for called in calling {
        called.await??;
    }
    meter::figures()
}
