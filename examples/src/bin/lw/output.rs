//! Standard output, written by a thread of its own: who reads it slowly makes the calls wait, not the connection.

use std::io::{self, Write};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{Receiver, Sender, channel};

/// When to hand lines over without waiting for more, in bytes.
const CHUNK: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Output {
    buffer: Vec<u8>,
    chunks: Sender<Vec<u8>>,
    writer: JoinHandle<io::Result<()>>,
}

/// Nobody takes the output any more; [`Output::end`] says why.
#[derive(Debug)]
pub(crate) struct Closed;

impl Output {
    pub(crate) fn new() -> Self {
        let (chunks, receiver) = channel(1);
        Self { buffer: Vec::new(), chunks, writer: thread::spawn(|| write(receiver)) }
    }

    /// Adds a line. It waits until the next [`flush`](Self::flush).
    pub(crate) fn line(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        self.buffer.push(b'\n');
    }

    /// Whether there is enough to flush.
    pub(crate) const fn is_full(&self) -> bool {
        self.buffer.len() >= CHUNK
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Hands all lines to the writer, and waits if it is behind.
    pub(crate) async fn flush(&mut self) -> Result<(), Closed> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.buffer);
        self.chunks.send(chunk).await.map_err(|_| Closed)
    }

    /// Waits until nobody takes the output any more, if that is noticed. A pipe is looked at only when something is written.
    pub(crate) async fn closed(&self) {
        self.chunks.closed().await;
    }

    /// Waits until all that was handed over has been written.
    pub(crate) fn end(self) -> io::Result<()> {
        drop(self.chunks);
        self.writer.join().unwrap_or_else(|_| Err(io::Error::other("the writer broke")))
    }
}

fn write(mut chunks: Receiver<Vec<u8>>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    while let Some(chunk) = chunks.blocking_recv() {
        out.write_all(&chunk)?;
        out.flush()?;
    }
    Ok(())
}
