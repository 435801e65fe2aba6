//! Listening, connecting and accepting.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Waker};

use proto_core::endpoint::{Listener, Runtime};

use super::streams::End;
use super::{ANYWHERE, Checked, in_time, must, wrong};

pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    listeners(runtime).await?;
    refusals(runtime).await
}

async fn listeners<R: Runtime>(runtime: &R) -> Checked {
    let mut listener = runtime.bind(ANYWHERE, 16).map_err(wrong("Runtime::bind: port 0"))?;
    let address = listener.local_addr().map_err(wrong("Listener::local_addr"))?;
    must(address.port() != 0, "Listener::local_addr: it does not say which port the system chose")?;
    must(
        runtime.bind(address, 16).is_err(),
        "Runtime::bind: an address that is listened on already is listened on again",
    )?;
    for turn in ["a connection", "another connection, behind one"] {
        // Somebody asks, and asks no more.
        let _ = listener.poll_accept(&mut Context::from_waker(Waker::noop()));
        let reached = in_time("Runtime::connect: it does not end", runtime.connect(address)).await?;
        let _near = reached.map_err(wrong("Runtime::connect: to a listener of the same runtime"))?;
        let what = format!(
            "Listener::poll_accept: it loses {turn}, or its waker, when a task that asked before has gone"
        );
        let accepted = in_time(&what, poll_fn(|cx| listener.poll_accept(cx)));
        accepted.await?.map_err(wrong("Listener::poll_accept"))?;
    }
    drop(listener);
    runtime
        .bind(address, 16)
        .map(drop)
        .map_err(wrong("Runtime::bind: an address that nobody listens on any more"))
}

async fn refusals<R: Runtime>(runtime: &R) -> Checked {
    let listener = runtime.bind(ANYWHERE, 16).map_err(wrong("Runtime::bind: port 0"))?;
    let address = listener.local_addr().map_err(wrong("Listener::local_addr"))?;
    drop(listener);
    let refused = in_time("Runtime::connect: it does not end where nobody listens", runtime.connect(address));
    must(refused.await?.is_err(), "Runtime::connect: it succeeds where nobody listens")
}

/// Two ends of a connection: the one that opened it, and the one that was accepted.
pub(super) async fn pair<R: Runtime>(runtime: &R) -> Result<[End<R::Stream>; 2], String> {
    let mut listener = runtime.bind(ANYWHERE, 16).map_err(wrong("Runtime::bind: port 0"))?;
    let address = listener.local_addr().map_err(wrong("Listener::local_addr"))?;
    let near = in_time("Runtime::connect: it does not end", runtime.connect(address)).await?;
    let far =
        in_time("Listener::poll_accept: it does not end", poll_fn(|cx| listener.poll_accept(cx))).await?;
    Ok([
        End(RefCell::new(near.map_err(wrong("Runtime::connect"))?)),
        End(RefCell::new(far.map_err(wrong("Listener::poll_accept"))?.0)),
    ])
}
