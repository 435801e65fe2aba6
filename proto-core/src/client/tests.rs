//! The dialer under all that can happen to it.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::error::{CloseReason, ProtocolError, TransportError};
use crate::time::Instant;
use crate::wire::{CloseCode, CloseInfo};

const SECOND: Duration = Duration::from_secs(1);
const REFUSED: CloseReason = CloseReason::Transport(TransportError::Other);

fn peer(code: CloseCode, info: CloseInfo) -> CloseReason {
    CloseReason::Peer(code, Some(Arc::new(info)))
}

/// A dialer, and the attempts that it has made.
struct Rig {
    dialer: Dialer,
    now: Instant,
}

impl Rig {
    fn new(config: ReconnectConfig, addresses: usize, seed: u64) -> Self {
        let mut rig = Self { dialer: Dialer::new(config, addresses, seed), now: Instant::EPOCH };
        rig.dialer.start(rig.now);
        rig
    }

    fn attempt(&mut self) -> Option<Attempt> {
        match self.dialer.poll_action() {
            Some(Action::Dial(attempt)) => Some(attempt),
            _ => None,
        }
    }

    /// Lets the time of the next attempt come; says how long that took.
    fn wait(&mut self) -> Option<Duration> {
        let at = self.dialer.poll_timeout()?;
        let waited = at.saturating_since(self.now);
        self.dialer.handle_timeout(at - Duration::from_nanos(1));
        assert_eq!(self.dialer.poll_action(), None, "it dialled before its time");
        self.now = at;
        self.dialer.handle_timeout(at);
        Some(waited)
    }

    fn fail(&mut self, reason: &CloseReason) -> Option<Duration> {
        assert!(self.attempt().is_some());
        self.dialer.ended(self.now, reason);
        self.wait()
    }
}

impl core::ops::Sub<Duration> for Instant {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self::from_nanos(self.as_nanos().saturating_sub(duration.as_nanos() as u64))
    }
}

#[test]
fn the_first_attempt_is_made_at_once_and_the_next_within_half_a_second() {
    let mut rig = Rig::new(ReconnectConfig::default(), 1, 1);
    assert_eq!(rig.attempt().map(|attempt| attempt.number), Some(1));
    rig.dialer.ended(rig.now, &REFUSED);
    assert!(rig.wait().unwrap() <= SECOND / 2);
}

#[test]
fn addresses_are_dialled_in_turn_and_a_good_one_is_the_first_again() {
    let mut rig = Rig::new(ReconnectConfig::default(), 3, 1);
    for expected in [0, 1, 2, 0, 1] {
        let attempt = rig.attempt().unwrap();
        assert_eq!(attempt.target, Target::Listed(expected));
        if expected == 1 && attempt.number > 3 {
            break;
        }
        rig.dialer.ended(rig.now, &REFUSED);
        rig.wait();
    }
    rig.dialer.opened(rig.now);
    rig.now += 31 * SECOND;
    rig.dialer.lives(rig.now);
    rig.dialer.ended(rig.now, &REFUSED);
    rig.wait();
    let attempt = rig.attempt().unwrap();
    assert_eq!((attempt.number, attempt.target), (2, Target::Listed(1)), "a proven life forgets failures");
}

#[test]
fn what_a_server_says_is_obeyed() {
    let info = |change: fn(&mut CloseInfo)| {
        let mut info = CloseInfo::default();
        change(&mut info);
        info
    };
    let later = info(|info| info.retry_after = Some(60 * SECOND));
    let waited = Rig::new(ReconnectConfig::default(), 1, 1).fail(&peer(CloseCode::OVERLOADED, later.clone()));
    assert!((60 * SECOND..=66 * SECOND).contains(&waited.unwrap()));
    let waited = Rig::new(ReconnectConfig::default(), 1, 1).fail(&peer(CloseCode::REFUSED, later));
    assert!(waited.is_some(), "who says when to come back does not mean never");
    let years = info(|info| info.retry_after = Some(Duration::MAX));
    let waited = Rig::new(ReconnectConfig::default(), 1, 1).fail(&peer(CloseCode::NORMAL, years));
    assert!(waited.unwrap() <= 1000 * SECOND, "nobody sends a client away for years");

    let away = info(|info| info.stay_away = true);
    let mut rig = Rig::new(ReconnectConfig::default(), 1, 1);
    assert_eq!(rig.fail(&peer(CloseCode::IDLE, away)), None);
    assert_eq!(rig.dialer.state(), &DialState::GivenUp(GiveUp::StayAway(CloseCode::IDLE)));
    for code in [CloseCode::BAD_CREDENTIALS, CloseCode::REFUSED, CloseCode::UNSUPPORTED_VERSION] {
        let mut rig = Rig::new(ReconnectConfig::default(), 1, 1);
        assert_eq!(rig.fail(&CloseReason::Peer(code, None)), None);
        assert_eq!(rig.dialer.state(), &DialState::GivenUp(GiveUp::Refused(code)));
    }
}

#[test]
fn redirects_are_followed_where_that_is_allowed_and_a_few_times_in_a_row() {
    let redirects = Redirects::to(["*.example.org:7000"]);
    let mut rig = Rig::new(ReconnectConfig { redirects, ..ReconnectConfig::default() }, 1, 1);
    let to = |address: &str| {
        peer(CloseCode::GOING_AWAY, CloseInfo { redirect: Some(address.into()), ..CloseInfo::default() })
    };
    rig.fail(&to("evil.net:7000"));
    assert_eq!(rig.dialer.state(), &DialState::Dialing(Attempt { number: 2, target: Target::Listed(0) }));
    for hop in 0..5 {
        rig.fail(&to("a.example.org:7000"));
        let DialState::Dialing(attempt) = rig.dialer.state() else { panic!("it dials") };
        let followed = matches!(&attempt.target, Target::Redirected { credentials: false, .. });
        assert_eq!(followed, hop < 3, "hop {hop}");
    }
}

#[test]
fn a_client_on_whose_connection_nothing_was_said_rests_until_it_is_wanted() {
    for reason in [CloseReason::Peer(CloseCode::IDLE, None), CloseReason::Local(CloseCode::IDLE)] {
        let mut rig = Rig::new(ReconnectConfig::default(), 1, 1);
        assert!(rig.attempt().is_some());
        rig.dialer.wake(rig.now);
        rig.dialer.opened(rig.now);
        rig.dialer.ended(rig.now, &reason);
        assert_eq!((rig.dialer.state(), rig.dialer.poll_timeout()), (&DialState::Resting, None));
        assert!(!rig.dialer.is_final());
        rig.dialer.wake(rig.now);
        assert!(rig.attempt().is_some());
    }
}

#[test]
fn failures_that_would_last_lead_to_a_pause() {
    let mut rig = Rig::new(ReconnectConfig::default(), 1, 1);
    let stranger = CloseReason::Protocol(ProtocolError::BadPreface { offset: 0, byte: b'H' });
    for failure in 1..=12 {
        let waited = rig.fail(&stranger).unwrap();
        assert_eq!(waited >= 900 * SECOND, failure % 6 == 0, "failure {failure}: {waited:?}");
        assert!(waited <= 990 * SECOND);
    }
}

#[test]
fn after_so_many_attempts_it_gives_up() {
    let config = ReconnectConfig { attempt_limit: Some(3), ..ReconnectConfig::default() };
    let mut rig = Rig::new(config, 2, 1);
    assert!(rig.fail(&REFUSED).is_some() && rig.fail(&REFUSED).is_some());
    assert_eq!(rig.fail(&REFUSED), None);
    assert_eq!(rig.dialer.state(), &DialState::GivenUp(GiveUp::TooManyAttempts(3)));
    assert_eq!(
        Rig::new(ReconnectConfig::default(), 0, 1).dialer.state(),
        &DialState::GivenUp(GiveUp::NoAddress)
    );
}

#[test]
fn the_fixed_delay_is_five_seconds() {
    let config = ReconnectConfig { delay: Delay::FIVE_SECONDS, ..ReconnectConfig::default() };
    let mut rig = Rig::new(config, 1, 1);
    for _ in 0..20 {
        assert_eq!(rig.fail(&REFUSED), Some(5 * SECOND));
    }
}

#[test]
fn whole_ranges_are_drawn_from_and_at_the_cap_too() {
    let mut drawn = Vec::new();
    for seed in 0..1000 {
        let mut rig = Rig::new(ReconnectConfig::default(), 1, seed);
        let waits: Vec<Duration> = (0..12).map(|_| rig.fail(&REFUSED).unwrap()).collect();
        for (failures, waited) in (1..).zip(&waits) {
            assert!(*waited <= Delay::default().bound(failures));
        }
        drawn.push(waits[11]);
    }
    let mut tenths = [0; 10];
    drawn.iter().for_each(|waited| tenths[(waited.as_millis() / 3001) as usize] += 1);
    assert!(tenths.iter().all(|count| (60..150).contains(count)), "{tenths:?}");
}

#[test]
fn a_peer_that_accepts_and_closes_is_not_dialled_in_a_hot_loop() {
    for seed in 0..200 {
        let mut rig = Rig::new(ReconnectConfig::default(), 1, seed);
        let mut attempts = 0;
        while rig.now < Instant::EPOCH + 600 * SECOND {
            attempts += usize::from(rig.attempt().is_some());
            rig.dialer.opened(rig.now);
            // It even says something, but never for long enough.
            rig.dialer.lives(rig.now);
            rig.dialer.ended(rig.now, &CloseReason::Peer(CloseCode::GOING_AWAY, None));
            rig.wait();
        }
        assert!(attempts <= 120, "{attempts} attempts in ten minutes");
    }
}

/// What happens to a dialer.
#[derive(Clone, Debug)]
enum Step {
    Opened,
    Lives,
    Failed(u8),
    Lost(u8),
    Timeout,
    Pass(u64),
    Stop,
}

fn reasons(which: u8) -> CloseReason {
    match which % 6 {
        0 => REFUSED,
        1 => CloseReason::Peer(CloseCode::GOING_AWAY, None),
        2 => CloseReason::Protocol(ProtocolError::BadCredit),
        3 => peer(CloseCode::OVERLOADED, CloseInfo { retry_after: Some(SECOND), ..CloseInfo::default() }),
        4 => CloseReason::Local(CloseCode::MAX_AGE),
        _ => peer(
            CloseCode::GOING_AWAY,
            CloseInfo { redirect: Some("x.org:1".into()), ..CloseInfo::default() },
        ),
    }
}

proptest! {
    /// Whatever happens: at most one attempt or connection at a time, a time to wait for in every state that goes on, and
    /// nothing after a stop.
    #[test]
    fn any_life_keeps_the_rules(
        steps in prop::collection::vec(prop_oneof![
            4 => Just(Step::Opened),
            2 => Just(Step::Lives),
            4 => any::<u8>().prop_map(Step::Failed),
            4 => any::<u8>().prop_map(Step::Lost),
            8 => Just(Step::Timeout),
            3 => (0u64..100_000).prop_map(Step::Pass),
            1 => Just(Step::Stop),
        ], 0..120),
        addresses in 1usize..4,
        seed: u64,
    ) {
        let mut rig = Rig::new(ReconnectConfig::default(), addresses, seed);
        let (mut busy, mut stopped) = (false, false);
        for step in steps {
            while let Some(action) = rig.dialer.poll_action() {
                match action {
                    Action::Dial(_) => {
                        prop_assert!(!busy && !stopped, "it dials beside another attempt, or after it was stopped");
                        busy = true;
                    }
                    Action::HangUp => {
                        prop_assert!(busy && stopped);
                        busy = false;
                    }
                }
            }
            let now = rig.now;
            match step {
                Step::Opened => rig.dialer.opened(now),
                Step::Lives => rig.dialer.lives(now),
                Step::Failed(which) => rig.dialer.ended(now, &reasons(which)),
                Step::Lost(which) => rig.dialer.ended(now, &reasons(which)),
                Step::Timeout => {
                    rig.now = rig.dialer.poll_timeout().unwrap_or(now);
                    rig.dialer.handle_timeout(rig.now);
                }
                Step::Pass(millis) => rig.now += Duration::from_millis(millis),
                Step::Stop => {
                    rig.dialer.stop(now);
                    stopped = true;
                }
            }
            match rig.dialer.state() {
                DialState::Waiting { .. } => {
                    prop_assert!(rig.dialer.poll_timeout().is_some());
                    busy = false;
                }
                DialState::Stopped => prop_assert!(stopped),
                _ => prop_assert_eq!(rig.dialer.poll_timeout(), None),
            }
            prop_assert!(!stopped || rig.dialer.is_final(), "stop is final");
        }
    }
}
