//! Streams: what is written arrives, whole, in order and at once, and ends are seen.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use proto_core::endpoint::Runtime;
use proto_core::peer::Io;

use super::listeners::pair;
use super::{Checked, in_time, must, wrong};

/// Round trips by which a delay of the system's is told from chance, and how long that delay is at least.
const ROUNDS: usize = 12;
const DELAYED: Duration = Duration::from_millis(25);
/// How often it must be seen.
const TIMES: usize = 3;

pub(super) async fn check<R: Runtime>(runtime: &R) -> Checked {
    words(runtime).await?;
    asked(runtime).await?;
    half_close(runtime).await?;
    gone(runtime).await
}

/// What takes longer if something is wrong with it.
pub(super) async fn check_speed<R: Runtime>(runtime: &R) -> Checked {
    torrent(runtime).await?;
    small_talk(runtime).await
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

/// No more is read than was asked for, and who asks for what is there now gets that.
async fn asked<R: Runtime>(runtime: &R) -> Checked {
    let [near, far] = pair(runtime).await?;
    let now = |most| {
        let mut bytes = Vec::new();
        let read = near.0.borrow_mut().read_now(most, &mut |read| bytes.extend_from_slice(read))?;
        Some(read.map_ok(|read| (read, bytes)))
    };
    let can = now(usize::MAX);
    must(
        !matches!(can, Some(Poll::Ready(_))),
        "Io::read_now: it reads something although nothing was written",
    )?;
    far.write(b"a few words").await.map_err(wrong("Io::poll_write"))?;
    let first = in_time("Io::poll_read: what was written does not arrive", near.read_some(5)).await?;
    must(
        first.map_err(wrong("Io::poll_read"))? == b"a few",
        "Io::poll_read: it reads more, or less, than it was asked for, or something else",
    )?;
    if can.is_none() {
        return Ok(());
    }
    let rest = now(3);
    must(
        matches!(rest, Some(Poll::Ready(Ok((3, ref bytes)))) if bytes == b" wo"),
        "Io::read_now: it reads more, or less, than it was asked for, or something else",
    )?;
    must(
        matches!(now(100), Some(Poll::Ready(Ok((3, ref bytes)))) if bytes == b"rds"),
        "Io::read_now: it does not read what is left",
    )?;
    must(matches!(now(100), Some(Poll::Pending)), "Io::read_now: it must be Pending where nothing is left")?;
    far.shut_down().await.map_err(wrong("Io::poll_shutdown"))?;
    let end = in_time("Io::poll_read: it does not see the end of the stream", near.read()).await?;
    must(end.is_ok_and(|read| read.is_empty()), "Io::poll_read: the end of a stream must be Ready(Ok(0))")?;
    must(
        matches!(now(100), Some(Poll::Ready(Ok((0, ref bytes)))) if bytes.is_empty()),
        "Io::read_now: the end of a stream must be Ready(Ok(0))",
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
    for (who, is_accepted) in [("connects", false), ("is accepted", true)] {
        let mut slow = 0;
        // A machine that is busy is slow once; the system's delay comes each time.
        while slow < TIMES && is_held_back(runtime, is_accepted).await? {
            slow += 1;
        }
        must(
            slow < TIMES,
            &format!(
                "a stream that {who} holds small messages back: is TCP_NODELAY set? `adapter_kit::configure` does it"
            ),
        )?;
    }
    Ok(())
}

/// Whether most round trips of two small messages and an answer take as long as systems hold such messages back.
async fn is_held_back<R: Runtime>(runtime: &R, is_accepted: bool) -> Result<bool, String> {
    let mut ends = pair(runtime).await?;
    if is_accepted {
        ends.reverse();
    }
    let [near, far] = ends;
    let mut slow = 0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
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
    Ok(slow * 2 >= ROUNDS)
}

/// One end, whose two directions may be used side by side.
pub(super) struct End<S>(pub(super) RefCell<S>);

impl<S: Io> End<S> {
    pub(super) async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|cx| self.0.borrow_mut().poll_write(cx, &[IoSlice::new(bytes)])).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                written => bytes = bytes.get(written..).ok_or(ErrorKind::InvalidData)?,
            }
        }
        Ok(())
    }

    /// Reads some; nothing at the end.
    pub(super) async fn read(&self) -> io::Result<Vec<u8>> {
        self.read_some(usize::MAX).await
    }

    async fn read_some(&self, most: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read =
            poll_fn(|cx| self.0.borrow_mut().poll_read(cx, most, &mut |read| bytes.extend_from_slice(read)));
        let read = read.await?;
        if read == bytes.len() {
            Ok(bytes)
        } else {
            Err(io::Error::other("it lends more or less than it says"))
        }
    }

    pub(super) async fn read_exactly(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < length {
            match self.read().await? {
                read if read.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
                read => all.extend(read),
            }
        }
        Ok(all)
    }

    pub(super) async fn shut_down(&self) -> io::Result<()> {
        poll_fn(|cx| self.0.borrow_mut().poll_shutdown(cx)).await
    }
}
