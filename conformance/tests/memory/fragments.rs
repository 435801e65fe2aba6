//! Messages in fragments and in all lanes, towards and from a peer that never takes what it is sent, never releases and
//! never answers: the budget holds, and what is held is counted to the byte.

use std::cell::Cell;

use conformance::frames::Stream;
use conformance::stepwise::label::{Label, Purpose};
use conformance::stepwise::{Action, scenario};
use conformance::{LANES, Met, cases};
use proptest::prelude::*;
use proto_core::wire::{Flags, Kind, Sequence};
use proto_core::{Config, Lane, Role, SharedConfig, Timeout};

use crate::metered::Peer;
use crate::{small, victim};

/// What the peer does, of which only bytes exist, and what the application of its victim does.
#[derive(Clone, Debug)]
enum Move {
    App(Action),
    /// A message begins, of this kind, length and lane; with this much of it.
    First(Kind, usize, Lane, usize),
    /// One of the messages that have begun goes on.
    More(usize, usize),
    /// So much is taken of what the victim sends.
    Take(usize),
}

fn moves() -> impl Strategy<Value = Move> {
    let kind = prop_oneof![1 => Just(Kind::Request), 1 => Just(Kind::Reply), 2 => Just(Kind::Push)];
    let total = prop_oneof![2 => 10..3000usize, 3 => 3000..60_000usize];
    let lane = scenario::lanes;
    let size = || prop_oneof![1 => 6..500usize, 2 => 5000..60_000usize];
    let which = || 0..100usize;
    let app = prop_oneof![
        3 => (size(), lane()).prop_map(|(size, lane)| Action::Push { size, metadata: 300, lane }),
        2 => (size(), lane()).prop_map(|(size, lane)| Action::Call { size, metadata: 0, timeout: None, lane }),
        3 => (which(), size()).prop_map(|(which, size)| Action::Reply { which, size }),
        1 => which().prop_map(|which| Action::Cancel { which }),
        2 => (1..6usize).prop_map(Action::Poll),
    ];
    prop_oneof![
        4 => app.prop_map(Move::App),
        5 => (kind, total, lane(), 0..9000usize).prop_map(|(kind, total, lane, part)| Move::First(kind, total, lane, part)),
        7 => (which(), 1..9000usize).prop_map(|(which, part)| Move::More(which, part)),
        1 => (1..30_000usize).prop_map(Move::Take),
    ]
}

/// A message of the peer that has begun.
#[derive(Clone, Copy, Debug)]
struct Begun {
    kind: Kind,
    id: Sequence,
    lane: Lane,
    left: usize,
}

impl Begun {
    fn frame(&self, flags: Flags, payload: &[u8]) -> Stream {
        let origin = if self.kind == Kind::Reply { Flags::ORIGIN } else { Flags::empty() };
        let code = if self.kind == Kind::Reply { 0 } else { 1 };
        Stream::new().frame(self.kind, flags.with(origin).with_lane(self.lane), self.id, code, payload)
    }
}

/// LW-6.7, LW-6.9, LW-6.10: whatever begins and never ends, and whatever is never taken, in whatever lane: after every step
/// `held_bytes` is what the allocator says, and no more than the budget.
#[test]
fn fragments_stay_within_the_budget() {
    let [unfinished, whole, sent_in_pieces, lost] = <[Met; 4]>::default();
    let most = Cell::new(0);
    let strategy = (prop::collection::vec(moves(), 1..150), 4096..20_000u32, 1..10_000usize, any::<bool>());
    proptest!(cases(400), |((moves, max_frame, piece, reads) in strategy)| {
        let config = Config { max_frame, call_timeout: None, ..small() }.share().expect("sound limits");
        let mut peer = Peer::new(&config, Role::Acceptor);
        peer.metered = victim(&config);
        // Calls that the peer may answer: small, so that all of them are committed.
        let answerable: Vec<Sequence> = (0..40)
            .filter_map(|number| {
                let label = Label { from: Role::Acceptor, number };
                let lane = LANES[number as usize % 3];
                peer.metered.send(label, Purpose::Request, 6, 0, (Timeout::Never, lane))
            })
            .map(|call| call.sequence())
            .collect();
        let (mut answerable, mut calls) = (answerable.into_iter(), 40);
        let (mut requests, mut pushes, mut slot, mut generation) = (config.request_window, config.push_window, 0, 0);
        let mut begun: Vec<Begun> = Vec::new();
        for step in moves {
            let stream = match step {
                Move::App(action) => {
                    calls += usize::from(matches!(action, Action::Call { .. }));
                    peer.act(&action);
                    Stream::new()
                }
                Move::Take(most) => {
                    let taken = if reads { most } else { 0 };
                    peer.metered.act(|connection, now| connection.advance_transmit(now, taken));
                    Stream::new()
                }
                Move::First(kind, total, lane, part) => {
                    let (charge, part) = (64 + total as u64, part.min(total - 1).min(max_frame as usize - 4));
                    let push = (0..16).find(|slot| !begun.iter().any(|own| own.kind == Kind::Push && own.id.slot() == *slot));
                    let id = match kind {
                        Kind::Request if charge <= requests && slot < 20 => Some(Sequence::call(1, slot)),
                        Kind::Push if charge <= pushes => push.map(|slot| Sequence::call(generation + 1, slot)),
                        Kind::Reply => answerable.next(),
                        _ => None,
                    };
                    let Some(id) = id else { continue };
                    match kind {
                        Kind::Request => (requests, slot) = (requests - charge, slot + 1),
                        Kind::Push => (pushes, generation) = (pushes - charge, generation + 1),
                        _ => {}
                    }
                    let own = Begun { kind, id, lane, left: total - part };
                    begun.push(own);
                    let payload = [&(total as u32).to_be_bytes()[..], &vec![1; part]].concat();
                    own.frame(Flags::MORE, &payload)
                }
                Move::More(which, part) => {
                    let count = begun.len().max(1);
                    let Some(own) = begun.get_mut(which % count) else { continue };
                    let part = part.min(own.left).min(max_frame as usize);
                    own.left -= part;
                    let own = *own;
                    if own.left == 0 {
                        begun.swap_remove(which % count);
                    }
                    whole.add(usize::from(own.left == 0));
                    own.frame(if own.left == 0 { Flags::empty() } else { Flags::MORE }, &vec![2; part])
                }
            };
            for piece in stream.0.clone().chunks_mut(piece) {
                peer.metered.act(|connection, now| connection.handle_input(now, piece));
                peer.metered.check()?;
            }
            peer.metered.check()?;
            let connection = &peer.metered.connection;
            let (held, budget) = (connection.held_bytes(), config.max_held_bytes(calls));
            prop_assert!(held <= budget, "{held} bytes are held, {budget} are allowed");
            lost.add(usize::from(connection.close_reason().is_some()));
            most.set(most.get().max(held));
        }
        unfinished.add(usize::from(begun.len() > 5));
        sent_in_pieces.add(usize::from(peer.metered.connection.transmit_len() > max_frame as usize));
    });
    unfinished.assert("several messages that had begun and not ended");
    whole.assert("a message that came in fragments");
    sent_in_pieces.assert("a message that was sent in fragments");
    assert_eq!(lost.count(), 0, "the peer kept to the rules, and connections ended");
    assert!(most.get() > 250_000, "no case held more than {} bytes", most.get());
}

/// A body of which pieces are committed behind those of another body of its lane, and of which the rest still waits, is
/// counted once: it was counted twice.
#[test]
fn a_body_behind_another_of_its_lane_is_counted_once() -> Result<(), TestCaseError> {
    let config = Config { max_frame: 9000, commit_limit: 30_000, outbox_limit: 1 << 20, ..small() };
    let mut peer = Peer::new(&SharedConfig::default(), Role::Acceptor);
    peer.metered = victim(&config.share().expect("sound limits"));
    for _ in 0..4 {
        peer.act(&Action::Push { size: 20_000, metadata: 0, lane: Lane::Bulk });
        peer.metered.check()?;
    }
    while peer.metered.connection.transmit_len() > 0 {
        peer.metered.act(|connection, now| connection.advance_transmit(now, 1000));
        peer.metered.check()?;
    }
    Ok(())
}

/// LW-6.7, LW-6.9: the peer has everything begun that it may, in fragments and in all lanes, takes nothing, and the application
/// sends all it can and takes nothing either: whatever can pile up stops at its limit.
#[test]
fn all_that_piles_up_stops_at_its_limit() -> Result<(), TestCaseError> {
    const MANY: u16 = 200;
    for max_frame in [4096, 9000, 70_000] {
        let config = Config { max_frame, call_slots: MANY.into(), call_timeout: None, ..small() };
        let config = config.share().expect("sound limits");
        let mut peer = Peer::new(&config, Role::Acceptor);
        peer.metered = victim(&config);
        let most = Cell::new(0);
        let check = |peer: &Peer| {
            let (held, budget) = (peer.metered.connection.held_bytes(), config.max_held_bytes(MANY.into()));
            prop_assert!(held <= budget, "{held} bytes are held, {budget} are allowed");
            prop_assert!(peer.metered.connection.is_open(), "{:?}", peer.metered.connection.close_reason());
            most.set(most.get().max(held));
            peer.metered.check()
        };
        let send = |peer: &mut Peer, own: Begun, flags, payload: &[u8]| {
            let mut stream = own.frame(flags, payload).0;
            peer.metered.act(|connection, now| connection.handle_input(now, &mut stream));
            check(peer)
        };
        let first = |total: usize, part: usize| [&(total as u32).to_be_bytes()[..], &vec![1; part]].concat();
        let lane = |number: u16| LANES[usize::from(number) % 3];
        for number in 0..MANY {
            peer.act(&Action::Call { size: 6, metadata: 0, timeout: None, lane: lane(number) });
            let id = Sequence::call(1, number);
            let own = Begun { kind: Kind::Request, id, lane: lane(number), left: 1 };
            send(&mut peer, own, Flags::MORE, &first(2, 1))?;
            send(&mut peer, own, Flags::empty(), b"!")?;
        }
        while peer.poll() {}
        for number in 0..MANY {
            peer.act(&Action::Reply { which: 0, size: 60_000 });
            check(&peer)?;
            peer.act(&Action::Push { size: 60_000, metadata: 0, lane: lane(number) });
            check(&peer)?;
        }
        for number in 0..2 {
            let own = Begun { kind: Kind::Push, id: Sequence::call(1, number), lane: lane(number), left: 0 };
            send(&mut peer, own, Flags::MORE, &first(70_000, 4000))?;
        }
        let calls: Vec<Sequence> = peer.calls.iter().map(|call| call.sequence()).collect();
        for part in 0..10 {
            for (number, &id) in (0u16..).zip(&calls) {
                let own = Begun { kind: Kind::Reply, id, lane: lane(number), left: 0 };
                match part {
                    0 => send(&mut peer, own, Flags::MORE, &first(36_010, 10))?,
                    9 => send(&mut peer, own, Flags::empty(), &[3; 4000])?,
                    _ => send(&mut peer, own, Flags::MORE, &[2; 4000])?,
                }
            }
        }
        let least = config.outbox_limit + config.reply_limit + config.undelivered_limit / 2;
        assert!(most.get() > least, "only {} bytes piled up", most.get());
    }
    Ok(())
}
