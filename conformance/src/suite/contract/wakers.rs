//! Whoever waits is woken, and whoever asked last.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use proto_core::endpoint::{Listener, Runtime};
use proto_core::peer::Io;

use super::listeners::pair;
use super::streams::End;
use super::timers::wait;
use super::{ANYWHERE, Checked, PATIENCE, in_time, must, wrong};

/// More than systems keep for a socket that nobody reads.
const MUCH: usize = 24 << 20;

/// Both directions wait at the same time, and each is woken for itself; whoever asked last is woken.
pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    told(runtime).await?;
    let ends = pair(runtime).await?;
    for (here, there) in [(0, 1), (1, 0)] {
        let (near, far) = (&ends[here], &ends[there]);
        let reader = Woken::default();
        must(
            !near.is_readable(&Woken::default()),
            "Io::poll_read: it reads something although nothing was written",
        )?;
        must(!near.is_readable(&reader), "Io::poll_read: it reads something although nothing was written")?;
        far.write(b"!").await.map_err(wrong("Io::poll_write"))?;
        reader
            .seen(runtime, "Io::poll_read: the task that asked last is not woken when something comes")
            .await?;
        in_time("Io::poll_read: what was written does not arrive", near.read())
            .await?
            .map_err(wrong("Io::poll_read"))?;
    }
    let [near, far] = ends;
    let mut filled = 0;
    let (reader, writer) = (Woken::default(), Woken::default());
    must(!near.is_readable(&reader), "Io::poll_read: it reads something although nothing was written")?;
    while let Poll::Ready(written) = near.try_write(&writer, &FILLER) {
        let written = written.map_err(wrong("Io::poll_write"))?;
        must(written > 0, "Io::poll_write: it says that it wrote nothing")?;
        filled += written;
        must(filled < MUCH, "Io::poll_write: it takes without end what nobody reads")?;
    }
    let taken = near.0.borrow().taken();
    let drained = in_time(
        "Io::poll_write: what it said to have written does not arrive",
        far.read_exactly(filled + taken),
    );
    drained.await?.map_err(wrong("Io::poll_read"))?;
    writer.seen(runtime, "Io::poll_write: the task that waits is not woken when there is room").await?;
    // The reader has been waiting all the time; it may have been woken for nothing.
    must(!near.is_readable(&reader), "Io::poll_read: it reads something although nothing was written")?;
    far.write(b"!").await.map_err(wrong("Io::poll_write"))?;
    let what = "Io::poll_read: the task that waits is not woken beside one that waits to write: does one waker replace the other?";
    reader.seen(runtime, what).await?;

    let mut listener = runtime.bind(ANYWHERE, 16).map_err(wrong("Runtime::bind: port 0"))?;
    let address = listener.local_addr().map_err(wrong("Listener::local_addr"))?;
    let acceptor = Woken::default();
    for woken in [&Woken::default(), &acceptor] {
        let asked = listener.poll_accept(&mut Context::from_waker(&woken.waker()));
        must(asked.is_pending(), "Listener::poll_accept: it takes a connection that nobody has opened")?;
    }
    let reached = in_time("Runtime::connect: it does not end", runtime.connect(address)).await?;
    let _near = reached.map_err(wrong("Runtime::connect"))?;
    acceptor
        .seen(runtime, "Listener::poll_accept: the task that asked last is not woken when a connection comes")
        .await
}

/// A stream that is told that it may have woken the task, rightly or not, has it woken by what comes next.
async fn told<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    for _ in 0..5 {
        let reader = Woken::default();
        for _ in 0..2 {
            near.0.borrow_mut().may_have_come();
            must(
                !near.is_readable(&reader),
                "Io::may_have_come: something is read although nothing was written",
            )?;
        }
        far.write(b"!").await.map_err(wrong("Io::poll_write"))?;
        reader
            .seen(runtime, "Io::may_have_come: the task that reads then is not woken by what comes next")
            .await?;
        near.0.borrow_mut().may_have_come();
        in_time("Io::may_have_come: what was written does not arrive", near.read())
            .await?
            .map_err(wrong("Io::poll_read"))?;
    }
    Ok(())
}

static FILLER: [u8; 64 << 10] = [7; 64 << 10];

/// Whether somebody has been woken.
#[derive(Default)]
struct Woken(Arc<Flag>);

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Woken {
    fn waker(&self) -> Waker {
        self.0.0.store(false, Ordering::SeqCst);
        Waker::from(self.0.clone())
    }

    /// Waits until it has been, by looking now and then.
    async fn seen<R: Runtime>(&self, runtime: &R, what: &str) -> Checked {
        let (clock, mut sleep) = (runtime.clock(), runtime.sleep());
        let late = clock.now() + PATIENCE;
        while !self.0.0.load(Ordering::SeqCst) {
            must(clock.now() < late, what)?;
            wait(runtime, &mut sleep, clock.now() + Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

impl<S: Io> End<S> {
    fn is_readable(&self, woken: &Woken) -> bool {
        let waker = woken.waker();
        self.0.borrow_mut().poll_read(&mut Context::from_waker(&waker), usize::MAX, &mut |_| {}).is_ready()
    }

    fn try_write(&self, woken: &Woken, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let waker = woken.waker();
        self.0.borrow_mut().poll_write(&mut Context::from_waker(&waker), &[IoSlice::new(bytes)])
    }
}
