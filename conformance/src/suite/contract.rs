//! What the parts of an adapter must do, tried one by one before any scenario: so that a failure names the method at fault.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::io::{self, ErrorKind, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant as Time};

use proto_core::Instant;
use proto_core::endpoint::{Listener, Runtime};
use proto_core::peer::{Io, Sleep};

/// How it is called in a report.
pub(super) const NAME: &str = "the_parts_of_the_adapter_keep_their_contract";

/// Longer than anything takes here that works.
const PATIENCE: Duration = Duration::from_secs(5);
const SOON: Duration = Duration::from_millis(20);
/// What no machine is late by three times in a row.
const LATE: Duration = Duration::from_millis(250);
/// How often a timer may be ready before its time.
const EARLY: usize = 1000;
const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// More than systems keep for a socket that nobody reads.
const MUCH: usize = 24 << 20;
/// Round trips by which a delay of the system's is told from chance, and how long that delay is at least.
const ROUNDS: usize = 12;
const DELAYED: Duration = Duration::from_millis(25);

type Checked = Result<(), String>;

/// Tries the parts.
///
/// # Errors
/// Which method does what it must not, or does not do what it must.
pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    seeds(runtime)?;
    timers(runtime).await?;
    names(runtime).await?;
    listeners(runtime).await?;
    refusals(runtime).await?;
    words(runtime).await?;
    half_close(runtime).await?;
    gone(runtime).await?;
    wakers(runtime).await?;
    torrent(runtime).await?;
    small_talk(runtime).await
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

async fn timers<R: Runtime>(runtime: &R) -> Checked {
    let clock = runtime.clock();
    must(clock.now() <= clock.now(), "Runtime::clock: it goes back")?;
    let mut sleep = runtime.sleep();
    let past = poll_fn(|cx| sleep.poll_until(cx, Instant::EPOCH));
    in_time("Sleep::poll_until: it is not ready for a time that has passed", past).await?;

    let at = clock.now() + SOON;
    in_time(
        "Sleep::poll_until: it is never ready, or always; or by another clock than Runtime::clock",
        wait(runtime, &mut sleep, at),
    )
    .await?;

    let mut late = 0;
    for _ in 0..3 {
        let at = clock.now() + SOON;
        in_time("Sleep::poll_until: it is never ready", wait(runtime, &mut sleep, at)).await?;
        late += usize::from(clock.now().saturating_since(at) > LATE);
    }
    must(
        late < 3,
        "Sleep::poll_until: it is late by more than a quarter of a second, each time; or Runtime::clock is ahead of the \
         timers",
    )?;

    let far = Instant::EPOCH + Duration::MAX;
    let is_early = poll_fn(|cx| Poll::Ready(sleep.poll_until(cx, far).is_ready())).await;
    must(!is_early, "Sleep::poll_until: it is ready at once for a time that never comes")?;
    let at = clock.now() + SOON;
    in_time(
        "Sleep::poll_until: a timer that was set for later is not set again for an earlier time",
        wait(runtime, &mut sleep, at),
    )
    .await?;

    // The same time, and another task: of the first one there is nothing left.
    let at = clock.now() + SOON;
    let _ = sleep.poll_until(&mut Context::from_waker(Waker::noop()), at);
    in_time(
        "Sleep::poll_until: it wakes the task that asked first, and not the one that asked last",
        wait(runtime, &mut sleep, at),
    )
    .await?;
    must(clock.now() >= at, "Runtime::clock: it is behind the time that a timer has waited for")
}

/// Waits as drivers do: by the clock, woken by the timer, which may be early.
async fn wait<R: Runtime>(runtime: &R, sleep: &mut R::Sleep, at: Instant) {
    let clock = runtime.clock();
    let mut early = 0;
    poll_fn(|cx| {
        while clock.now() < at {
            if sleep.poll_until(cx, at).is_pending() {
                return Poll::Pending;
            }
            early += 1;
            if early > EARLY {
                // It will not be in time.
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    })
    .await;
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
async fn pair<R: Runtime>(runtime: &R) -> Result<[End<R::Stream>; 2], String> {
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

/// One end, whose two directions may be used side by side.
struct End<S>(RefCell<S>);

impl<S: Io> End<S> {
    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|cx| self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = bytes.get(written..).ok_or(ErrorKind::InvalidData)?,
            }
        }
        Ok(())
    }

    /// Reads some; nothing at the end.
    async fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = poll_fn(|cx| self.0.borrow_mut().poll_read(cx, &mut |read| bytes.extend_from_slice(read)));
        let read = read.await?;
        if read == bytes.len() {
            Ok(bytes)
        } else {
            Err(io::Error::other("it lends more or less than it says"))
        }
    }

    async fn read_exactly(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < length {
            match self.read().await? {
                read if read.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                read => all.extend(read),
            }
        }
        Ok(all)
    }

    async fn shut_down(&self) -> io::Result<()> {
        poll_fn(|cx| self.0.borrow_mut().poll_shutdown(cx)).await
    }
}

async fn words<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    for (from, to, said) in [(&near, &far, "there"), (&far, &near, "and back")] {
        from.write(said.as_bytes()).await.map_err(wrong("Io::poll_write"))?;
        let heard =
            in_time("Io::poll_read: what was written does not arrive", to.read_exactly(said.len())).await?;
        let heard = heard.map_err(wrong("Io::poll_read"))?;
        must(heard == said.as_bytes(), "Io::poll_read: what arrives is not what was written")?;
    }
    // Several chunks are one after the other, however many are taken at once.
    let chunks = [IoSlice::new(b"one "), IoSlice::new(b"two "), IoSlice::new(b"three")];
    let written =
        poll_fn(|cx| near.0.borrow_mut().poll_write(cx, &chunks)).await.map_err(wrong("Io::poll_write"))?;
    let expected = &b"one two three"[..written.min(13)];
    let heard =
        in_time("Io::poll_write: it says that it wrote more than it did", far.read_exactly(written)).await?;
    must(
        heard.map_err(wrong("Io::poll_read"))? == expected,
        "Io::poll_write: of several chunks it writes others than the first",
    )
}

async fn half_close<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    near.write(b"last words").await.map_err(wrong("Io::poll_write"))?;
    let closed = in_time("Io::poll_shutdown: it does not end", near.shut_down()).await?;
    closed.map_err(wrong("Io::poll_shutdown"))?;
    let heard =
        in_time("Io::poll_shutdown: what was written before it is lost", far.read_exactly(10)).await?;
    heard.map_err(wrong("Io::poll_shutdown: what was written before it is lost"))?;
    let end = in_time(
        "Io::poll_shutdown: the other end does not read the end of the stream (or Io::poll_read does not say it)",
        far.read(),
    )
    .await?;
    must(end.is_ok_and(|read| read.is_empty()), "Io::poll_read: the end of a stream must be Ready(Ok(0))")?;
    far.write(b"an answer")
        .await
        .map_err(wrong("Io::poll_shutdown: it ends reading as well: the other end cannot write"))?;
    let heard = in_time("Io::poll_shutdown: it ends reading as well", near.read_exactly(9)).await?;
    heard.map(drop).map_err(wrong("Io::poll_shutdown: it ends reading as well"))?;
    far.shut_down().await.map_err(wrong("Io::poll_shutdown: on the end that closes last"))?;
    let end = in_time("Io::poll_read: it does not see the end of the stream", near.read()).await?;
    must(end.is_ok_and(|read| read.is_empty()), "Io::poll_read: the end of a stream must be Ready(Ok(0))")
}

/// The other end is dropped.
async fn gone<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    drop(far);
    let read = in_time("Io::poll_read: it does not see that the other end was dropped", near.read()).await?;
    must(
        read.as_ref().map_or(true, Vec::is_empty),
        "Io::poll_read: it reads something although the other end was dropped",
    )?;
    // It may take one round trip, and no more than that.
    let failed = async {
        for _ in 0..1000 {
            if near.write(&[0; 4096]).await.is_err() {
                return true;
            }
        }
        false
    };
    let failed = in_time("Io::poll_write: it does not end when the other end was dropped", failed).await?;
    must(
        failed,
        "Io::poll_write: it goes on and on when the other end was dropped, and says that it writes",
    )?;
    // Whoever closes last is not told off for it.
    let closed =
        in_time("Io::poll_shutdown: it does not end when the other end was dropped", near.shut_down())
            .await?;
    match closed {
        Err(error) if error.kind() == ErrorKind::NotConnected => {
            Err("Io::poll_shutdown: that the other end was faster is no error".into())
        }
        _ => Ok(()),
    }
}

/// Both directions wait at the same time, and each is woken for itself.
async fn wakers<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    let filler = vec![7; 64 << 10];
    let mut filled = 0;
    while filled < MUCH {
        let chunks = [IoSlice::new(&filler)];
        let written = poll_fn(|cx| Poll::Ready(near.0.borrow_mut().poll_write(cx, &chunks))).await;
        match written {
            Poll::Ready(Ok(written)) => filled += written,
            Poll::Ready(Err(error)) => return Err(format!("Io::poll_write: {error}")),
            Poll::Pending => break,
        }
    }
    must(filled < MUCH, "Io::poll_write: it takes without end what nobody reads")?;
    // Reading waits too, on the same stream and by the same task, as drivers have it.
    let both = async {
        let (mut said, mut wrote, mut read) = (false, false, false);
        let mut reading = pin!(near.read());
        let mut drained = pin!(async {
            let taken = near.0.borrow().taken();
            let _ = far.read_exactly(filled + taken).await;
            far.write(b"now read").await
        });
        poll_fn(|cx| {
            if !said {
                said = reading.as_mut().poll(cx).is_ready();
            }
            let chunks = [IoSlice::new(&filler)];
            if !wrote {
                wrote = near_is_writable(&near, cx, &chunks);
            }
            if !read {
                read = drained.as_mut().poll(cx).is_ready();
            }
            if said && wrote { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    };
    in_time(
        "Io::poll_read, Io::poll_write: when both wait, one of them is not woken (does one waker replace the other?)",
        both,
    )
    .await
}

fn near_is_writable<S: Io>(near: &End<S>, cx: &mut Context<'_>, chunks: &[IoSlice<'_>]) -> bool {
    near.0.borrow_mut().poll_write(cx, chunks).is_ready()
}

/// Much at once, so that writes are taken in part and wait, while the other end reads.
async fn torrent<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    let sent: Vec<u8> = (0..6_000_000u32).map(|number| (number / 251) as u8).collect();
    let writing = async {
        near.write(&sent).await?;
        near.shut_down().await
    };
    let reading = async {
        let mut all = Vec::new();
        loop {
            match far.read().await? {
                read if read.is_empty() => return io::Result::Ok(all),
                read => all.extend(read),
            }
        }
    };
    let (mut writing, mut reading) = (pin!(writing), pin!(reading));
    let mut written = None;
    let both = poll_fn(|cx| {
        if written.is_none()
            && let Poll::Ready(result) = writing.as_mut().poll(cx)
        {
            written = Some(result);
        }
        reading.as_mut().poll(cx)
    });
    let read = in_time("Io::poll_write: a large transfer stops in the middle", both).await?;
    let read = read.map_err(wrong("Io::poll_read: in a large transfer"))?;
    must(read.len() >= sent.len(), "Io::poll_write: bytes of a large transfer are lost")?;
    must(read.len() <= sent.len(), "Io::poll_write: bytes of a large transfer are sent twice")?;
    must(read == sent, "Io::poll_write: bytes of a large transfer change their places")
}

/// Small messages do not wait for each other.
async fn small_talk<R: Runtime>(runtime: &R) -> Checked {
    for (who, turn) in [("connects", false), ("is accepted", true)] {
        let mut ends = pair(runtime).await?;
        if turn {
            ends.reverse();
        }
        let [near, far] = ends;
        let mut slow = 0;
        for _ in 0..ROUNDS {
            let started = Time::now();
            let round = async {
                near.write(b"one").await?;
                near.write(b"two").await?;
                far.read_exactly(6).await?;
                far.write(b"!").await?;
                near.read_exactly(1).await
            };
            let round = in_time("Io: small messages stop", round).await?;
            round.map_err(wrong("Io: small messages fail"))?;
            slow += usize::from(started.elapsed() >= DELAYED);
        }
        must(
            slow * 2 < ROUNDS,
            &format!(
                "a stream that {who} holds small messages back: is TCP_NODELAY set? `adapter_kit::configure` does it"
            ),
        )?;
    }
    Ok(())
}
