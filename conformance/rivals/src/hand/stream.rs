//! The echo on byte streams of any runtime. Buffers belong to the thread, not to the connection, and each
//! turn writes once.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::client::Client;
use super::frames::Walker;
use crate::Result;
use crate::workload::Echo;

/// Most bytes that are read at once.
const READ: usize = 64 << 10;

thread_local!(static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });

/// What a runtime has for a connection.
pub(crate) trait Stream {
    /// Whether it writes several pieces at once. One that does not is given one.
    const VECTORED: bool;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>>;
}

impl Stream for tokio::net::TcpStream {
    const VECTORED: bool = true;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(into);
        ready!(tokio::io::AsyncRead::poll_read(Pin::new(self), cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write_vectored(Pin::new(self), cx, pieces)
    }
}

impl Stream for async_io::Async<std::net::TcpStream> {
    const VECTORED: bool = true;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncRead::poll_read(Pin::new(self), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncWrite::poll_write_vectored(Pin::new(self), cx, pieces)
    }
}

impl Stream for glommio::net::TcpStream {
    const VECTORED: bool = false;

    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncRead::poll_read(Pin::new(self), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, pieces: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let first = pieces.first().map_or(&[][..], |piece| piece);
        futures_lite::AsyncWrite::poll_write(Pin::new(self), cx, first)
    }
}

/// Answers until the connection ends. The answer to a frame is the same frame, so frames are found and sent
/// back as they are; large ones before their end has come.
pub(crate) async fn echo(mut stream: impl Stream) -> io::Result<()> {
    let mut requests = Walker::default();
    // What the system has not taken yet. Nothing is read meanwhile.
    let mut waiting = Waiting::default();
    poll_fn(|cx| {
        loop {
            ready!(waiting.flush(cx, &mut stream))?;
            let read = with_buffer(|input| -> Poll<io::Result<usize>> {
                let read = ready!(stream.poll_read(cx, input))?;
                requests.feed(&input[..read], |_, _| {});
                waiting.write(cx, &mut stream, &input[..read])?;
                Poll::Ready(Ok(read))
            });
            if ready!(read)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await
}

/// Calls until the meter says that it is over.
pub(crate) async fn call<S: Stream>(mut stream: S, echo: Echo) -> Result {
    let mut client = Client::new(echo.in_flight, echo.size);
    let mut waiting = Waiting::default();
    poll_fn(|cx| {
        loop {
            // Reading goes on when writing cannot: the server may wait for just that.
            if S::VECTORED {
                client.write(|pieces| or_blocked(stream.poll_write(cx, pieces)))?;
            } else {
                client.take_output(&mut waiting.bytes);
                let _ = waiting.flush(cx, &mut stream)?;
            }
            let read = with_buffer(|input| -> Poll<io::Result<usize>> {
                let read = ready!(stream.poll_read(cx, input))?;
                client.feed(&input[..read]);
                Poll::Ready(Ok(read))
            });
            if ready!(read)? == 0 {
                return Poll::Ready(Err(io::Error::from(ErrorKind::UnexpectedEof)));
            }
            if client.is_over() {
                return Poll::Ready(Ok(()));
            }
        }
    })
    .await?;
    client.check()
}

/// Bytes that could not be written at once.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    written: usize,
}

impl Waiting {
    fn flush(&mut self, cx: &mut Context<'_>, stream: &mut impl Stream) -> Poll<io::Result<()>> {
        while self.written < self.bytes.len() {
            let rest = IoSlice::new(&self.bytes[self.written..]);
            self.written += ready!(stream.poll_write(cx, &[rest]))?;
        }
        self.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, or keeps what is left.
    fn write(&mut self, cx: &mut Context<'_>, stream: &mut impl Stream, bytes: &[u8]) -> io::Result<()> {
        let mut sent = 0;
        while sent < bytes.len() {
            match stream.poll_write(cx, &[IoSlice::new(&bytes[sent..])])? {
                Poll::Ready(more) => sent += more,
                Poll::Pending => {
                    self.bytes.extend_from_slice(&bytes[sent..]);
                    break;
                }
            }
        }
        Ok(())
    }
}

fn or_blocked(written: Poll<io::Result<usize>>) -> io::Result<usize> {
    match written {
        Poll::Ready(result) => result,
        Poll::Pending => Err(ErrorKind::WouldBlock.into()),
    }
}

/// Lends this thread's buffer, which all connections share.
fn with_buffer<T>(act: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut input = INPUT.take();
    if input.is_empty() {
        input = vec![0; READ];
    }
    let result = act(&mut input);
    INPUT.set(input);
    result
}
