//! Fields: `tag u16, length u16, value`, the layout inside HELLO, WELCOME, CLOSE and extension blocks (LW-3.3).

use alloc::vec::Vec;

/// Walks over the fields of a payload.
///
/// Yields each tag with its value; an `Err` once if the payload ends within a field or a known tag comes twice,
/// and nothing more after that.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    /// One bit for each tag that may not come (again). Every tag that this version knows is below 64.
    known: u64,
    seen: u64,
}

impl<'a> Fields<'a> {
    /// The fields in `payload`, of which the tags in `known` may stand there once.
    pub(super) fn new(payload: &'a [u8], known: &[u16]) -> Self {
        let known = known.iter().fold(0, |set, &tag| set | bit(tag));
        Self { rest: payload, known, seen: 0 }
    }

    fn field(&mut self) -> Result<(u16, &'a [u8]), FieldError> {
        let ([t0, t1, l0, l1], rest) = self.rest.split_first_chunk().ok_or(FieldError::Truncated)?;
        let tag = u16::from_be_bytes([*t0, *t1]);
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let (value, rest) = rest.split_at_checked(length).ok_or(FieldError::Truncated)?;
        if self.seen & bit(tag) != 0 {
            return Err(FieldError::Twice);
        }
        self.seen |= bit(tag) & self.known;
        self.rest = rest;
        Ok((tag, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u16, &'a [u8]), FieldError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// What is wrong with a sequence of fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldError {
    /// The payload ends within a field.
    Truncated,
    /// A known tag stands there twice.
    Twice,
}

/// Appends one field. Every caller keeps its values below 64 KiB by a limit of its own.
pub(super) fn put_field(out: &mut Vec<u8>, tag: u16, value: &[u8]) {
    debug_assert!(value.len() <= usize::from(u16::MAX), "field {tag} has {} bytes", value.len());
    out.extend_from_slice(&tag.to_be_bytes());
    out.extend_from_slice(&(value.len() as u16).to_be_bytes());
    out.extend_from_slice(value);
}

const fn bit(tag: u16) -> u64 {
    if tag < 64 { 1 << tag } else { 0 }
}
