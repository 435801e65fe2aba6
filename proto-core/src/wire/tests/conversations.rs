//! Whole conversations of `vectors.json`, replayed against a connection as either side.
//!
//! The connection under test gets its peer's bytes one by one. What its application does is read off the frames that
//! it is to send: a REPLY in them means that the application replied. What it sends must then be those bytes.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::{section, text, unhex};
use crate::wire::{
    CloseCode, CloseInfo, ExtensionBlock, Extensions, Flags, HEADER_LEN, Header, HeaderView, Heartbeat,
    Hello, Kind, PONG_LEN, PREFACE, Parsed, StatusCode,
};
use crate::{
    Config, Connection, Delivery, Event, HeartbeatConfig, Instant, Message, Role, SharedConfig, Timeout,
};

/// The chunks that each side sends, in order.
fn turns(conversation: &Value) -> Vec<(Role, Vec<u8>)> {
    let side = |name: &str| -> VecDeque<Vec<u8>> {
        conversation[name].as_array().unwrap().iter().map(|chunk| unhex(chunk.as_str().unwrap())).collect()
    };
    let (mut dialer, mut acceptor) = (side("dialer"), side("acceptor"));
    let turns = text(conversation, "turns").chars().map(|turn| match turn {
        'D' => (Role::Dialer, dialer.pop_front().unwrap()),
        _ => (Role::Acceptor, acceptor.pop_front().unwrap()),
    });
    let turns: Vec<_> = turns.collect();
    assert!(dialer.is_empty() && acceptor.is_empty(), "{conversation} has chunks without a turn");
    turns
}

/// The frames of a chunk that a conforming side sends.
fn frames(chunk: &[u8]) -> Vec<(Header, &[u8])> {
    let mut rest = chunk.strip_prefix(&PREFACE).unwrap_or(chunk);
    let mut frames = Vec::new();
    while let Some(view) = HeaderView::new_checked(rest) {
        let Ok(Parsed::Frame(header)) = Header::parse(view, u32::MAX) else { panic!("{view:?}") };
        let (payload, behind) = rest[HEADER_LEN..].split_at(header.length as usize);
        frames.push((header, payload));
        rest = behind;
    }
    assert!(rest.is_empty());
    frames
}

/// The same with messages put together that were cut into fragments.
fn messages(frames: Vec<(Header, &[u8])>) -> Vec<(Header, Vec<u8>)> {
    let mut messages: Vec<(Header, Vec<u8>)> = Vec::new();
    for (header, payload) in frames {
        let is_of = |first: &Header| {
            (first.kind, first.sequence) == (header.kind, header.sequence)
                && first.flags.contains(Flags::MORE)
        };
        match messages.last_mut() {
            Some((first, message)) if is_of(first) => {
                message.extend_from_slice(payload);
                first.flags = header.flags;
            }
            _ if header.flags.contains(Flags::MORE) => messages.push((header, payload[4..].to_vec())),
            _ => messages.push((header, payload.to_vec())),
        }
    }
    messages
}

/// Whether a connection can play this side: one that breaks a rule on purpose it cannot, nor one that sends PINGs.
fn is_playable(turns: &[(Role, Vec<u8>)], side: Role) -> bool {
    let own = |(turn, _): &&(Role, Vec<u8>)| *turn == side;
    at_fault(turns) != Some(side)
        && !turns
            .iter()
            .filter(own)
            .flat_map(|(_, chunk)| frames(chunk))
            .any(|(header, _)| header.kind == Kind::Ping)
}

/// The side that an error is blamed on, if one is: the one that did not close first.
fn at_fault(turns: &[(Role, Vec<u8>)]) -> Option<Role> {
    let first_close = turns.iter().find_map(|(side, chunk)| {
        let at = chunk.len().checked_sub(HEADER_LEN)?;
        let view = HeaderView::new_checked(&chunk[at..])?;
        (view.kind() == Kind::Close as u8).then_some((*side, CloseCode(view.code())))
    });
    match first_close {
        Some((side, CloseCode(0x0101..=0x0104 | 0x0200..=0x02ff))) => {
            Some(if side == Role::Dialer { Role::Acceptor } else { Role::Dialer })
        }
        _ => None,
    }
}

/// The configuration that announces what this side announces.
fn config(turns: &[(Role, Vec<u8>)], side: Role) -> SharedConfig {
    let all = turns.iter().filter(|(turn, _)| *turn == side).flat_map(|(_, chunk)| frames(chunk));
    let said = all.into_iter().find(|(header, _)| matches!(header.kind, Kind::Hello | Kind::Welcome));
    let Some((_, payload)) = said else { return SharedConfig::default() };
    let hello = Hello::parse(payload).unwrap();
    let config = Config {
        max_frame: hello.max_frame,
        max_message: hello.max_message,
        call_slots: hello.call_slots,
        request_window: hello.request_window,
        push_window: hello.push_window,
        heartbeat: hello.heartbeat.map(|Heartbeat { wish_millis, minimum_millis }| HeartbeatConfig {
            wish: Duration::from_millis(wish_millis.into()),
            minimum: Duration::from_millis(minimum_millis.into()),
            ..HeartbeatConfig::default()
        }),
        credentials: hello.credentials,
        capabilities: hello.capabilities,
        ..Config::default()
    };
    config.share().unwrap()
}

/// One side, and what its application has in hand.
struct Replay {
    connection: Connection,
    requests: Vec<crate::RequestId>,
    pushes: VecDeque<crate::PushToken>,
    /// The peer breaks a rule: that the connection closes is its own affair.
    noticing: bool,
}

impl Replay {
    const NOW: Instant = Instant::EPOCH;

    fn hear(&mut self, chunk: &[u8]) {
        for &byte in chunk {
            self.connection.handle_input(Self::NOW, &mut [byte]);
            while let Some(event) = self.connection.poll_event() {
                match event {
                    Event::Request { id, .. } => self.requests.push(id),
                    Event::Push { token, .. } => self.pushes.push_back(token),
                    _ => {}
                }
            }
        }
    }

    /// Does what makes the connection send this message or frame, unless it sends it by itself.
    fn act(&mut self, header: &Header, payload: &[u8]) {
        let block = if header.flags.contains(Flags::EXT) {
            ExtensionBlock::parse(header.kind, payload).unwrap()
        } else {
            ExtensionBlock::default()
        };
        let extensions = Extensions::new(&block.fields).unwrap();
        let body = payload.get(block.body_at..).unwrap_or_default().to_vec();
        let message = Message { extensions, ..Message::new(header.code, body.to_vec()) };
        let connection = &mut self.connection;
        match header.kind {
            Kind::Welcome => connection.accept(Self::NOW),
            Kind::Request => {
                let call = connection.call(Self::NOW, message, Timeout::Never).unwrap();
                assert_eq!(call.sequence(), header.sequence);
            }
            Kind::Push => connection.push(Self::NOW, message).unwrap(),
            Kind::Reply => {
                let at = self.requests.iter().position(|id| id.sequence() == header.sequence).unwrap();
                let (id, status) = (self.requests.remove(at), StatusCode(header.code));
                assert_eq!(connection.reply(Self::NOW, id, status, message.extensions, message.body), Ok(()));
            }
            Kind::Cancel => {
                let call = crate::CallId(header.sequence);
                assert_eq!(connection.cancel(Self::NOW, call), Some(Delivery::MaybeSent));
            }
            Kind::Drain if connection.is_open() => {
                let (code, info) = (CloseCode(header.code), CloseInfo::default());
                connection.drain(Self::NOW, code, info, Duration::from_secs(30));
            }
            Kind::Credit => connection.release(Self::NOW, self.pushes.pop_front().unwrap()),
            Kind::Close if !self.noticing && connection.close_reason().is_none() => {
                connection.close(Self::NOW, CloseCode(header.code), CloseInfo::parse(payload));
            }
            _ => {}
        }
    }

    fn say(&mut self) -> Vec<u8> {
        let said: Vec<u8> = self.connection.transmit().flatten().copied().collect();
        self.connection.advance_transmit(Self::NOW, said.len());
        said
    }
}

/// The same bytes without what is each side's own affair: the delay in a PONG, and the lane of a message.
fn comparable(mut chunk: Vec<u8>) -> Vec<u8> {
    let mut at = if chunk.starts_with(&PREFACE) { PREFACE.len() } else { 0 };
    while let Some(view) = HeaderView::new_checked(&chunk[at..]) {
        let (kind, end) = (view.kind(), at + HEADER_LEN + view.length() as usize);
        chunk[at + 5] &= 0x3f;
        if kind == Kind::Pong as u8 {
            chunk[at + HEADER_LEN + PONG_LEN - 4..end].fill(0);
        }
        at = end;
    }
    chunk
}

fn replay(conversation: &Value, side: Role) {
    let (name, turns) = (text(conversation, "name"), turns(conversation));
    let connection = Connection::new(&config(&turns, side), side, Replay::NOW, 1);
    let noticing = at_fault(&turns).is_some();
    let mut replay = Replay { connection, requests: Vec::new(), pushes: VecDeque::new(), noticing };
    for (turn, chunk) in turns {
        if turn == side {
            for (header, payload) in messages(frames(&chunk)) {
                replay.act(&header, &payload);
            }
            assert_eq!(comparable(replay.say()), comparable(chunk), "{name} as the {side:?}");
        } else {
            replay.hear(&chunk);
        }
    }
    assert!(replay.say().is_empty(), "{name} as the {side:?}");
    replay.connection.handle_eof(Replay::NOW);
    assert!(replay.connection.is_closed(), "{name} as the {side:?}");
}

/// LW-2.4: conversations go as written when each side gets the other's bytes one by one.
/// LW-2.2, LW-3.1, LW-3.7, LW-7.2: and each side says its part of them to the byte.
#[test]
fn conversations_go_as_written() {
    let mut replayed = [0; 2];
    for conversation in section("conversations") {
        for side in [Role::Dialer, Role::Acceptor] {
            if is_playable(&turns(&conversation), side) {
                replay(&conversation, side);
                replayed[side as usize] += 1;
            }
        }
    }
    assert!(replayed.iter().all(|&count| count >= 5), "{replayed:?}");
}
