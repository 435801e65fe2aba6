//! The echo on byte streams of any runtime. Buffers belong to the thread, not to the connection, and each turn writes once.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::client::Client;
use super::frames::Frames;
use super::server::Server;
use crate::Result;
use crate::workload::Echo;

/// Bytes that are read at once.
const READ: usize = 64 << 10;

thread_local! {
    static INPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static OUTPUT: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What a runtime has for a connection.
pub(crate) trait Stream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>>;
}

impl Stream for tokio::net::TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = tokio::io::ReadBuf::new(into);
        ready!(tokio::io::AsyncRead::poll_read(Pin::new(self), cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        tokio::io::AsyncWrite::poll_write(Pin::new(self), cx, from)
    }
}

impl Stream for async_io::Async<std::net::TcpStream> {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncRead::poll_read(Pin::new(self), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncWrite::poll_write(Pin::new(self), cx, from)
    }
}

impl Stream for glommio::net::TcpStream {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncRead::poll_read(Pin::new(self), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        futures_lite::AsyncWrite::poll_write(Pin::new(self), cx, from)
    }
}

/// Answers until the connection ends.
pub(crate) async fn echo(mut stream: impl Stream) -> io::Result<()> {
    let mut server = Server::default();
    // What the system has not taken yet. Nothing is read meanwhile.
    let mut waiting = Waiting::default();
    poll_fn(|cx| {
        loop {
            ready!(waiting.flush(cx, &mut stream))?;
            let read = with_buffers(|input, out| -> Poll<io::Result<usize>> {
                let read = ready!(stream.poll_read(cx, input))?;
                server.feed(&input[..read], out);
                waiting.write(cx, &mut stream, out)?;
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
pub(crate) async fn call(mut stream: impl Stream, echo: Echo) -> Result {
    let mut client = Client::<Frames>::new(echo.in_flight, echo.size);
    let (mut output, mut written) = (Vec::new(), 0);
    poll_fn(|cx| {
        loop {
            client.take_output(&mut output);
            // Reading goes on when writing cannot: the server may wait for just that.
            while written < output.len() {
                match stream.poll_write(cx, &output[written..])? {
                    Poll::Ready(sent) => written += sent,
                    Poll::Pending => break,
                }
            }
            if written == output.len() {
                output.clear();
                written = 0;
            }
            let read = with_buffers(|input, _| -> Poll<io::Result<usize>> {
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
            self.written += ready!(stream.poll_write(cx, &self.bytes[self.written..]))?;
        }
        if self.written > 0 {
            *self = Self::default();
        }
        Poll::Ready(Ok(()))
    }

    /// Writes all of it, or keeps what is left.
    fn write(&mut self, cx: &mut Context<'_>, stream: &mut impl Stream, out: &mut Vec<u8>) -> io::Result<()> {
        let mut sent = 0;
        while sent < out.len() {
            match stream.poll_write(cx, &out[sent..])? {
                Poll::Ready(more) => sent += more,
                Poll::Pending => {
                    self.bytes.extend_from_slice(&out[sent..]);
                    break;
                }
            }
        }
        out.clear();
        Ok(())
    }
}

/// Lends this thread's buffers, which all connections share.
fn with_buffers<T>(act: impl FnOnce(&mut [u8], &mut Vec<u8>) -> T) -> T {
    let (mut input, mut output) = (INPUT.take(), OUTPUT.take());
    if input.is_empty() {
        input = vec![0; READ];
    }
    let result = act(&mut input, &mut output);
    INPUT.set(input);
    OUTPUT.set(output);
    result
}
