//! Cuts chunks of bytes into lines, and holds no more than one line of the allowed length.
//!
//! It does not read: chunks of any size are pushed in, lines come out.

use std::mem;

use adapter_tokio::Bytes;

/// A line, without its newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Bytes),
    /// Longer than is allowed. Its bytes were not kept.
    TooLong,
}

#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    /// The newest chunk, and how much of it has been cut.
    chunk: Vec<u8>,
    cut: usize,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// That beginning is too long already, and was dropped.
    skipping: bool,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, chunk: Vec::new(), cut: 0, partial: Vec::new(), skipping: false }
    }

    /// Takes the next chunk. The one before must have been cut to its end.
    pub(crate) fn push(&mut self, chunk: Vec<u8>) {
        debug_assert!(self.cut == self.chunk.len(), "a chunk is pushed while another one is being cut");
        (self.chunk, self.cut) = (chunk, 0);
    }

    /// The next line whose end has come; `None` wants another chunk.
    pub(crate) fn next(&mut self) -> Option<Line> {
        let rest = &self.chunk[self.cut..];
        let Some(end) = rest.iter().position(|&byte| byte == b'\n') else {
            if !self.skipping && self.partial.len() + rest.len() > self.limit {
                self.skipping = true;
                self.partial = Vec::new();
            }
            if !self.skipping {
                self.partial.extend_from_slice(rest);
            }
            self.chunk = Vec::new();
            self.cut = 0;
            return None;
        };
        let last = &rest[..end];
        self.cut += end + 1;
        let line = if mem::take(&mut self.skipping) || self.partial.len() + last.len() > self.limit {
            self.partial = Vec::new();
            Line::TooLong
        } else if self.partial.is_empty() {
            // Copied, so that a short line does not keep a whole chunk alive.
            Line::Whole(Bytes::copy_from_slice(last))
        } else {
            self.partial.extend_from_slice(last);
            Line::Whole(mem::take(&mut self.partial).into())
        };
        Some(line)
    }

    /// The last line, if the input did not end with a newline. Nothing more comes.
    pub(crate) fn finish(&mut self) -> Option<Line> {
        if mem::take(&mut self.skipping) {
            Some(Line::TooLong)
        } else if self.partial.is_empty() {
            None
        } else {
            Some(Line::Whole(mem::take(&mut self.partial).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 3;

    /// What should come out, said in another way.
    fn expected(input: &[u8]) -> Vec<Line> {
        let mut pieces: Vec<&[u8]> = input.split(|&byte| byte == b'\n').collect();
        if pieces.last().is_some_and(|last| last.is_empty()) {
            pieces.pop();
        }
        let line = |piece: &[u8]| {
            if piece.len() > LIMIT { Line::TooLong } else { Line::Whole(Bytes::copy_from_slice(piece)) }
        };
        pieces.into_iter().map(line).collect()
    }

    /// The lines of an input that comes in chunks of these sizes, again and again.
    fn cut(input: &[u8], sizes: &[usize]) -> Vec<Line> {
        let mut lines = Lines::new(LIMIT);
        let mut found = Vec::new();
        let (mut rest, mut sizes) = (input, sizes.iter().cycle());
        while !rest.is_empty() {
            let size = sizes.next().map_or(1, |&size| size.min(rest.len()));
            let (chunk, behind) = rest.split_at(size);
            rest = behind;
            lines.push(chunk.to_vec());
            while let Some(line) = lines.next() {
                found.push(line);
            }
            assert!(lines.partial.len() <= LIMIT, "{} bytes are held", lines.partial.len());
        }
        found.extend(lines.finish());
        assert_eq!(lines.finish(), None);
        found
    }

    /// Every input of up to nine bytes from two kinds, in chunks of every pair of sizes.
    #[test]
    fn any_chunks_give_the_same_lines() {
        let mut too_long = 0;
        for length in 0..=9 {
            for bits in 0..1_u32 << length {
                let input: Vec<u8> =
                    (0..length).map(|at| if bits >> at & 1 == 1 { b'\n' } else { b'a' + at as u8 }).collect();
                let expected = expected(&input);
                too_long += usize::from(expected.contains(&Line::TooLong));
                for sizes in [[1, 1], [1, 2], [2, 3], [3, 1], [4, 4], [6, 1], [7, 2], [9, 9]] {
                    assert_eq!(cut(&input, &sizes), expected, "{input:?} in chunks of {sizes:?}");
                }
            }
        }
        assert!(too_long > 50, "only {too_long} inputs had a line that is too long");
    }

    #[test]
    fn a_line_is_bytes_and_keeps_its_carriage_return() {
        let lines = cut(b"\r\n\xff\0\n", &[100]);
        assert_eq!(
            lines,
            [Line::Whole(Bytes::from_static(b"\r")), Line::Whole(Bytes::from_static(b"\xff\0"))]
        );
    }
}
