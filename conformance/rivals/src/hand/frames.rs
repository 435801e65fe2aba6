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

/// Finds the frames in a stream without ever holding a body.
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
            encode(&mut bytes, number, &vec![7; number as usize * 9]);
        }
        for step in 1..bytes.len() {
            let (mut walker, mut found) = (Walker::default(), Vec::new());
            for part in bytes.chunks(step) {
                walker.feed(part, |number, length| found.push((number, length)));
            }
            assert!(found.iter().copied().eq((0..5).map(|number| (number, number as usize * 9))), "{step}");
        }
    }
}
