//! Payloads of fixed length: PING, PONG, CREDIT (LW-6.2, LW-8.1).

/// The length of a PING's payload in bytes: opaque to the one who answers.
pub const PING_LEN: usize = 8;
/// The length of a PONG's payload in bytes.
pub const PONG_LEN: usize = 12;
/// The length of a CREDIT's payload in bytes.
pub const CREDIT_LEN: usize = 16;

/// The payload of PONG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The payload of the PING that this answers.
    pub ping: [u8; PING_LEN],
    /// Microseconds between that PING's arrival and this PONG's place in the byte stream.
    pub held_micros: u32,
}

impl Pong {
    /// Reads a payload.
    pub fn parse(bytes: &[u8; PONG_LEN]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = *bytes;
        Self { ping: [a, b, c, d, e, f, g, h], held_micros: u32::from_be_bytes([i, j, k, l]) }
    }

    /// The payload's bytes.
    pub fn to_bytes(self) -> [u8; PONG_LEN] {
        let mut bytes = [0; PONG_LEN];
        bytes[..PING_LEN].copy_from_slice(&self.ping);
        bytes[PING_LEN..].copy_from_slice(&self.held_micros.to_be_bytes());
        bytes
    }
}

/// The payload of CREDIT: what may have been sent in all since WELCOME, in charged bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The grant for requests.
    pub requests: u64,
    /// The grant for pushes.
    pub pushes: u64,
}

impl Credit {
    /// Reads a payload.
    pub fn parse(bytes: &[u8; CREDIT_LEN]) -> Self {
        let both = u128::from_be_bytes(*bytes);
        Self { requests: (both >> 64) as u64, pushes: both as u64 }
    }

    /// The payload's bytes.
    pub fn to_bytes(self) -> [u8; CREDIT_LEN] {
        (u128::from(self.requests) << 64 | u128::from(self.pushes)).to_be_bytes()
    }
}
