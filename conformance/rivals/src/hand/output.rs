//! Requests that wait to be written, all with the same body.

use std::io::{self, ErrorKind, IoSlice};

use super::frames::{HEADER, encode, header};

/// Bodies from this length on are not copied behind their headers, but written from where they are.
const LARGE: usize = 16 << 10;
/// Most pieces that are written at once.
const PIECES: usize = 64;

/// What is to be sent.
pub(super) struct Output {
    body: Vec<u8>,
    is_large: bool,
    /// Whole frames; or, if bodies are large, only their headers.
    waiting: Vec<u8>,
    /// How far the first of them has been written, bodies included.
    written: usize,
}

impl Output {
    pub(super) fn new(size: usize, room: usize) -> Self {
        let is_large = size >= LARGE;
        let frame = if is_large { HEADER } else { HEADER + size };
        Self { body: vec![7; size], is_large, waiting: Vec::with_capacity(room * frame), written: 0 }
    }

    /// How long each body is.
    pub(super) const fn size(&self) -> usize {
        self.body.len()
    }

    pub(super) fn request(&mut self, number: u64) {
        if self.is_large {
            self.waiting.extend_from_slice(&header(self.body.len(), number));
        } else {
            encode(&mut self.waiting, number, &self.body);
        }
    }

    /// Writes until all has been written, or until that would block.
    pub(super) fn write(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let sent = if self.is_large {
                let mut pieces = [IoSlice::new(&[]); PIECES];
                let count = self.pieces(&mut pieces);
                write(&pieces[..count])
            } else {
                write(&[IoSlice::new(&self.waiting[self.written..])])
            };
            match sent {
                Ok(sent) => self.advance(sent),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// All that waits, for those who write it themselves. Large bodies are copied after all.
    pub(super) fn take(&mut self, into: &mut Vec<u8>) {
        if self.is_large {
            for header in self.waiting.chunks(HEADER) {
                into.extend_from_slice(header);
                into.extend_from_slice(&self.body);
            }
            self.waiting.clear();
        } else if into.is_empty() {
            std::mem::swap(&mut self.waiting, into);
        } else {
            into.append(&mut self.waiting);
        }
    }

    fn pieces<'s>(&'s self, pieces: &mut [IoSlice<'s>; PIECES]) -> usize {
        let mut skipped = self.written;
        let frames = self.waiting.chunks(HEADER).flat_map(|header| [header, &self.body]);
        let mut count = 0;
        for (piece, bytes) in pieces.iter_mut().zip(frames) {
            let skip = skipped.min(bytes.len());
            skipped -= skip;
            *piece = IoSlice::new(&bytes[skip..]);
            count += 1;
        }
        count
    }

    fn advance(&mut self, sent: usize) {
        self.written += sent;
        if self.is_large {
            let frame = HEADER + self.body.len();
            self.waiting.drain(..self.written / frame * HEADER);
            self.written %= frame;
        } else if self.written == self.waiting.len() {
            self.waiting.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand::frames::Walker;

    #[test]
    fn whatever_is_written_at_once_comes_to_the_same() {
        for size in [0, 64, LARGE] {
            for step in [1, 7, HEADER, 5000, 3 * LARGE] {
                let mut output = Output::new(size, 3);
                (1..=3).for_each(|number| output.request(number));
                let (mut walker, mut found) = (Walker::default(), Vec::new());
                let write = |pieces: &[IoSlice<'_>]| {
                    let bytes: Vec<u8> =
                        pieces.iter().flat_map(|piece| piece.iter().copied()).take(step).collect();
                    walker.feed(&bytes, |number, length| found.push((number, length)));
                    Ok(bytes.len())
                };
                output.write(write).unwrap();
                assert_eq!(found, [(1, size), (2, size), (3, size)], "{size} bytes in steps of {step}");
            }
        }
    }
}
