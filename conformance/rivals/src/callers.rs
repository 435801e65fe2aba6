//! The closed loop of clients whose calls are futures: so many tasks on each connection, of which each calls, waits for the reply, and calls
//! again. That is how users of such clients write it, and it is the same for all of them.

use std::future::Future;
use std::pin::Pin;

use futures_channel::mpsc;
use futures_util::StreamExt;

use crate::Result;
use crate::contender::Load;
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};

/// A client's end of a connection.
pub(crate) trait Caller: Clone + 'static {
    /// Calls once, and checks that the reply is as long as the request.
    fn call(&self) -> impl Future<Output = Result> + Send;
}

/// One of the tasks.
pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Does a client's part: `connect` makes a connection whose calls have bodies of so many bytes, `spawn` starts a task on the
/// runtime that this runs on.
pub(crate) async fn load<C: Caller + Send + Sync>(
    load: &Load,
    connect: impl AsyncFn(usize) -> Result<C>,
    spawn: impl Fn(Task),
) -> Result<Figures> {
    match load.job {
        Job::Echo(echo) => self::echo(load, echo, connect, spawn).await,
    }
}

async fn echo<C: Caller + Send + Sync>(
    load: &Load,
    echo: Echo,
    connect: impl AsyncFn(usize) -> Result<C>,
    spawn: impl Fn(Task),
) -> Result<Figures> {
    let mut connections = Vec::new();
    for _ in 0..echo.idle + echo.connections {
        let connection = connect(echo.size).await?;
        connection.call().await?;
        connections.push(connection);
    }
    load.begin(echo)?;
    let (ended, mut ends) = mpsc::unbounded();
    for connection in connections.iter().skip(echo.idle) {
        for _ in 0..echo.in_flight {
            let (connection, ended) = (connection.clone(), ended.clone());
            spawn(Box::pin(async move {
                // Nobody listens any more when another has failed.
                let _ = ended.unbounded_send(call_on(connection).await);
            }));
        }
    }
    drop(ended);
    while let Some(end) = ends.next().await {
        end?;
    }
    meter::figures()
}

async fn call_on(caller: impl Caller) -> Result {
    loop {
        let started = meter::start();
        caller.call().await?;
        if !meter::end(started) {
            return Ok(());
        }
    }
}

/// What a caller makes of a reply.
pub(crate) fn check(expected: usize, found: usize) -> Result {
    if found == expected {
        Ok(())
    } else {
        Err(format!("a reply has {found} bytes, and {expected} were asked for").into())
    }
}
