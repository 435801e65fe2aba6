//! The short way of messages that come and go whole on an open connection, as nearly all do.
//!
//! What is done here is what the modules that judge [sent](super::commands), [arriving](super::admit) and
//! [whole](super::frames) messages would do, for messages to which hardly any of their rules apply. Any other message is
//! left to them, with nothing changed. What is refused here is what they would refuse.

use alloc::boxed::Box;
use core::time::Duration;

use bytes::Bytes;

use super::arrival::Whole;
use super::outbox::COPY_LIMIT;
use super::requests::Stage;
use super::{Connection, State, Timer};
use crate::error::{ProtocolError, Refusal};
use crate::event::{CallId, Message};
use crate::time::Instant;
use crate::wire::{
    DEADLINE_BLOCK_LEN, ExtensionBlock, Extensions, Flags, HEADER_LEN, Header, HeaderView, Kind, Lane,
    Sequence, StatusCode, charge,
};

/// Who takes replies that arrive whole at once, in place of events: also before events that wait, since calls are independent of
/// each other.
pub(crate) trait ReplyTaker {
    /// Whether any are taken.
    const TAKES: bool = true;

    /// Takes a successful reply that says nothing beside its body. It counts as one that has been polled and is still kept, until
    /// [`hold_replies`](Connection::hold_replies) says otherwise.
    fn take(&mut self, call: CallId, body: Box<[u8]>);
}

/// All replies become events.
pub(super) struct Nobody;

impl ReplyTaker for Nobody {
    const TAKES: bool = false;

    fn take(&mut self, _: CallId, _: Box<[u8]>) {}
}

/// Sending.
impl Connection {
    /// Charges a message that is to be committed at once, and gives its length: nothing else waits, and there is room, credit and, for
    /// a call, a slot. Any other is left alone.
    #[inline]
    pub(super) fn charge_at_once(&mut self, kind: Kind, message: &Message, deadline: bool) -> Option<usize> {
        let length = message.length(deadline);
        let call = kind == Kind::Request;
        if !matches!(self.state, State::Open)
            || !message.extensions.suit(kind)
            || length > self.sending.message as usize
            || !self.commits_at_once(length)
            || call && !self.calls.has_free_slot()
        {
            return None;
        }
        let account = if call { &mut self.request_account } else { &mut self.push_account };
        account.take(charge(length)).then_some(length)
    }

    /// Whether a message of this length is committed at once: nothing waits, and there is room.
    #[inline]
    pub(super) fn commits_at_once(&self, length: usize) -> bool {
        length <= self.sending.frame as usize
            && !self.outbox.is_waiting()
            && self.outbox.pending() < self.config.commit_limit
            && !self.is_foreign()
    }

    /// Commits a call of this length that was [charged](Self::charge_at_once), and is [noted](Self::note_committed) when the time is known.
    /// The message is left as it was if it is still wanted.
    #[inline]
    pub(super) fn commit_call(
        &mut self,
        message: &mut Message,
        length: usize,
        timeout: Option<Duration>,
        deadline: Option<Instant>,
        is_wanted: bool,
    ) -> CallId {
        let id = self.calls.begin_committed(deadline, self.outbox.end() + (HEADER_LEN + length) as u64);
        let header = message_header(Kind::Request, message.lane, id, message.code());
        let Message { extensions, body, .. } = message;
        self.commit_whole(header, timeout.map(whole_millis), extensions, body, is_wanted);
        CallId(id)
    }

    /// Commits a push that was [charged](Self::charge_at_once).
    pub(super) fn commit_push(&mut self, mut message: Message) {
        let header = message_header(Kind::Push, message.lane, Sequence::CONNECTION, message.code());
        self.commit_whole(header, None, &message.extensions, &mut message.body, false);
        self.note_committed();
    }

    /// Whether a reply of nothing but a body of this length is committed at once, in one piece.
    #[inline]
    pub(super) fn replies_at_once(&self, length: usize) -> bool {
        matches!(self.state, State::Open)
            && length <= COPY_LIMIT.min(self.sending.message as usize)
            && self.commits_at_once(length)
    }

    /// Commits [such](Self::replies_at_once) a reply, if this request wants one.
    #[inline]
    pub(super) fn reply_at_once(
        &mut self,
        id: Sequence,
        status: StatusCode,
        body: &[u8],
    ) -> Result<(), Refusal> {
        let (lane, charged) = self.requests.answer_whole(id).ok_or(Refusal::Closed)?;
        self.commit_short(message_header(Kind::Reply, lane, id, status.0), None, body);
        self.request_window.give_back(charged);
        self.note_committed();
        if self.is_grant_due() {
            self.pump();
        }
        Ok(())
    }

    #[inline]
    fn commit_whole(
        &mut self,
        header: Header,
        remaining: Option<u32>,
        extensions: &Extensions,
        body: &mut Bytes,
        is_wanted: bool,
    ) {
        if extensions.is_empty() && body.len() <= COPY_LIMIT {
            self.commit_short(header, remaining, body);
        } else {
            let body = if is_wanted { body.clone() } else { core::mem::take(body) };
            self.commit_message(header, None, remaining, extensions, body, None);
        }
    }

    /// A message was accepted and committed at once, and this is the time: it is what a transport that takes nothing is given up by.
    #[inline]
    pub(super) fn note_committed(&mut self) {
        self.note_message();
        if self.layer.is_some() {
            self.pump();
        } else if !self.timers.is_set(Timer::WriteStall) {
            self.timers.set(Timer::WriteStall, self.now, self.config.write_stall_timeout);
        }
    }

    // Most of it is known where it is called: what kind of message it is, and whether there is a deadline.
    #[inline(always)]
    fn commit_short(&mut self, header: Header, remaining: Option<u32>, body: &[u8]) {
        let length = body.len() as u32;
        let Some(millis) = remaining else {
            return self.outbox.commit_short(&Header { length, ..header }.to_bytes(), body);
        };
        let block = ExtensionBlock::of_deadline(millis);
        let (length, flags) = (length + block.len() as u32, header.flags.with(Flags::EXT));
        let mut front = [0; HEADER_LEN + DEADLINE_BLOCK_LEN];
        front[..HEADER_LEN].copy_from_slice(&Header { length, flags, ..header }.to_bytes());
        front[HEADER_LEN..].copy_from_slice(&block);
        self.outbox.commit_short(&front, body);
    }
}

/// Receiving.
impl Connection {
    /// Takes the messages that lie whole at the start of the input, up to what is anything else or has to be judged. Gives the rest.
    pub(super) fn receive_whole<'a>(
        &mut self,
        mut input: &'a [u8],
        taker: &mut impl ReplyTaker,
    ) -> Result<&'a [u8], ProtocolError> {
        let mut frames = 0;
        let result = loop {
            let Some(view) = HeaderView::new_checked(input) else { break Ok(()) };
            let Some(header) = Header::of_whole_message(view, self.config.max_frame) else { break Ok(()) };
            let payload = input[HEADER_LEN..].split_at_checked(header.length as usize);
            let Some((payload, rest)) = payload.filter(|_| header.length <= self.config.max_message) else {
                break Ok(());
            };
            match self.take_whole(&header, payload, taker) {
                Ok(true) => (frames, input) = (frames + 1, rest),
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if frames > 0 {
            self.note_message();
            self.counters.frames_received += frames;
        }
        result.map(|()| input)
    }

    /// Takes a message, or says that it has to be judged.
    #[inline]
    fn take_whole(
        &mut self,
        header: &Header,
        payload: &[u8],
        taker: &mut impl ReplyTaker,
    ) -> Result<bool, ProtocolError> {
        if !header.flags.contains(Flags::EXT) {
            return match header.kind {
                Kind::Request => self.take_request(header, None, None, payload),
                Kind::Push => self.take_push(header, None, payload),
                Kind::Reply => Ok(self.take_reply(header, payload, taker)),
                _ => Ok(false),
            };
        }
        let after = |now: Instant, millis: u32| now + Duration::from_millis(millis.into());
        if let Some((millis, at)) = ExtensionBlock::deadline_only(header.kind, payload) {
            return self.take_request(header, Some(after(self.now, millis)), None, &payload[at..]);
        }
        if !matches!(header.kind, Kind::Request | Kind::Push) {
            return Ok(false);
        }
        let Ok(block) = ExtensionBlock::parse(header.kind, payload) else { return Ok(false) };
        let (deadline, body) = (block.deadline_millis, &payload[block.body_at..]);
        if header.kind == Kind::Push {
            return self.take_push(header, Some(&block), body);
        }
        let deadline = deadline.map(|millis| after(self.now, millis));
        self.take_request(header, deadline, Some(&block), body)
    }

    #[inline]
    fn take_request(
        &mut self,
        header: &Header,
        deadline: Option<Instant>,
        block: Option<&ExtensionBlock<'_>>,
        body: &[u8],
    ) -> Result<bool, ProtocolError> {
        let Header { length, sequence, .. } = *header;
        let lane = header.flags.lane().unwrap_or_default();
        if self.requests.begin(sequence, length, lane, self.config.call_slots, Stage::Queued).is_err() {
            return Ok(false);
        }
        let window = self.request_window();
        self.request_window.charge(charge(length as usize), window)?;
        self.events.push_request(sequence, deadline, &Whole { code: header.code, lane, block, body });
        Ok(true)
    }

    #[inline]
    fn take_push(
        &mut self,
        header: &Header,
        block: Option<&ExtensionBlock<'_>>,
        body: &[u8],
    ) -> Result<bool, ProtocolError> {
        let charge = charge(header.length as usize);
        let window = self.push_window();
        self.push_window.charge(charge, window)?;
        let lane = header.flags.lane().unwrap_or_default();
        self.events.push_push(charge, &Whole { code: header.code, lane, block, body });
        Ok(true)
    }

    #[inline]
    fn take_reply<T: ReplyTaker>(&mut self, header: &Header, body: &[u8], taker: &mut T) -> bool {
        if !self.may_keep_reply(header.length) || !self.calls.answer_whole(header.sequence) {
            return false;
        }
        let (call, status) = (CallId(header.sequence), StatusCode(header.code));
        self.note_free_slot();
        if T::TAKES && status.is_ok() {
            self.events.keep_more(body.len());
            taker.take(call, body.into());
        } else {
            let whole = Whole { code: header.code, lane: Lane::default(), block: None, body };
            self.events.push_whole_reply(header.sequence, header.length, &whole);
        }
        true
    }
}

/// The header of a message in one frame, but for its length and what else follows from what it brings.
const fn message_header(kind: Kind, lane: Lane, sequence: Sequence, code: u32) -> Header {
    let origin = if matches!(kind, Kind::Reply) { Flags::ORIGIN } else { Flags::empty() };
    Header { length: 0, kind, flags: origin.with_lane(lane), sequence, code }
}

/// A caller never waits for less than it says.
fn whole_millis(timeout: Duration) -> u32 {
    let part = u64::from(timeout.subsec_nanos().div_ceil(1_000_000));
    u32::try_from(timeout.as_secs().saturating_mul(1000).saturating_add(part)).unwrap_or(u32::MAX)
}
