//! A frame: its body's length as a `u32`, a number that the answer repeats as a `u64`, and the body.

/// Bytes before a body.
pub(super) const HEADER: usize = 12;

/// Appends a frame.
pub(crate) fn encode(out: &mut Vec<u8>, number: u64, body: &[u8]) {
    out.reserve(HEADER + body.len());
    out.extend_from_slice(&header(body.len(), number));
    out.extend_from_slice(body);
}

/// What stands before a body.
pub(super) fn header(length: usize, number: u64) -> [u8; HEADER] {
    let mut bytes = [0; HEADER];
    bytes[..4].copy_from_slice(&(length as u32).to_be_bytes());
    bytes[4..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<(usize, u64)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    Some((u32::from_be_bytes(*length) as usize, u64::from_be_bytes(*number)))
}

/// Puts frames together. It holds a frame that has begun, and nothing while there is none.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    partial: Vec<u8>,
}

impl Frames {
    /// Takes what was read, and hands out the frames that are whole with it.
    pub(crate) fn feed(&mut self, mut input: &[u8], mut frame: impl FnMut(u64, &[u8])) {
        while !self.partial.is_empty() {
            let wanted = parse(&self.partial).map_or(HEADER, |(length, _)| HEADER + length);
            let taken = input.len().min(wanted - self.partial.len());
            self.partial.reserve_exact(wanted - self.partial.len());
            self.partial.extend_from_slice(&input[..taken]);
            input = &input[taken..];
            let whole = parse(&self.partial).filter(|(length, _)| HEADER + length == self.partial.len());
            match whole {
                Some((_, number)) => {
                    frame(number, &self.partial[HEADER..]);
                    self.partial.clear();
                }
                None if input.is_empty() => return,
                None => {}
            }
        }
        while let Some((length, number)) = parse(input) {
            let Some(body) = input.get(HEADER..HEADER + length) else { break };
            frame(number, body);
            input = &input[HEADER + length..];
        }
        if input.is_empty() {
            if self.partial.capacity() > 0 && self.partial.capacity() < KEPT {
                self.partial = Vec::new();
            }
        } else {
            self.partial.extend_from_slice(input);
        }
    }
}

/// Room of small frames is given back at once, so that idle connections hold none. That of large ones is kept: whoever sends one sends more.
const KEPT: usize = 16 << 10;

/// Counts frames in a stream without ever holding a body.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    partial: Vec<u8>,
    /// Of the frame that has begun: what is still to come of its body.
    number: u64,
    length: usize,
    left: usize,
}

impl Walker {
    /// Takes what was read, and says which frames have ended with it: their numbers and lengths.
    pub(crate) fn feed(&mut self, mut input: &[u8], mut ended: impl FnMut(u64, usize)) {
        loop {
            if self.left > 0 {
                let taken = self.left.min(input.len());
                self.left -= taken;
                input = &input[taken..];
                if self.left > 0 {
                    return;
                }
                ended(self.number, self.length);
            }
            let found = if self.partial.is_empty() {
                parse(input).inspect(|_| input = &input[HEADER..])
            } else {
                let taken = input.len().min(HEADER - self.partial.len());
                self.partial.extend_from_slice(&input[..taken]);
                input = &input[taken..];
                parse(&self.partial).inspect(|_| self.partial.clear())
            };
            let Some((length, number)) = found else {
                self.partial.extend_from_slice(input);
                return;
            };
            (self.length, self.number, self.left) = (length, number, length);
            if length == 0 {
                ended(number, 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_the_same_wherever_they_are_cut() {
        let mut bytes = Vec::new();
        for number in 0..5_u64 {
            encode(&mut bytes, number, &vec![number as u8; number as usize * 9]);
        }
        for step in 1..bytes.len() {
            let (mut frames, mut walker) = (Frames::default(), Walker::default());
            let (mut whole, mut walked) = (Vec::new(), Vec::new());
            for part in bytes.chunks(step) {
                frames.feed(part, |number, body| whole.push((number, body.to_vec())));
                walker.feed(part, |number, length| walked.push((number, length)));
            }
            let expected = (0..5_u64).map(|number| (number, vec![number as u8; number as usize * 9]));
            assert!(whole.iter().cloned().eq(expected), "in steps of {step}");
            assert!(walked.iter().copied().eq((0..5).map(|number| (number, number as usize * 9))), "{step}");
        }
    }
}
