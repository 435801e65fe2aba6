//! The echo by hand on smol: an executor of one thread, and its reactor.

use std::net::{TcpListener, TcpStream};

use async_io::Async;

use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::{self, Figures};
use crate::runtimes::Smol;
use crate::workload::{COMMON, Echo, Job};
use crate::{Result, hand};

pub(crate) const CONTENDER: Contender = Contender {
    name: "hand-smol",
    kind: Kind::ByHand,
    about: "smol, an executor of one thread: a task for each connection, framed, one write in a turn",
    workloads: COMMON,
    serve: |_| Smol::run(serve),
    load: |load| match load.job {
        Job::Echo(echo) => Smol::run(async |smol| self::echo(load, echo, smol).await),
        Job::Idle { connections } => hand::idle(load, connections),
        Job::Broadcast { .. } | Job::Mixed { .. } => Err("it only echoes".into()),
    },
};

async fn serve(smol: Smol) -> Result {
    let listener = Async::<TcpListener>::bind(([127, 0, 0, 1], 0))?;
    listening(listener.get_ref().local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.get_ref().set_nodelay(true)?;
        smol.0.spawn(hand::echo(stream)).detach();
    }
}

async fn echo(load: &Load, echo: Echo, smol: Smol) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..echo.connections {
        let stream = Async::<TcpStream>::connect(load.address).await?;
        stream.get_ref().set_nodelay(true)?;
        streams.push(stream);
    }
    load.begin(echo.sample_every())?;
    let calling: Vec<_> = streams.into_iter().map(|stream| smol.0.spawn(hand::call(stream, echo))).collect();
    for called in calling {
        called.await?;
    }
    meter::figures()
}
