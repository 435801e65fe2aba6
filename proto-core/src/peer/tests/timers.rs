//! The driver's timer: it is never later than the next thing that is due, and is set as rarely as that allows.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Poll, Waker};

use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;

use super::{Count, NoHandler, Rig, Time, Writing, body, poll};
use crate::config::HeartbeatConfig;
use crate::error::CloseReason;
use crate::peer::{Call, CallError, on_push};
use crate::wire::{Extensions, StatusCode};
use crate::{Config, Instant, Limit, Message};

const SECOND: Duration = Duration::from_secs(1);

fn open(heartbeat: Option<HeartbeatConfig>) -> Rig<NoHandler> {
    let config = || Config { heartbeat, ..Config::default() };
    Rig::open_with(NoHandler, config(), config())
}

impl Rig<NoHandler> {
    /// Drives for as long as the driver wants it, as an executor would; then its timer is all that can wake it in time.
    #[track_caller]
    fn rest(&mut self) {
        let mut before = self.woken.so_far();
        for drives in 0.. {
            assert!(drives < 4, "it does not come to rest");
            self.exchange();
            // The one that ends it may come with the last byte, or with the time.
            let _ = self.drive();
            let woken = self.woken.so_far();
            let heard = self.transport.script(|script| !script.output.is_empty());
            if woken == before && !heard {
                break;
            }
            before = woken;
        }
        let due = self.peer().shared().lock().next_deadline();
        if let Some(due) = due {
            let alarm = self.alarm.next();
            assert!(alarm.is_some_and(|at| at <= due), "{alarm:?} is too late for {due:?}");
        }
    }

    /// Lets time pass in which the driver is woken by its timer, and by what the peer says to show that it is there.
    fn sleep(&mut self, time: Duration) {
        let end = self.time.now() + time;
        loop {
            let far = self.far.poll_timeout().map(|deadline| deadline.at);
            let Some(at) = self.alarm.next().into_iter().chain(far).min().filter(|&at| at <= end) else {
                break;
            };
            self.pass_until(at);
            self.far.handle_timeout(at);
            if self.far.transmit_len() > 0 || self.alarm.state(|alarm| alarm.at) == Some(at) {
                self.rest();
            }
        }
        self.pass_until(end);
    }

    fn pass_until(&self, at: Instant) {
        self.time.pass(at.saturating_since(self.time.now()));
    }
}

/// With heartbeats every byte moves the next deadline, but away: the timer may stay where it is until it goes off.
#[test]
fn messages_do_not_set_the_timer() {
    let minute = 60 * SECOND;
    for messages in [60, 10_000] {
        let mut rig = open(Some(HeartbeatConfig::default()));
        for _ in 0..messages {
            let mut call = Box::pin(rig.peer().call(1, "how are you?"));
            assert!(poll(call.as_mut()).is_pending());
            rig.far.push(rig.time.now(), Message::new(1, "news")).unwrap();
            rig.rest();
            rig.echo();
            rig.rest();
            assert!(poll(call.as_mut()).is_ready());
            rig.sleep(minute / messages);
        }
        let settings = rig.alarm.state(|alarm| alarm.settings);
        // The calls' deadlines are 10 s away, and a PING is later: two settings for each time that it goes off.
        assert!(settings <= 2 * 7, "{messages} messages in a minute set the timer {settings} times");
    }
}

/// A deadline that becomes the next one when the driver has looked, and before it has gone to rest, is not missed.
#[test]
fn a_call_that_gets_in_line_while_the_driver_goes_to_rest_is_not_forgotten() {
    let mut rig = Rig::open(NoHandler, 1);
    let peer = rig.peer();
    let mut slot = Box::pin(peer.call(1, "takes the slot").timeout(20 * SECOND));
    assert!(poll(slot.as_mut()).is_pending());
    rig.rest();
    let (send, receive) = std::sync::mpsc::channel();
    let late = peer.call(1, "gives no work, but has a deadline").timeout(SECOND);
    rig.alarm.state(|alarm| {
        alarm.meanwhile = Some(Box::new(move || {
            let mut late = Box::pin(late);
            assert!(poll(late.as_mut()).is_pending());
            send.send(late).unwrap();
        }));
    });
    // It wakes the driver, so that nobody else can before the driver has gone to rest again; and has it set the timer.
    let mut first = Box::pin(peer.call(1, "is in line before it").timeout(2 * SECOND));
    assert!(poll(first.as_mut()).is_pending());
    rig.rest();
    let mut late = receive.try_recv().expect("the timer is set for the first in line");
    rig.sleep(SECOND);
    assert!(matches!(poll(late.as_mut()), Poll::Ready(Err(CallError::TimedOut(_)))));
}

/// Whoever calls while the driver is to have its turn leaves the time to it.
#[test]
fn a_call_that_was_made_without_asking_for_the_time_has_its_deadline() {
    let mut rig = Rig::open(NoHandler, 8);
    let peer = rig.peer();
    rig.rest();
    // What has to be written cannot be, so that it gives no further turn.
    rig.transport.script(|script| script.writing = Writing::Owning(1));
    // The first one wakes the driver. The second one finds it awake, the third one when it has looked at its deadlines.
    let mut calls = [5, 2].map(|seconds| Box::pin(peer.call(1, "").timeout(seconds * SECOND)));
    let third = Arc::new(Mutex::new(peer.call(1, "").timeout(SECOND)));
    assert!(calls.iter_mut().all(|call| poll(call.as_mut()).is_pending()));
    let late = third.clone();
    rig.alarm.state(|alarm| {
        alarm.meanwhile =
            Some(Box::new(move || assert!(poll(Pin::new(&mut *late.lock().unwrap())).is_pending())));
    });
    rig.rest();
    rig.sleep(SECOND);
    let is_over = |polled| matches!(polled, Poll::Ready(Err(CallError::TimedOut(_))));
    assert!(is_over(poll(Pin::new(&mut *third.lock().unwrap()))));
    assert!(poll(calls[1].as_mut()).is_pending());
    rig.sleep(SECOND);
    assert!(is_over(poll(calls[1].as_mut())));
    assert!(poll(calls[0].as_mut()).is_pending());
}

/// Timers of many runtimes go off a little late. Nobody waits for one that is not needed any more.
#[test]
fn a_timer_that_is_late_gives_no_turns() {
    let mut rig = open(Some(HeartbeatConfig::default()));
    rig.rest();
    rig.alarm.state(|alarm| alarm.late = Duration::from_millis(1));
    let at = rig.alarm.next().expect("heartbeats have a deadline");
    rig.sleep(Duration::from_millis(100));
    // What is said moves the deadline away from where the timer is set.
    rig.peer().push(1, "").unwrap();
    rig.rest();
    rig.pass_until(at);
    let before = rig.transport.script(|script| script.reads);
    assert!(rig.drive().is_pending());
    assert!(rig.transport.script(|script| script.reads) - before <= 2);
}

/// The timer wakes the task that drives the connection now, which need not be the one that did when it was set.
#[test]
fn a_driver_that_moves_to_another_task_is_woken_there() {
    let mut rig = open(Some(HeartbeatConfig::default()));
    rig.rest();
    rig.woken = Arc::new(Count::default());
    assert!(rig.drive().is_pending());
    let wakes = rig
        .alarm
        .state(|alarm| alarm.waker.as_ref().map(|waker| waker.will_wake(&Waker::from(rig.woken.clone()))));
    assert_eq!(wakes, Some(true));
}

#[test]
fn silence_is_noticed_by_the_timer_alone() {
    let mut rig = open(Some(HeartbeatConfig::default()));
    rig.rest();
    // The peer's last word moved the deadline away from where the timer is set.
    rig.sleep(5 * SECOND);
    rig.far.push(rig.time.now(), Message::new(1, "the last word")).unwrap();
    rig.rest();
    let last_word = rig.time.now();
    while rig.peer().close_reason().is_none() {
        let at = rig.alarm.next().expect("a peer that is silent for ever is noticed");
        rig.pass_until(at);
        let _ = rig.drive();
        // The way is broken: nothing that is written arrives.
        rig.transport.script(|script| script.output.clear());
    }
    assert_eq!(rig.peer().close_reason(), Some(CloseReason::TimedOut(Limit::Silence)));
    assert_eq!(rig.time.now(), last_word + 25 * SECOND);
}

#[derive(Clone, Debug)]
enum Step {
    Call(Duration),
    Answer,
    Push,
    Sleep(Duration),
}

proptest! {
    /// Whatever deadlines come and go, and with the timer alone to wake the driver, every call ends when it must.
    #[test]
    fn no_deadline_is_missed(
        lively: bool,
        steps in prop::collection::vec(
            prop_oneof![
                3 => (1..40_000u64).prop_map(|millis| Step::Call(Duration::from_millis(millis))),
                2 => Just(Step::Answer),
                2 => Just(Step::Push),
                4 => (0..30_000u64).prop_map(|millis| Step::Sleep(Duration::from_millis(millis))),
            ],
            1..60,
        ),
    ) {
        let mut rig = open(lively.then(HeartbeatConfig::default));
        let mut calls: Vec<(Instant, Pin<Box<Call>>)> = Vec::new();
        for step in steps {
            match step {
                Step::Call(timeout) => {
                    let mut call = Box::pin(rig.peer().call(1, "").timeout(timeout));
                    prop_assert!(poll(call.as_mut()).is_pending());
                    calls.push((rig.time.now() + timeout, call));
                }
                Step::Answer => rig.echo(),
                Step::Push => drop(rig.far.push(rig.time.now(), Message::new(1, ""))),
                Step::Sleep(time) => rig.sleep(time),
            }
            rig.rest();
            let now = rig.time.now();
            calls.retain_mut(|(_, call)| poll(call.as_mut()).is_pending());
            prop_assert!(calls.iter().all(|&(due, _)| due > now), "a call is overdue at {now:?}");
            prop_assert!(rig.peer().is_open(), "{:?}", rig.peer().close_reason());
        }
    }
}

/// A peer whose words lie unread is not silent, however long handlers work without a pause.
#[test]
fn a_driver_that_is_late_takes_all_replies_before_it_calls_anything_late() {
    let mut rig = Rig::open(NoHandler, 64);
    let peer = rig.peer();
    let mut calls: Vec<_> = (0..64).map(|_| Box::pin(peer.call(1, vec![7; 200]).timeout(SECOND))).collect();
    calls.iter_mut().for_each(|call| assert!(poll(call.as_mut()).is_pending()));
    assert!(rig.turn().is_pending());
    rig.echo();
    rig.exchange();
    rig.time.pass(2 * SECOND);
    // One read brings a part of them.
    assert!(rig.drive().is_pending() && rig.drive().is_pending());
    for call in &mut calls {
        assert_eq!(body(poll(call.as_mut())).len(), 200);
    }
}

#[test]
fn deadlines_come_while_every_turn_wakes_callers() {
    let mut rig = Rig::open(NoHandler, 3);
    let peer = rig.peer();
    let mut late = Box::pin(peer.call(2, "").timeout(SECOND));
    let mut waiting = Box::pin(peer.call(1, ""));
    assert!(poll(late.as_mut()).is_pending() && poll(waiting.as_mut()).is_pending());
    assert!(rig.turn().is_pending());
    for turn in 0..100 {
        for (id, message) in rig.requests().into_iter().filter(|(_, message)| message.number == 1) {
            rig.far.reply(rig.time.now(), id, StatusCode::OK, Extensions::none(), message.body).unwrap();
        }
        rig.exchange();
        let mut next = Box::pin(peer.call(1, ""));
        assert!(poll(next.as_mut()).is_pending());
        rig.time.pass(SECOND / 50);
        let before = rig.woken.so_far();
        assert!(rig.drive().is_pending());
        assert_eq!(rig.woken.so_far(), before + 1);
        assert!(poll(waiting.as_mut()).is_ready());
        waiting = next;
        rig.deliver();
        if let Poll::Ready(outcome) = poll(late.as_mut()) {
            assert!(outcome.is_err() && (49..=50).contains(&turn), "{outcome:?} at {turn}");
            return;
        }
    }
    panic!("no deadline came");
}

#[test]
fn handlers_that_take_their_time_do_not_make_the_peer_silent() {
    let (time, run) = (Time::default(), Arc::new(Count::default()));
    let (works, runs) = (time.clone(), run.clone());
    let handler = on_push(move |_, _| {
        runs.add();
        works.pass(SECOND);
        async {}
    });
    let mut rig = Rig::open_at(time, handler);
    for _ in 0..100 {
        rig.far.push(rig.time.now(), Message::new(1, "")).unwrap();
    }
    // All of them come in one read.
    rig.exchange();
    while run.so_far() < 100 {
        assert!(rig.drive().is_pending(), "given up after {} of 100", run.so_far());
        let now = rig.time.now();
        rig.far.handle_timeout(now);
        rig.exchange();
    }
    assert!(rig.turn().is_pending());
    assert_eq!(rig.peer().close_reason(), None);
}
