//! The echo by hand on glommio, with the rings that it makes by default.

use glommio::net::{TcpListener, TcpStream};
use glommio::{LocalExecutorBuilder, Placement, spawn_local};

use crate::contender::{Contender, Kind, Load, listening};
use crate::meter::{self, Figures};
use crate::workload::{COMMON, Echo, Job};
use crate::{Result, hand};

pub(crate) const CONTENDER: Contender = Contender {
    name: "hand-glommio",
    kind: Kind::ByHand,
    about: "glommio: a task for each connection, framed, one write in a turn",
    workloads: COMMON,
    serve: |_| run(serve()),
    load: |load| match load.job {
        Job::Echo(echo) => run(self::echo(load, echo)),
        Job::Idle { connections } => hand::idle(load, connections),
        Job::Broadcast { .. } | Job::Mixed { .. } => Err("it only echoes".into()),
    },
};

fn run<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    // The process is pinned already.
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make().map_err(|error| error.to_string())?;
    executor.run(future)
}

async fn serve() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(text)?;
    listening(listener.local_addr().map_err(text)?)?;
    loop {
        let stream = listener.accept().await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        spawn_local(hand::echo(stream)).detach();
    }
}

async fn echo(load: &Load, echo: Echo) -> Result<Figures> {
    let mut streams = Vec::new();
    for _ in 0..echo.connections {
        let stream = TcpStream::connect(load.address).await.map_err(text)?;
        stream.set_nodelay(true).map_err(text)?;
        streams.push(stream);
    }
    load.begin(echo.sample_every())?;
    let calling: Vec<_> = streams.into_iter().map(|stream| spawn_local(hand::call(stream, echo))).collect();
    for called in calling {
        called.await?;
    }
    meter::figures()
}

/// glommio's errors hold what belongs to a thread.
#[expect(clippy::needless_pass_by_value, reason = "it is given to `map_err`")]
fn text(error: glommio::GlommioError<()>) -> String {
    error.to_string()
}
