//! A connection knows to the byte what it holds, holds no more than its configuration says, and nothing while idle.
//!
//! All memory of this test binary comes from an allocator that counts, for each thread, the bytes that live.

mod fragments;
mod metered;

use std::cell::Cell;

use conformance::frames::{Draft, Stream};
use conformance::stepwise::label::{Label, Purpose};
use conformance::stepwise::{Action, scenario};
use conformance::{Met, cases};
use metered::{Metered, Peer, carry};
use proptest::prelude::*;
use proto_core::Lane;
use proto_core::wire::{Flags, Kind, Sequence};
use proto_core::{Config, Connection, HeartbeatConfig, Message, Role, SharedConfig, Timeout, TransportError};

/// What a `Connection` takes itself, in bytes, with no heap behind it.
///
/// A server of a million connections pays this a million times: lower it when the connection gets smaller, and raise it
/// only with a reason.
const LARGEST_CONNECTION: usize = 400;

/// Whatever two connections do, `held_bytes` is what the allocator says, to the byte, after every step. When all has
/// been said and taken, they hold nothing, nor when they have ended.
#[test]
fn held_bytes_is_what_the_allocator_says() {
    let [idle, partial, waiting, closing] = <[Met; 4]>::default();
    let step = prop_oneof![3 => scenario::actions().prop_map(Ok), 2 => (1..3000usize).prop_map(Err)];
    let script = prop::collection::vec((scenario::roles(), step), 1..100);
    let limits = (0..3000usize, any::<bool>());
    proptest!(cases(3000), |(config in scenario::configs(), script in script, (undelivered, lively) in limits)| {
        let heartbeat = lively.then(HeartbeatConfig::default);
        let config = Config { undelivered_limit: undelivered, heartbeat, ..(*config).clone() }.share().unwrap();
        let (mut dialer, mut acceptor) = (Peer::new(&config, Role::Dialer), Peer::new(&config, Role::Acceptor));
        for (role, step) in &script {
            let (this, that) = match role {
                Role::Dialer => (&mut dialer, &mut acceptor),
                Role::Acceptor => (&mut acceptor, &mut dialer),
            };
            match step {
                Ok(action) => this.act(action),
                Err(most) => {
                    carry(this, that, *most);
                }
            }
            this.metered.check()?;
            that.metered.check()?;
            closing.add(usize::from(that.metered.connection.close_reason().is_some()));
            partial.add(usize::from(that.metered.live > 100 && that.metered.connection.transmit_len() == 0));
            waiting.add(usize::from(this.metered.live as usize > this.metered.connection.transmit_len() + 2000));
        }
        loop {
            let mut busy = carry(&mut dialer, &mut acceptor, 5000) | carry(&mut acceptor, &mut dialer, 5000);
            for peer in [&mut dialer, &mut acceptor] {
                while peer.poll() {
                    busy = true;
                }
                while !peer.requests.is_empty() {
                    busy = true;
                    peer.act(&Action::Reply { which: 0, size: 10 });
                }
                while !peer.tokens.is_empty() {
                    busy = true;
                    peer.act(&Action::Release { which: 0 });
                }
                // A poll that finds nothing but expired requests answers them.
                busy |= peer.metered.connection.transmit_len() > 0;
                peer.metered.check()?;
            }
            if !busy {
                break;
            }
        }
        let open = dialer.metered.connection.is_open() && acceptor.metered.connection.is_open();
        for peer in [&mut dialer, &mut acceptor] {
            if open {
                peer.metered.act(|connection, _| connection.shrink());
                peer.metered.check()?;
                prop_assert_eq!(peer.metered.live, 0, "an idle connection holds: {:?}", peer.metered.connection);
                idle.add(1);
            }
            peer.metered.act(|connection, now| connection.handle_transport_error(now, TransportError::Reset));
            peer.metered.check()?;
            while peer.poll() {}
            peer.metered.check()?;
        }
    });
    idle.assert("a connection that was idle in the end");
    partial.assert("a connection that held something of what it had received");
    waiting.assert("a connection that held something beside committed bytes");
    closing.assert("a connection that was closing");
}

/// The limits of the victims below, small enough to be reached.
fn small() -> Config {
    Config {
        max_frame: 70_000,
        max_message: 70_000,
        call_slots: 20,
        request_window: 150_000,
        push_window: 150_000,
        // With heartbeats a flood of PINGs would end a connection before it holds much.
        heartbeat: None,
        outbox_limit: 20_000,
        reply_limit: 20_000,
        undelivered_limit: 100_000,
        commit_limit: 10_000,
        ..Config::default()
    }
}

/// A connection whose peer has granted it everything.
fn victim(config: &SharedConfig) -> Metered {
    let generous =
        Config { call_slots: 65_536, request_window: u64::MAX, push_window: u64::MAX, ..Config::default() };
    let mut opening = Stream::opening(Role::Dialer, &generous).0;
    let mut metered = Metered::new(config, Role::Acceptor);
    metered.act(|connection, now| connection.handle_input(now, &mut opening));
    metered.act(|connection, now| connection.accept(now));
    metered
}

/// A peer that reads nothing, sends all that it may and leaves its last frame unfinished, and an application that takes
/// no event and sends all that it can: the connection keeps to its budget.
#[test]
fn a_peer_that_means_harm_cannot_overdraw_the_budget() {
    let config = small().share().unwrap();
    let metadata = |size: usize| {
        let field = [&3u16.to_be_bytes()[..], &(size as u16).to_be_bytes(), &vec![7; size]].concat();
        [&(field.len() as u16).to_be_bytes()[..], &field].concat()
    };
    let ext =
        |stream: Stream, kind, sequence, size| stream.frame(kind, Flags::EXT, sequence, 1, &metadata(size));
    // Message by message: what the peer fills both windows with.
    type Fill = fn(usize) -> usize;
    let fills: [(&str, Fill); 3] = [
        ("empty", |_| 0),
        ("with large metadata", |_| 60_000),
        ("of all sizes", |number| number * 977 % 50_000),
    ];
    for (what, size) in fills {
        for piece in [100_000, 1000, 7] {
            let mut metered = victim(&config);
            let mut calls = Vec::new();
            // The application sends all it can: calls, then empty pushes until they are refused, or for ever.
            for number in 0..150 {
                let label = Label { from: Role::Acceptor, number };
                calls.extend(metered.send(label, Purpose::Request, 6, 0, (Timeout::Never, Lane::Normal)));
            }
            for _ in 0..50_000 {
                metered.act(|connection, now| drop(connection.push(now, Message::default())));
            }
            let mut stream = Stream::new();
            let (mut requests, mut pushes) = (0, 0);
            for number in 0..2_000 {
                let length = size(number);
                let charge = 64 + 6 + length as u64;
                if pushes + charge <= config.push_window {
                    pushes += charge;
                    stream = ext(stream, Kind::Push, Sequence::CONNECTION, length);
                }
                if requests + charge <= config.request_window && number < 20 {
                    requests += charge;
                    stream = ext(stream, Kind::Request, Sequence::call(1, number as u16), length);
                }
                if let Some(call) = calls.get(number).filter(|_| number < 100) {
                    stream = stream.reply(call.sequence(), &vec![1; size(number)]);
                }
                stream = stream.control(Kind::Ping, 0, &[1; 8]);
            }
            // At last a frame that never ends.
            let mut stream =
                stream.control(Kind::Ping, 0, &[1; 8]).reply(calls[100].sequence(), &vec![2; 60_000]).0;
            stream.truncate(stream.len() - 1);
            let budget = config.max_held_bytes(calls.len());
            let mut most = 0;
            for piece in stream.chunks_mut(piece) {
                metered.act(|connection, now| connection.handle_input(now, piece));
                let held = metered.connection.held_bytes();
                assert_eq!(held as isize, metered.live, "held_bytes is wrong");
                most = most.max(held);
                assert!(held <= budget, "{held} bytes are held, {budget} are allowed: messages {what}");
            }
            assert!(most * 30 > budget, "only {most} of {budget} bytes were held: the attack is too weak");
        }
    }
}

/// The same with any pushes and pings, and an application that does something now and then.
#[test]
fn the_budget_holds_for_any_pushes() {
    let most = Cell::new(0);
    let config = small().share().unwrap();
    let step = prop_oneof![
        6 => prop::collection::vec(Draft::of(prop::sample::select(vec![Kind::Push, Kind::Push, Kind::Ping])), 1..20).prop_map(Err),
        4 => scenario::patient_actions().prop_map(Ok),
    ];
    let steps = prop::collection::vec(step, 1..80);
    proptest!(cases(300), |(steps in steps, size in 1..2000usize)| {
        let mut peer = Peer::new(&config, Role::Acceptor);
        peer.metered = victim(&config);
        let mut calls = 0;
        for step in &steps {
            match step {
                Ok(action) => {
                    calls += usize::from(matches!(action, Action::Call { .. }));
                    peer.act(action);
                }
                Err(drafts) => {
                    for piece in drafts.iter().fold(Stream::new(), Stream::draft).0.chunks_mut(size) {
                        peer.metered.act(|connection, now| connection.handle_input(now, piece));
                    }
                }
            }
            peer.metered.check()?;
            let (held, budget) = (peer.metered.connection.held_bytes(), config.max_held_bytes(calls));
            prop_assert!(held <= budget, "{held} bytes are held, {budget} are allowed");
            most.set(most.get().max(held));
        }
    });
    assert!(most.get() > 20_000, "no case held more than {} bytes", most.get());
}

/// A publisher that pushes whenever it likes and never looks at its events: `Writable` does not pile up for it.
#[test]
fn a_publisher_that_takes_no_events_holds_no_more_for_it() {
    let config = small().share().unwrap();
    let (mut dialer, mut acceptor) = (Peer::new(&config, Role::Dialer), Peer::new(&config, Role::Acceptor));
    let mut refused = 0;
    let mut most = 0;
    for _ in 0..2_000 {
        for _ in 0..30 {
            let label = dialer.label();
            let size = 1000;
            refused += dialer.metered.act(|connection, now| {
                usize::from(connection.push(now, label.message(Purpose::Push, size, 0)).is_err())
            });
        }
        carry(&mut dialer, &mut acceptor, usize::MAX);
        while acceptor.poll() {}
        while !acceptor.tokens.is_empty() {
            acceptor.act(&Action::Release { which: 0 });
        }
        carry(&mut acceptor, &mut dialer, usize::MAX);
        most = most.max(dialer.metered.connection.held_bytes() - dialer.metered.connection.transmit_len());
    }
    assert!(refused > 10_000, "only {refused} pushes were refused: nothing had to wait");
    assert!(most < 60_000, "{most} bytes were held beside what is committed");
}

/// What an idle connection costs: itself, also after it has been used.
#[test]
fn an_idle_connection_costs_its_own_size_and_nothing_more() {
    let size = size_of::<Connection>();
    assert!(
        size <= LARGEST_CONNECTION,
        "a Connection takes {size} bytes, LARGEST_CONNECTION says {LARGEST_CONNECTION}"
    );

    let quiet = Config { heartbeat: None, ..Config::default() };
    costs_nothing_when_idle(&quiet.share().unwrap());
    costs_nothing_when_idle(&SharedConfig::default());
}

fn costs_nothing_when_idle(config: &SharedConfig) {
    let (mut dialer, mut acceptor) = (Peer::new(config, Role::Dialer), Peer::new(config, Role::Acceptor));
    let settle = |dialer: &mut Peer, acceptor: &mut Peer| {
        for _ in 0..10 {
            carry(dialer, acceptor, usize::MAX);
            while acceptor.poll() {}
            acceptor.act(&Action::Reply { which: 0, size: 5000 });
            carry(acceptor, dialer, usize::MAX);
            while dialer.poll() {}
        }
    };
    settle(&mut dialer, &mut acceptor);
    assert!(dialer.metered.connection.is_open() && acceptor.metered.connection.is_open());
    dialer.act(&Action::Call { size: 5000, metadata: 100, timeout: None, lane: Lane::Normal });
    assert_eq!(dialer.calls.len(), 1);
    settle(&mut dialer, &mut acceptor);
    assert_eq!(dialer.calls.len(), 0, "the call was answered");
    for peer in [&mut dialer, &mut acceptor] {
        peer.metered.act(|connection, _| connection.shrink());
        let live = peer.metered.live;
        assert_eq!(live, 0, "after one call: {:?}", peer.metered.connection);
    }
}
