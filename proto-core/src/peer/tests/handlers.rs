//! Handlers: what they take their time for, who hears of the end, and what happens when they panic.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::{pending, poll_fn};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use super::{Count, Rig, Time, poll};
use crate::error::CloseReason;
use crate::peer::{CallError, Handler, Refuse, on_push, on_request};
use crate::wire::{CloseCode, CloseInfo, Extensions, StatusCode};
use crate::{Config, Message, Role, Timeout};

const MILLI: Duration = Duration::from_millis(1);

#[test]
fn handlers_that_panic_when_they_are_dropped_do_not_keep_the_end_from_coming() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let told = Arc::new(Count::default());
    let hears = told.clone();
    let handler = on_request(|_, _| {
        let bomb = Bomb;
        async move {
            let _bomb = bomb;
            pending().await
        }
    })
    .on_close(move |_, _| hears.add());
    let mut rig = Rig::open(handler, 1);
    rig.ask(3);
    assert!(rig.turn().is_pending());
    rig.peer().abort(CloseCode::INTERNAL);
    assert_eq!(rig.drive(), Poll::Ready(CloseReason::Local(CloseCode::INTERNAL)));
    assert_eq!(told.so_far(), 1);
}

#[test]
fn a_request_whose_time_passes_while_the_handler_before_it_works_is_not_run() {
    let (time, run) = (Time::default(), Arc::new(Count::default()));
    let (works, runs) = (time.clone(), run.clone());
    let handler = on_request(move |_, _| {
        runs.add();
        works.pass(Duration::from_millis(50));
        async { Ok("done".into()) }
    });
    let mut rig = Rig::open_at(time, handler);
    for millis in [60, 60, 60, 1000] {
        let timeout = Timeout::After(Duration::from_millis(millis));
        rig.far.call(rig.time.now(), Message::new(1, ""), timeout).unwrap();
    }
    for _ in 0..6 {
        assert!(rig.turn().is_pending());
    }
    let (ok, expired) = (StatusCode::OK, StatusCode::DEADLINE_EXPIRED);
    assert_eq!(rig.statuses(), [ok, ok, expired, ok]);
    assert_eq!(run.so_far(), 3);
    assert_eq!(rig.peer().counters().requests_expired, 1);
}

const REQUESTS: usize = 1000;

/// A thousand requests come in one read, each of which keeps its handler busy for a millisecond.
#[track_caller]
fn assert_fair(time: Time, served: &Count, handler: impl Handler, each_turn_reads: bool) {
    let mut rig = Rig::open_at(time, handler);
    rig.ask(REQUESTS);
    rig.exchange();
    // Something that is read when the requests have been dealt with, and not before.
    rig.far.push(rig.time.now(), Message::new(1, "last")).unwrap();
    rig.exchange();
    let mut polls = 0;
    while served.so_far() < REQUESTS {
        let (before, woken) = (served.so_far(), rig.woken.so_far());
        // All frames but that of the handshake are requests until the last one comes.
        let had = (rig.peer().counters().frames_received as usize).saturating_sub(1);
        let reads = rig.transport.script(|script| script.reads);
        assert!(rig.drive().is_pending());
        let now = served.so_far();
        // The clock is not asked behind each of them as long as they are quick.
        assert!(now - before <= 4, "{} handlers were at work before others had their turn", now - before);
        assert!(now == REQUESTS || rig.woken.so_far() > woken, "it rests, and {now} requests were served");
        let read_nothing = rig.transport.script(|script| script.reads) == reads;
        assert!(
            each_turn_reads || read_nothing || now >= had,
            "it read more when {now} of {had} requests were served"
        );
        polls += 1;
        assert!(polls <= 2 * REQUESTS + 10, "{now} requests were served");
    }
    assert!(polls > REQUESTS / 2, "{polls} turns");
    for _ in 0..4 {
        assert!(rig.turn().is_pending());
    }
    assert_eq!(rig.statuses(), vec![StatusCode::OK; REQUESTS]);
}

#[test]
fn handlers_that_do_not_wait_let_others_have_their_turn_and_nothing_more_is_read_meanwhile() {
    let (time, served) = (Time::default(), Arc::new(Count::default()));
    let (works, serves) = (time.clone(), served.clone());
    let handler = on_request(move |_, _| {
        serves.add();
        works.pass(MILLI);
        async { Ok("".into()) }
    });
    assert_fair(time, &served, handler, false);
}

#[test]
fn handlers_that_work_after_they_waited_let_others_have_their_turn() {
    let (time, served) = (Time::default(), Arc::new(Count::default()));
    let (works, serves) = (time.clone(), served.clone());
    let handler = on_request(move |_, _| {
        let (works, serves, mut waited) = (works.clone(), serves.clone(), false);
        poll_fn(move |cx| {
            if !core::mem::replace(&mut waited, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            serves.add();
            works.pass(MILLI);
            Poll::Ready(Ok("".into()))
        })
    });
    assert_fair(time, &served, handler, true);
}

#[test]
fn pushes_that_keep_their_handler_busy_let_others_have_their_turn() {
    let (time, taken) = (Time::default(), Arc::new(Count::default()));
    let (works, takes) = (time.clone(), taken.clone());
    let handler = on_push(move |_, _| {
        takes.add();
        works.pass(MILLI);
        async {}
    });
    let mut rig = Rig::open_at(time, handler);
    for _ in 0..100 {
        rig.far.push(rig.time.now(), Message::new(1, "")).unwrap();
    }
    rig.exchange();
    let mut before = 0;
    for turn in 0.. {
        assert!(rig.drive().is_pending());
        let most = if turn == 0 { 4 } else { 1 };
        assert!((before + 1..=before + most).contains(&taken.so_far()), "{} after {before}", taken.so_far());
        before = taken.so_far();
        if before == 100 {
            break;
        }
    }
}

/// How a handler's `open` goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opens {
    Yes,
    No,
    /// It has not decided when the connection ends.
    Late,
}

/// A handler whose `open` waits for a sign, and how often `open` said yes and `close` was called.
struct Gate {
    sign: Arc<AtomicBool>,
    opened: Arc<Count>,
    closed: Arc<Mutex<Vec<CloseReason>>>,
}

impl Gate {
    fn new() -> Self {
        Self { sign: Arc::default(), opened: Arc::default(), closed: Arc::default() }
    }

    fn handler(&self, opens: Opens) -> impl Handler + use<> {
        let (sign, opened, closed) = (self.sign.clone(), self.opened.clone(), self.closed.clone());
        on_request(|_, _| async { Ok("".into()) })
            .on_open(move |_, _| {
                let (sign, opened) = (sign.clone(), opened.clone());
                async move {
                    poll_fn(|cx| {
                        cx.waker().wake_by_ref();
                        if sign.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
                    })
                    .await;
                    if opens == Opens::No {
                        return Err(Refuse::new(CloseCode::REFUSED, ""));
                    }
                    opened.add();
                    Ok(())
                }
            })
            .on_close(move |_, reason| closed.lock().unwrap().push(reason.clone()))
    }
}

#[test]
fn close_follows_each_open_that_let_somebody_in_once_and_no_other() {
    for opens in [Opens::Yes, Opens::No, Opens::Late] {
        for leaves_first in [false, true] {
            let gate = Gate::new();
            let mut rig = Rig::start(
                Role::Acceptor,
                gate.handler(opens),
                Config::default(),
                Config::default(),
                Time::default(),
            );
            assert!(rig.turn().is_pending());
            if leaves_first {
                rig.far.close(rig.time.now(), CloseCode::NORMAL, CloseInfo::default());
                assert!(rig.turn().is_pending());
            }
            if opens != Opens::Late {
                gate.sign.store(true, Ordering::SeqCst);
                assert!(rig.turn().is_pending());
            }
            assert_eq!(*gate.closed.lock().unwrap(), [], "it has not ended");
            rig.transport.script(|script| script.end_of_input = true);
            let reason = match rig.drive() {
                Poll::Ready(reason) => reason,
                Poll::Pending => panic!("it has not ended"),
            };
            drop(rig);
            let expected = if opens == Opens::Yes { vec![reason] } else { vec![] };
            assert_eq!(gate.opened.so_far(), expected.len());
            assert_eq!(*gate.closed.lock().unwrap(), expected, "{opens:?}, leaves first: {leaves_first}");
        }
    }
}

#[test]
fn what_comes_in_one_read_is_handled_in_its_order_whatever_is_among_it() {
    for (refuses, cancels) in [(false, false), (true, false), (false, true), (true, true)] {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (requests, pushes) = (seen.clone(), seen.clone());
        let handler = on_request(move |_, request| {
            requests.lock().unwrap().push(request.text().into_owned());
            async move { Ok(request.body.into()) }
        })
        .on_push(move |_, push| {
            pushes.lock().unwrap().push(push.text().into_owned());
            async {}
        });
        let mut rig = Rig::open(handler, 8);
        let mut call = Box::pin(rig.peer().call(1, ""));
        assert!(poll(call.as_mut()).is_pending());
        assert!(rig.drive().is_pending());
        rig.deliver();
        let (now, asked) = (rig.time.now(), rig.requests());
        rig.far.call(now, Message::new(1, "one"), Timeout::Never).unwrap();
        let given_up = rig.far.call(now, Message::new(1, "given up"), Timeout::Never).unwrap();
        if refuses {
            // A status is no plain reply: its end is an event among the others.
            let (id, _) = asked.into_iter().next().unwrap();
            let status = StatusCode::BAD_REQUEST;
            rig.far.reply(now, id, status, Extensions::none(), "why".into()).unwrap();
        }
        rig.far.push(now, Message::named("news", "two").unwrap()).unwrap();
        rig.far.call(now, Message::named("echo", "three").unwrap(), Timeout::Never).unwrap();
        if cancels {
            rig.far.cancel(now, given_up);
        }
        let bytes = rig.said();
        rig.transport.script(|script| script.input.push_back(bytes));
        assert!(rig.drive().is_pending());
        let mut expected = Vec::from(["one", "two", "three"]);
        if !cancels {
            expected.insert(1, "given up");
        }
        assert_eq!(*seen.lock().unwrap(), expected, "{refuses} {cancels}");
        let refused = matches!(poll(call.as_mut()), Poll::Ready(Err(CallError::Status(_))));
        assert_eq!(refused, refuses);
        rig.deliver();
        let answers = rig.statuses();
        assert_eq!(answers.iter().filter(|status| status.is_ok()).count(), expected.len() - 1, "{answers:?}");
    }
}
