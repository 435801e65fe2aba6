//! What the parts of an adapter must do, tried one by one before any scenario: so that a failure names the method at fault.

mod listeners;
mod streams;
mod timers;
mod wakers;

use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use proto_core::endpoint::Runtime;

/// How it is called in a report.
pub(super) const NAME: &str = "the_parts_of_the_adapter_keep_their_contract";

/// Longer than anything takes here that works.
const PATIENCE: Duration = Duration::from_secs(5);
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

type Checked = Result<(), String>;

/// Tries the parts.
///
/// # Errors
/// Which method does what it must not, or does not do what it must.
pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    seeds(runtime)?;
    timers::check(runtime).await?;
    names(runtime).await?;
    listeners::check(runtime).await?;
    streams::check(runtime).await?;
    wakers::check(runtime).await?;
    streams::check_speed(runtime).await
}

fn must(holds: bool, what: &str) -> Checked {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn wrong<E: Display>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error}")
}

/// Waits for something that comes. The time is told by a thread, since timers are what may be wrong.
async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> Result<T, String> {
    let mut late = None::<Arc<AtomicBool>>;
    let mut future = pin!(future);
    poll_fn(|cx| {
        if let Poll::Ready(result) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(result));
        }
        let late = late.get_or_insert_with(|| {
            let (flag, waker) = (Arc::<AtomicBool>::default(), cx.waker().clone());
            let raised = flag.clone();
            thread::spawn(move || {
                thread::sleep(PATIENCE);
                raised.store(true, Ordering::SeqCst);
                waker.wake();
            });
            flag
        });
        if late.load(Ordering::SeqCst) { Poll::Ready(Err(what.to_owned())) } else { Poll::Pending }
    })
    .await
}

fn seeds<R: Runtime>(runtime: &R) -> Checked {
    must(runtime.seed() != runtime.seed(), "Runtime::seed: it gives the same number twice")
}

async fn names<R: Runtime>(runtime: &R) -> Checked {
    for name in ["127.0.0.1:7", "localhost:7"] {
        let resolved = in_time("Runtime::resolve: it does not end", runtime.resolve(name)).await?;
        let addresses = resolved.map_err(wrong(&format!("Runtime::resolve: `{name}` has no meaning")))?;
        let is_here = |address: &SocketAddr| address.ip().is_loopback() && address.port() == 7;
        must(
            !addresses.is_empty() && addresses.iter().all(is_here),
            &format!("Runtime::resolve: `{name}` means {addresses:?}"),
        )?;
    }
    Ok(())
}
