//! What stands in bodies: whose message it is, and what the callee is to do. A body that has changed on its way is noticed.

use std::time::Duration;

use proto_core::Role;

use crate::scenario::{Answer, Answered};

/// The shortest body of a call.
pub(crate) const LEAST_CALL: usize = 22;
/// The shortest body of anything else.
pub(crate) const LEAST: usize = 6;

/// Whose message it is, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: Kind,
    /// Who sent it; of a reply, who called.
    pub(crate) from: Role,
    pub(crate) number: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Call,
    /// A call that a handler makes, and that no script knows.
    Nested,
    Push,
    Reply,
}

impl Label {
    /// A body of this size, or of as many bytes as it takes.
    pub(crate) fn body(self, size: usize) -> Vec<u8> {
        self.filled(Vec::new(), size.max(LEAST))
    }

    /// The body of a call that is to be answered like this.
    pub(crate) fn call(self, answer: &Answer, has_deadline: bool, size: usize) -> Vec<u8> {
        let (what, status, reply) = match answer.what {
            Answered::Never => (0, 0, 0),
            Answered::Panic => (1, 0, 0),
            Answered::Reply(size) => (2, 0, size),
            Answered::Status(status) => (3, status, 0),
        };
        let mut told: Vec<u8> = vec![what];
        told.extend(status.to_be_bytes());
        told.extend((answer.after.as_millis() as u32).to_be_bytes());
        told.extend((reply as u32).to_be_bytes());
        told.extend(answer.back.map_or(u32::MAX, |size| size as u32).to_be_bytes());
        told.push(has_deadline.into());
        self.filled(told, size.max(LEAST_CALL))
    }

    /// What is said with a status that the application answers.
    pub(crate) fn words(self) -> String {
        format!("as call {} wants it", self.number)
    }

    fn filled(self, told: Vec<u8>, size: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(size);
        body.push(match self.kind {
            Kind::Call => b'c',
            Kind::Nested => b'n',
            Kind::Push => b'p',
            Kind::Reply => b'r',
        });
        body.push(match self.from {
            Role::Acceptor => b'a',
            Role::Dialer => b'd',
        });
        body.extend(self.number.to_be_bytes());
        body.extend(told);
        let start = body.len();
        body.extend((start..size).map(|at| self.filler(at)));
        body
    }

    /// Reads a body; `None` if no side can have made it.
    pub(crate) fn read(body: &[u8]) -> Option<Self> {
        let kind = match body.first()? {
            b'c' => Kind::Call,
            b'n' => Kind::Nested,
            b'p' => Kind::Push,
            b'r' => Kind::Reply,
            _ => return None,
        };
        let from = match body.get(1)? {
            b'a' => Role::Acceptor,
            b'd' => Role::Dialer,
            _ => return None,
        };
        let label = Self { kind, from, number: u32::from_be_bytes(*body.get(2..)?.first_chunk()?) };
        let start = if kind == Kind::Call { LEAST_CALL } else { LEAST };
        let filler = body.get(start..)?;
        (start..).zip(filler).all(|(at, &byte)| byte == label.filler(at)).then_some(label)
    }

    /// Reads what the caller wants; `None` if no side can have asked for it.
    pub(crate) fn answer(body: &[u8]) -> Option<Answer> {
        let number = |at: usize| body.get(at..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
        let what = match body.get(LEAST)? {
            0 => Answered::Never,
            1 => Answered::Panic,
            2 => Answered::Reply(number(LEAST + 7)? as usize),
            3 => Answered::Status(u16::from_be_bytes(*body.get(LEAST + 1..)?.first_chunk()?)),
            _ => return None,
        };
        let after = Duration::from_millis(number(LEAST + 3)?.into());
        let back = number(LEAST + 11)?;
        Some(Answer { after, back: (back != u32::MAX).then_some(back as usize), what })
    }

    /// Whether a call says that its caller has a deadline.
    pub(crate) fn has_deadline(body: &[u8]) -> bool {
        body.get(LEAST_CALL - 1) == Some(&1)
    }

    /// Not the same for two places whose distance is the length of a fragment.
    const fn filler(self, at: usize) -> u8 {
        (self.number as usize * 7 + at * 131 + (at >> 8) * 29) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_body_is_noticed() {
        let label = Label { kind: Kind::Push, from: Role::Acceptor, number: 300 };
        let body = label.body(40);
        assert_eq!(Label::read(&body), Some(label));
        for at in 0..body.len() {
            let mut changed = body.clone();
            changed[at] ^= 1;
            assert_ne!(Label::read(&changed), Some(label), "byte {at}");
        }
        let mut swapped = label.body(20_000);
        for at in 4096..8192 {
            swapped.swap(at, at + 4096);
        }
        assert_eq!(Label::read(&swapped), None);
    }

    #[test]
    fn what_the_callee_is_told_is_what_it_reads() {
        let after = Duration::from_millis(12);
        for what in [Answered::Never, Answered::Panic, Answered::Reply(77), Answered::Status(1029)] {
            for back in [None, Some(5)] {
                let answer = Answer { after, back, what };
                let label = Label { kind: Kind::Call, from: Role::Dialer, number: 1 };
                let body = label.call(&answer, back.is_some(), 100);
                assert_eq!((Label::read(&body), Label::answer(&body)), (Some(label), Some(answer)));
            }
        }
    }
}
