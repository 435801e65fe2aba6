//! The format of [netman](https://github.com/ikilobyte/netman): `length u32, id u32, body`, little-endian, where the
//! length is that of the body alone.

use alloc::vec::Vec;

use super::{FrameHeader, Framing};

/// netman's default packer, byte for byte, in both directions. The message id is the number of the route.
///
/// ```
/// use proto_core::framing::{FrameHeader, Framing, Netman};
///
/// let mut bytes = Vec::new();
/// Netman.emit(FrameHeader { number: 7, length: 5 }, &mut bytes);
/// assert_eq!(bytes, [5, 0, 0, 0, 7, 0, 0, 0]);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Netman;

impl Framing for Netman {
    fn header_len(&self) -> usize {
        8
    }

    fn parse(&self, header: &[u8]) -> Option<FrameHeader> {
        let (length, rest) = header.split_first_chunk()?;
        let number = rest.first_chunk()?;
        Some(FrameHeader { number: u32::from_le_bytes(*number), length: u32::from_le_bytes(*length) })
    }

    fn emit(&self, FrameHeader { number, length }: FrameHeader, out: &mut Vec<u8>) {
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&number.to_le_bytes());
    }
}
