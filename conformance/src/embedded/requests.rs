//! What a side is asked, and how it answers: as each call says.

use std::mem;
use std::time::Duration;

use proto_core::wire::{Extensions, Sequence};
use proto_core::{
    Bytes, CallId, Connection, Instant, Message, Outcome, Refusal, RequestId, Role, StatusCode, Timeout,
};

use crate::player::{BACK_FAILED, Kind, LEAST, Label, Player, say};
use crate::scenario::{Answer, Answered};

/// Longer than any scenario takes.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The requests that are being answered.
#[derive(Default)]
pub(super) struct Requests(Vec<Handling>);

struct Handling {
    id: RequestId,
    label: Label,
    answer: Answer,
    due: Instant,
    back: Back,
}

/// Where the call is that a handler makes itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Back {
    None,
    Wanted,
    Called(CallId),
}

impl Requests {
    pub(super) const fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn next_alarm(&self) -> Option<Instant> {
        // Whose call back waits for room is asked again with every turn.
        let waiting = self.0.iter().filter(|handling| handling.back == Back::None);
        waiting.map(|handling| handling.due).min()
    }

    /// Takes a request, and answers it if that needs no time.
    pub(super) fn take(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        player: &Player,
        id: RequestId,
        message: &Message,
    ) {
        let Some(label) =
            player.arrived(&[Kind::Call, Kind::Nested], &message.body, message.lane, message.route(), 0)
        else {
            return reply(connection, now, id, StatusCode::BAD_REQUEST, Bytes::new());
        };
        match Label::answer(&message.body).filter(|_| label.kind == Kind::Call) {
            Some(answer) => {
                let back = if answer.back.is_some() { Back::Wanted } else { Back::None };
                self.0.push(Handling { id, label, answer, due: now + answer.after, back });
            }
            None => reply(connection, now, id, StatusCode::OK, message.body.clone()),
        }
    }

    /// Answers what is due.
    pub(super) fn answer(&mut self, now: Instant, connection: &mut Connection, here: Role) {
        for handling in mem::take(&mut self.0) {
            if handling.due > now || matches!(handling.back, Back::Called(_)) {
                self.0.push(handling);
            } else if handling.back == Back::Wanted {
                self.call_back(now, connection, here, handling);
            } else {
                self.finish(now, connection, handling);
            }
        }
    }

    fn call_back(&mut self, now: Instant, connection: &mut Connection, here: Role, handling: Handling) {
        let label = Label { kind: Kind::Nested, from: here, number: handling.label.number };
        let message = say(label.number, label.body(handling.answer.back.unwrap_or_default()));
        match connection.call(now, message, Timeout::Never) {
            Ok(call) => self.0.push(Handling { back: Back::Called(call), ..handling }),
            Err(refused) if matches!(refused.refusal, Refusal::Full | Refusal::NoSlot) => {
                self.0.push(handling);
            }
            Err(_) => reply(connection, now, handling.id, BACK_FAILED, Bytes::new()),
        }
    }

    fn finish(&mut self, now: Instant, connection: &mut Connection, handling: Handling) {
        let (status, body) = match handling.answer.what {
            Answered::Never => return self.0.push(Handling { due: now + NEVER, ..handling }),
            Answered::Panic => (StatusCode::HANDLER_FAILED, Bytes::new()),
            Answered::Reply(size) => {
                let label = Label { kind: Kind::Reply, ..handling.label };
                (StatusCode::OK, label.body(size.max(LEAST)).into())
            }
            Answered::Status(code) => (StatusCode(code.into()), handling.label.words().into()),
        };
        reply(connection, now, handling.id, status, body);
    }

    /// A call has ended: takes its outcome, unless it was of no handler here.
    pub(super) fn called_back(
        &mut self,
        now: Instant,
        connection: Option<&mut Connection>,
        call: CallId,
        outcome: Outcome,
    ) -> Option<Outcome> {
        let Some(at) = self.0.iter().position(|handling| handling.back == Back::Called(call)) else {
            return Some(outcome);
        };
        let handling = self.0.remove(at);
        let is_well = matches!(&outcome, Outcome::Reply { status, .. } if status.is_ok());
        match connection {
            Some(_) if is_well => self.0.push(Handling { back: Back::None, ..handling }),
            Some(connection) => reply(connection, now, handling.id, BACK_FAILED, Bytes::new()),
            None => {}
        }
        None
    }

    /// The caller waits no more.
    pub(super) fn cancel(&mut self, now: Instant, connection: &mut Connection, request: Sequence) {
        for handling in self.0.extract_if(.., |handling| handling.id.sequence() == request) {
            if let Back::Called(call) = handling.back {
                connection.cancel(now, call);
            }
            reply(connection, now, handling.id, StatusCode::CANCELLED, Bytes::new());
        }
    }
}

/// What cannot be sent any more was wanted by nobody.
fn reply(connection: &mut Connection, now: Instant, id: RequestId, status: StatusCode, body: Bytes) {
    let _ = connection.reply(now, id, status, Extensions::none(), body);
}
