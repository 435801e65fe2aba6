//! The same bytes, cut anywhere, mean the same.

use conformance::frames::{self, Draft, RawFrame, Stream};
use conformance::{Met, cases};
use proptest::prelude::*;
use proto_core::wire::Kind;
use proto_core::{Config, Connection, Event, Instant, Message, Role, SharedConfig, Timeout};

const NOW: Instant = Instant::EPOCH;

/// A connection whose handshake is over and which has made some calls, and the peer's half of that conversation.
fn opened(config: &SharedConfig, role: Role, calls: usize) -> Connection {
    let mut connection = Connection::new(config, role, NOW, 1);
    let peer = if role == Role::Dialer { Role::Acceptor } else { Role::Dialer };
    let generous = Config { call_slots: 64, ..Config::default() };
    connection.handle_input(NOW, &mut Stream::opening(peer, &generous).0);
    while connection.poll_event().is_some() {}
    connection.accept(NOW);
    for number in 0..calls {
        let message = Message::new(number as u32, "a call");
        connection.call(NOW, message, Timeout::Never).expect("the peer has granted slots and credit");
    }
    connection
}

/// What a connection says after it has been fed.
fn conclusion(mut connection: Connection) -> (Vec<Event>, Vec<RawFrame>, Option<RawFrame>) {
    let events: Vec<Event> = std::iter::from_fn(|| connection.poll_event()).collect();
    let mut written = Vec::new();
    while connection.transmit_len() > 0 {
        let chunk: Vec<u8> = connection.transmit().flatten().copied().collect();
        connection.advance_transmit(NOW, chunk.len());
        written.extend(chunk);
    }
    let frames = frames::parse(&written).expect("a connection writes whole frames");
    let (pongs, frames): (Vec<_>, Vec<_>) =
        frames.into_iter().partition(|frame| frame.kind == Kind::Pong as u8);
    (events, frames, pongs.into_iter().next_back())
}

/// However the transport cuts the peer's bytes, the events are the same and so is the output, whatever the bytes are.
/// Of several PINGs only the newest need be answered (LW-8.1), so of the PONGs only the last one is compared; and one
/// that waits for its answer when the connection begins to close may be left without.
#[test]
fn bytes_cut_anywhere_give_the_same_events_and_the_same_output() {
    let [requests, replies, pushes, discarded, errors] = <[Met; 5]>::default();
    let in_slots =
        |drafts: Vec<Draft>| (0u16..).zip(drafts).map(|(slot, draft)| draft.in_slot(slot)).collect();
    let drafts = prop_oneof![
        2 => prop::collection::vec(Draft::sound(), 0..30).prop_map(in_slots),
        1 => prop::collection::vec(Draft::any(), 0..30),
    ];
    let cuts = prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1..20usize, 1..10),
        prop::collection::vec(1..2000usize, 1..10),
    ];
    let role = prop_oneof![Just(Role::Dialer), Just(Role::Acceptor)];
    proptest!(cases(6000), |(drafts in drafts, cuts in cuts, calls in prop_oneof![Just(30usize), 0..6usize], undelivered in 0..4000usize, role in role)| {
        let config = Config { undelivered_limit: undelivered, ..Config::default() }.share().unwrap();
        let bytes = drafts.iter().fold(Stream::new(), Stream::draft).0;

        let mut whole = opened(&config, role, calls);
        whole.handle_input(NOW, &mut bytes.clone());

        let mut cut = opened(&config, role, calls);
        let (mut rest, mut sizes) = (bytes, cuts.iter().cycle());
        while !rest.is_empty() {
            let size = *sizes.next().unwrap_or(&1);
            let behind = rest.split_off(size.min(rest.len()));
            cut.handle_input(NOW, &mut rest);
            rest = behind;
        }

        prop_assert_eq!(whole.close_reason(), cut.close_reason());
        errors.add(usize::from(whole.close_reason().is_some()));
        let closing = whole.close_reason().is_some();
        let (one, two) = (conclusion(whole), conclusion(cut));
        for event in &one.0 {
            match event {
                Event::Request { .. } => requests.add(1),
                Event::Push { .. } => pushes.add(1),
                Event::Ended { outcome: proto_core::Outcome::Discarded, .. } => discarded.add(1),
                Event::Ended { .. } => replies.add(1),
                _ => {}
            }
        }
        prop_assert_eq!(one.0, two.0, "the events differ");
        // What a DRAIN wants to hear is left out likewise.
        let said = |frames: Vec<RawFrame>| -> Vec<RawFrame> {
            let matters = |frame: &RawFrame| !closing || frame.kind != Kind::Drain as u8;
            frames.into_iter().filter(matters).collect()
        };
        prop_assert_eq!(said(one.1), said(two.1), "the output differs");
        if !closing {
            prop_assert_eq!(one.2, two.2, "the last PING was answered differently");
        }
    });
    requests.assert("a request");
    pushes.assert("a push");
    replies.assert("a reply");
    discarded.assert("a reply for which there was no room");
    errors.assert("a broken rule");
}

/// Likewise for a handshake, wherever it is cut.
#[test]
fn a_handshake_cut_anywhere_is_the_same_handshake() {
    let config = SharedConfig::default();
    for role in [Role::Dialer, Role::Acceptor] {
        let bytes =
            Stream::opening(if role == Role::Dialer { Role::Acceptor } else { Role::Dialer }, &config).0;
        let mut whole = Connection::new(&config, role, NOW, 1);
        whole.handle_input(NOW, &mut bytes.clone());
        let whole = conclusion(whole);
        for at in 0..=bytes.len() {
            let mut cut = Connection::new(&config, role, NOW, 1);
            let (mut one, mut two) = (bytes[..at].to_vec(), bytes[at..].to_vec());
            cut.handle_input(NOW, &mut one);
            cut.handle_input(NOW, &mut two);
            assert_eq!(conclusion(cut), whole, "the {role:?}'s handshake, cut behind byte {at}");
        }
    }
}
