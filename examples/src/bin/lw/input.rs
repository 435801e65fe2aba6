//! Standard input, read by a thread of its own: reading from a terminal or a pipe blocks, and the connection goes on.

use std::io::{self, Read};
use std::thread;

use tokio::sync::mpsc::{Receiver, channel};

/// The size of a chunk, in bytes: enough that one costs little for each line in it.
const CHUNK: usize = 64 << 10;

/// The chunks of standard input as they come. Ahead of its reader there are at most two.
///
/// The thread ends with the input, or when it notices that nobody takes its chunks any more. The process does not wait
/// for it.
pub(crate) fn chunks() -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel(1);
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        let mut stdin = io::stdin().lock();
        loop {
            let chunk = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(buffer[..n].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
