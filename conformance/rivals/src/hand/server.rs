//! The server's half of one connection: whoever is asked answers with the same body.

use super::frames::{Frames, encode};

/// An echo of whole messages.
#[derive(Debug, Default)]
pub(crate) struct Server {
    frames: Frames,
}

impl Server {
    /// Takes what was read, and appends the answers.
    pub(crate) fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) {
        self.frames.feed(input, |number, body| encode(out, number, body));
    }
}
