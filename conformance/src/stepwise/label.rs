//! Bodies that say who sent them and why, so that one that goes astray is noticed.

use proto_core::wire::{ExtensionFields, Extensions};
use proto_core::{Message, Role};

/// What a labelled body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The body of a push.
    Push,
    /// The body of a reply; its label is the request's.
    Reply,
    /// The body of a request.
    Request,
}

/// Who sent a message, and which of that side's messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// Who started it: for a reply, the caller.
    pub from: Role,
    /// The number among all that this side sends, in the order in which it was accepted.
    pub number: u32,
}

/// The shortest body that carries a label.
pub const LEAST_BODY: usize = 6;

impl Label {
    /// A body of `size` bytes, or of as many as the label needs.
    ///
    /// It owns its memory, and no more of it than its length.
    pub fn body(self, purpose: Purpose, size: usize) -> Vec<u8> {
        let size = size.max(LEAST_BODY);
        let mut body = Vec::with_capacity(size);
        body.push(match purpose {
            Purpose::Push => b'p',
            Purpose::Reply => b'r',
            Purpose::Request => b'q',
        });
        body.push(match self.from {
            Role::Acceptor => b'a',
            Role::Dialer => b'd',
        });
        body.extend(self.number.to_be_bytes());
        body.resize(size, self.fill());
        body
    }

    /// A message of that body, with so many bytes of metadata.
    pub fn message(self, purpose: Purpose, size: usize, metadata: usize) -> Message {
        let metadata = vec![self.fill(); metadata];
        let metadata = (!metadata.is_empty()).then_some(&metadata[..]);
        let extensions = Extensions::new(&ExtensionFields { metadata, ..Default::default() });
        let extensions = extensions.unwrap_or_default();
        Message::new(self.number, self.body(purpose, size)).with_extensions(extensions)
    }

    /// Reads a body; `None` if it is not what [`body`](Self::body) makes.
    pub fn read(body: &[u8], purpose: Purpose) -> Option<Self> {
        let from = match body.get(1)? {
            b'a' => Role::Acceptor,
            _ => Role::Dialer,
        };
        let number = u32::from_be_bytes(body.get(2..LEAST_BODY)?.try_into().ok()?);
        let label = Self { from, number };
        (label.body(purpose, body.len()) == body).then_some(label)
    }

    /// Reads a message, metadata included.
    pub fn read_message(message: &Message, purpose: Purpose) -> Option<Self> {
        let label = Self::read(&message.body, purpose)?;
        let metadata = message.extensions.fields().metadata.unwrap_or_default();
        (metadata.iter().all(|&byte| byte == label.fill()) && message.number == label.number).then_some(label)
    }

    const fn fill(self) -> u8 {
        self.number as u8 ^ 0xA5
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_body_is_noticed() {
        let label = Label { from: Role::Acceptor, number: 300 };
        let body = label.body(Purpose::Push, 20);
        assert_eq!(Label::read(&body, Purpose::Push), Some(label));
        assert_eq!(Label::read(&body, Purpose::Reply), None);
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert_ne!(Label::read(&changed, Purpose::Push), Some(label), "byte {at}");
        }
    }
}
