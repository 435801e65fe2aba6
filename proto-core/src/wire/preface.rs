//! The eight bytes at the start of each direction (LW-2.1).

use crate::error::ProtocolError;

/// What each direction starts with, whatever the version.
pub const PREFACE: [u8; 8] = *b"\xABLWIRE\r\n";

/// Checks a preface as its bytes arrive.
///
/// ```
/// use proto_core::wire::{PREFACE, PrefaceCheck};
///
/// let mut check = PrefaceCheck::default();
/// assert_eq!(check.feed(&PREFACE[..3]), Ok(3));
/// assert!(!check.is_complete());
/// // What follows the preface is left alone.
/// assert_eq!(check.feed(b"IRE\r\nmore"), Ok(5));
/// assert!(check.is_complete());
///
/// assert!(PrefaceCheck::default().feed(b"GET / HTTP/1.1").is_err());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PrefaceCheck {
    matched: u8,
}

impl PrefaceCheck {
    /// Compares the next bytes and says how many of them belonged to the preface.
    ///
    /// # Errors
    /// [`ProtocolError::BadPreface`] at the first wrong byte.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<usize, ProtocolError> {
        let mut taken = 0;
        for (&byte, &wanted) in bytes.iter().zip(&PREFACE[usize::from(self.matched)..]) {
            if byte != wanted {
                return Err(ProtocolError::BadPreface { offset: self.matched, byte });
            }
            self.matched += 1;
            taken += 1;
        }
        Ok(taken)
    }

    /// Whether all eight bytes have come.
    pub const fn is_complete(self) -> bool {
        self.matched as usize == PREFACE.len()
    }
}
