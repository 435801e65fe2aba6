//! What clients do whose calls are futures. The closed loop is so many tasks on each connection, of which
//! each calls, waits for the reply, and calls again: that is how users of such clients write it, and it is
//! the same for all of them.

use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, Instant};

use adapter_tokio::Bytes;
use futures_channel::mpsc;
use futures_util::StreamExt;

use crate::Result;
use crate::contender::Load;
use crate::memory::{self, Memory};
use crate::meter::{self, Figures};
use crate::workload::{Echo, Job};

/// A client's end of a connection.
pub(crate) trait Caller: Clone + Send + Sync + 'static {
    /// Calls once, and checks that the reply is as long as the request.
    fn call(&self) -> impl Future<Output = Result> + Send;

    /// Sends all of this in one call, whose reply is short, while small calls go on.
    fn transfer(&self, _body: Bytes) -> impl Future<Output = Result> + Send {
        async { Err("it cannot transfer".into()) }
    }
}

/// The runtime that a client runs on.
pub(crate) trait Runtime: Clone + 'static {
    fn spawn(&self, task: Task);
    fn sleep(&self, time: Duration) -> impl Future<Output = ()>;
}

pub(crate) type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Bytes of small calls.
const SMALL: usize = 64;

/// Does a client's part: `connect` makes a connection whose calls have bodies of so many bytes.
pub(crate) async fn load<C: Caller>(
    load: &Load,
    runtime: &impl Runtime,
    connect: impl AsyncFn(usize) -> Result<C>,
) -> Result<Figures> {
    match load.job {
        Job::Echo(echo) => self::echo(load, echo, runtime, connect).await,
        Job::Idle { connections } => idle(load, connections, runtime, connect).await,
        Job::Mixed { transfer, .. } => mixed(load, transfer, runtime, connect).await,
        Job::Broadcast { .. } => Err("it has no broadcast".into()),
    }
}

async fn echo<C: Caller>(
    load: &Load,
    echo: Echo,
    runtime: &impl Runtime,
    connect: impl AsyncFn(usize) -> Result<C>,
) -> Result<Figures> {
    let mut connections = Vec::new();
    for _ in 0..echo.idle + echo.connections {
        connections.push(opened(&connect, echo.size).await?);
    }
    load.begin(echo.sample_every())?;
    let calls = connections
        .iter()
        .skip(echo.idle)
        .flat_map(|connection| (0..echo.in_flight).map(|_| call_on(connection.clone())));
    all(runtime, calls).await?;
    meter::figures()
}

async fn idle<C: Caller>(
    load: &Load,
    count: usize,
    runtime: &impl Runtime,
    connect: impl AsyncFn(usize) -> Result<C>,
) -> Result<Figures> {
    let first = opened(&connect, SMALL).await?;
    runtime.sleep(memory::SETTLING).await;
    let memory = Memory::before(load.server)?;
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(opened(&connect, SMALL).await?);
    }
    runtime.sleep(memory::SETTLING).await;
    let figures = memory.after(count);
    drop((first, connections));
    figures
}

/// A small call is due so often in W7.
const PACE: Duration = Duration::from_millis(2);

async fn mixed<C: Caller>(
    load: &Load,
    transfer: usize,
    runtime: &impl Runtime,
    connect: impl AsyncFn(usize) -> Result<C>,
) -> Result<Figures> {
    let connection = opened(&connect, SMALL).await?;
    load.begin(1)?;
    let (ended, mut transferred) = mpsc::unbounded();
    if transfer == 0 {
        drop(ended);
    } else {
        // It is made once, as what is transferred is there already.
        let (connection, body) = (connection.clone(), Bytes::from(vec![7; transfer]));
        runtime.spawn(Box::pin(async move {
            while !meter::is_over() {
                let started = Instant::now();
                let result = connection.transfer(body.clone()).await.map(|()| started.elapsed());
                let failed = result.is_err();
                // Nobody listens any more when the small calls have failed.
                if ended.unbounded_send(result).is_err() || failed {
                    break;
                }
            }
        }));
    }
    let mut due = Instant::now();
    loop {
        due += PACE;
        let now = Instant::now();
        match due.checked_duration_since(now) {
            Some(left) => runtime.sleep(left).await,
            // The one before took too long: this one is not blamed for it.
            None => due = now,
        }
        let started = Instant::now();
        connection.call().await?;
        if !meter::end(Some(started)) {
            break;
        }
    }
    let mut figures = meter::figures()?;
    let mut rates = Vec::new();
    // That which is under way is waited for.
    while let Some(result) = transferred.next().await {
        rates.push(transfer as f64 / result?.as_secs_f64());
    }
    if transfer > 0 {
        rates.sort_by(f64::total_cmp);
        let median = rates.get(rates.len() / 2).ok_or("there was no transfer")?;
        figures.insert("transfer_rate".into(), *median);
        figures.insert("transfers".into(), rates.len() as f64);
    }
    Ok(figures)
}

/// A connection that has made its first call.
async fn opened<C: Caller>(connect: &impl AsyncFn(usize) -> Result<C>, size: usize) -> Result<C> {
    let connection = connect(size).await?;
    connection.call().await?;
    Ok(connection)
}

/// Runs a task for each of these, until all have ended or one has failed.
async fn all(
    runtime: &impl Runtime,
    futures: impl Iterator<Item: Future<Output = Result> + Send + 'static>,
) -> Result {
    let (ended, mut ends) = mpsc::unbounded();
    for future in futures {
        let ended = ended.clone();
        runtime.spawn(Box::pin(async move {
            // Nobody listens any more when another has failed.
            let _ = ended.unbounded_send(future.await);
        }));
    }
    drop(ended);
    while let Some(end) = ends.next().await {
        end?;
    }
    Ok(())
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
