//! Ten thousand clients that lose their server in one instant: they come back soon, and never all at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use conformance::cases;
use proptest::prelude::*;
use proto_core::client::{Action, DialState, Dialer, ReconnectConfig};
use proto_core::{CloseReason, Instant, TransportError};

const CLIENTS: usize = 10_000;
const SECOND: Duration = Duration::from_secs(1);
const DOWN: CloseReason = CloseReason::Transport(TransportError::Unreachable);

/// What a server that comes back after a while sees of the fleet.
struct Seen {
    /// Attempts in each second since the loss.
    attempts: Vec<usize>,
    /// When the last client was back, after the server was.
    last: Duration,
}

/// All clients are open and proven; at once they are lost, and every attempt fails until `down` has passed.
fn lose_all(config: &ReconnectConfig, down: Duration, seed: u64) -> Seen {
    let mut now = Instant::EPOCH;
    let mut clients: Vec<Dialer> =
        (0..CLIENTS).map(|client| Dialer::new(config.clone(), 1, seed.wrapping_add(client as u64))).collect();
    for client in &mut clients {
        client.start(now);
        while client.poll_action().is_some() {}
        client.opened(now);
    }
    now += 60 * SECOND;
    let lost = now;
    let mut due = BinaryHeap::new();
    for (number, client) in clients.iter_mut().enumerate() {
        client.lives(now);
        client.ended(now, &DOWN);
        due.extend(client.poll_timeout().map(|at| Reverse((at, number))));
    }
    let mut seen = Seen { attempts: Vec::new(), last: Duration::ZERO };
    while let Some(Reverse((at, number))) = due.pop() {
        let client = &mut clients[number];
        client.handle_timeout(at);
        assert!(matches!(client.poll_action(), Some(Action::Dial(_))));
        let after = at.saturating_since(lost);
        let second = after.as_secs() as usize;
        seen.attempts.resize(seen.attempts.len().max(second + 1), 0);
        seen.attempts[second] += 1;
        if after < down {
            client.ended(at, &DOWN);
            due.extend(client.poll_timeout().map(|at| Reverse((at, number))));
        } else {
            client.opened(at);
            seen.last = seen.last.max(after - down);
        }
    }
    assert!(clients.iter().all(|client| *client.state() == DialState::Open), "somebody never came back");
    seen
}

/// All of them are back within the cap after the server is; and once the first spread is over, a server that is down sees
/// no more than twice what the cap alone would bring.
#[test]
fn a_fleet_comes_back_in_time_and_spread() {
    proptest!(cases(12), |(seed: u64, down in 60..300u64)| {
        let config = ReconnectConfig::default();
        let seen = lose_all(&config, Duration::from_secs(down), seed);
        prop_assert!(seen.last <= 30 * SECOND, "the last one was back after {:?}", seen.last);
        // The mean delay at the cap is 15 s.
        let steady = CLIENTS / 15;
        let most = seen.attempts[45..].iter().max().copied().unwrap_or_default();
        prop_assert!(most <= 2 * steady, "{most} attempts in one second, where {steady} are the mean");
    });
}

/// A server that is back at once is not met by all of them at once.
#[test]
fn a_short_loss_is_spread_too() {
    proptest!(cases(12), |(seed: u64)| {
        let seen = lose_all(&ReconnectConfig::default(), Duration::ZERO, seed);
        prop_assert!(seen.last <= 2 * SECOND);
        prop_assert!(seen.attempts[0] < CLIENTS * 9 / 10, "{:?}", seen.attempts);
    });
}
