//! A caller that gives up: its handler is dropped, unless it is to run to its end, and nobody else is disturbed.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Poll, Waker};
use std::sync::Mutex;

use super::{Count, Rig};
use crate::peer::{Handler, on_request};
use crate::wire::{Flags, HEADER_LEN, Header, HeaderView, Kind, Parsed, StatusCode};
use crate::{CallId, Message, Route, Timeout};

/// How many handlers run, and what they wait for.
#[derive(Clone, Default)]
struct Hall {
    started: Arc<Count>,
    dropped: Arc<Count>,
    done: Arc<Count>,
    sign: Arc<AtomicBool>,
    wakers: Arc<Mutex<Vec<Waker>>>,
}

/// A handler that is at work.
struct Guest(Arc<Count>);

impl Drop for Guest {
    fn drop(&mut self) {
        self.0.add();
    }
}

const TO_THE_END: u32 = 1;
const FOR_EVER: u32 = 2;

impl Hall {
    /// Answers with what it was asked when the sign is given; route 2 never is answered.
    fn handler(&self) -> impl Handler + use<> {
        let hall = self.clone();
        on_request(move |_, request| {
            hall.started.add();
            let (hall, guest) = (hall.clone(), Guest(hall.dropped.clone()));
            async move {
                let _guest = guest;
                poll_fn(|cx| {
                    let ready =
                        hall.sign.load(Ordering::SeqCst) && request.route() != Route::Number(FOR_EVER);
                    if ready {
                        return Poll::Ready(());
                    }
                    hall.wakers.lock().unwrap().push(cx.waker().clone());
                    Poll::Pending
                })
                .await;
                hall.done.add();
                Ok(request.body.into())
            }
        })
        .run_to_end(|request| request.route() == Route::Number(TO_THE_END))
    }

    fn give_the_sign(&self) {
        self.sign.store(true, Ordering::SeqCst);
        for waker in core::mem::take(&mut *self.wakers.lock().unwrap()) {
            waker.wake();
        }
    }
}

impl<H: Handler> Rig<H> {
    /// The peer calls, and its call reaches the handler.
    fn called(&mut self, route: u32, body: &'static str) -> CallId {
        let call = self.far.call(self.time.now(), Message::new(route, body), Timeout::Never).unwrap();
        assert!(self.turn().is_pending());
        call
    }

    /// The peer gives these calls up. Gives the replies that this makes: the slot and the status of each.
    fn given_up(&mut self, calls: &[CallId]) -> Vec<(u16, StatusCode)> {
        for &call in calls {
            self.far.cancel(self.time.now(), call);
        }
        self.exchange();
        assert!(self.drive().is_pending());
        let replies = self.transport.script(|script| replies(&script.output));
        self.exchange();
        replies
    }
}

/// The replies among these frames.
fn replies(mut bytes: &[u8]) -> Vec<(u16, StatusCode)> {
    let mut replies = Vec::new();
    while let Some(view) = HeaderView::new_checked(bytes) {
        let Ok(Parsed::Frame(header)) = Header::parse(view, u32::MAX) else { panic!("no header") };
        if header.kind == Kind::Reply {
            assert!(header.flags.contains(Flags::ORIGIN));
            replies.push((header.sequence.slot(), StatusCode(header.code)));
        }
        bytes = &bytes[HEADER_LEN + header.length as usize..];
    }
    replies
}

/// LW-4.12: the work is stopped, and the caller's slot is free again.
#[test]
fn a_call_that_is_given_up_drops_its_handler_and_is_answered_with_that() {
    let hall = Hall::default();
    let mut rig = Rig::open(hall.handler(), 0);
    for round in 1..=3 {
        let call = rig.called(0, "");
        assert_eq!((hall.started.so_far(), hall.dropped.so_far()), (round, round - 1));
        assert_eq!(rig.given_up(&[call]), [(0, StatusCode::CANCELLED)]);
        assert_eq!(hall.dropped.so_far(), round);
        assert_eq!(rig.far.calls_in_flight(), 0);
        assert_eq!(rig.peer().counters().requests_cancelled, round as u32);
    }
    assert_eq!((hall.done.so_far(), rig.driver.waiting_handlers()), (0, 0));
}

/// LW-4.12: what has not begun is not begun.
#[test]
fn a_call_that_is_given_up_before_it_was_looked_at_is_not_run() {
    let hall = Hall::default();
    let mut rig = Rig::open(hall.handler(), 0);
    let call = rig.far.call(rig.time.now(), Message::new(TO_THE_END, ""), Timeout::Never).unwrap();
    assert!(rig.far.transmit_len() > 0, "it has been sent");
    assert_eq!(rig.given_up(&[call]), [(0, StatusCode::CANCELLED)]);
    assert_eq!((hall.started.so_far(), rig.far.calls_in_flight()), (0, 0));
}

#[test]
fn a_handler_that_is_to_run_to_its_end_does() {
    let hall = Hall::default();
    let mut rig = Rig::open(hall.handler(), 0);
    let calls = [rig.called(TO_THE_END, ""), rig.called(0, "")];
    assert_eq!(rig.given_up(&calls), [(1, StatusCode::CANCELLED)]);
    assert_eq!((hall.dropped.so_far(), rig.driver.waiting_handlers()), (1, 1));
    assert_eq!(rig.far.calls_in_flight(), 1, "its slot is taken as long as it runs");
    hall.give_the_sign();
    assert!(rig.turn().is_pending());
    assert_eq!((hall.done.so_far(), rig.far.calls_in_flight()), (1, 0));
    assert_eq!(rig.statuses(), [], "its caller no longer waits");
}

#[test]
fn handlers_beside_one_that_is_dropped_go_on() {
    const CALLS: usize = 100;
    let hall = Hall::default();
    let mut rig = Rig::open(hall.handler(), 0);
    let calls: Vec<CallId> = (0..CALLS).map(|_| rig.called(0, "still here")).collect();
    let given_up: Vec<CallId> = calls.iter().copied().step_by(2).collect();
    let answers = rig.given_up(&given_up);
    assert_eq!(answers.len(), CALLS / 2);
    assert!(answers.iter().all(|&(slot, status)| slot % 2 == 0 && status == StatusCode::CANCELLED));
    assert_eq!(hall.dropped.so_far(), CALLS / 2);
    hall.give_the_sign();
    assert!(rig.turn().is_pending());
    assert_eq!(rig.statuses(), [StatusCode::OK; CALLS / 2]);
    assert_eq!((hall.done.so_far(), rig.driver.waiting_handlers()), (CALLS / 2, 0));
    assert!(rig.far.is_open() && rig.peer().is_open());
}

/// What is left of a dropped handler would otherwise stay for as long as the oldest one runs.
#[test]
fn handlers_that_were_dropped_leave_nothing_behind_beside_one_that_never_ends() {
    let hall = Hall::default();
    let mut rig = Rig::open(hall.handler(), 0);
    rig.called(FOR_EVER, "");
    let held = rig.peer().held_bytes();
    for _ in 0..1000 {
        let call = rig.called(0, "");
        rig.given_up(&[call]);
        assert!(rig.driver.waiting_handlers() <= 2, "{} wait", rig.driver.waiting_handlers());
    }
    assert!(rig.turn().is_pending());
    assert_eq!(rig.driver.waiting_handlers(), 1);
    assert_eq!((hall.started.so_far(), hall.dropped.so_far()), (1001, 1000));
    assert!(rig.peer().held_bytes() <= 2 * held, "{} after {held}", rig.peer().held_bytes());
    let mut rounds = hall.wakers.lock().unwrap().len();
    // Many at a time too: they leave the set in the turn in which they end.
    for calls in [1000, 10] {
        let calls: Vec<CallId> = (0..calls).map(|_| rig.called(0, "")).collect();
        assert_eq!(rig.driver.waiting_handlers(), 1 + calls.len());
        assert_eq!(rig.given_up(&calls).len(), calls.len());
        for _ in 0..4 {
            assert!(rig.turn().is_pending());
        }
        assert_eq!(rig.driver.waiting_handlers(), 1);
        rounds += calls.len();
    }
    assert!(hall.wakers.lock().unwrap().len() <= 2 * rounds, "handlers are polled without need");
}

#[test]
fn a_handler_that_panics_while_it_is_dropped_fails_its_own_call_only() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let sign = Arc::new(AtomicBool::new(false));
    let given = sign.clone();
    let handler = on_request(move |_, request| {
        let bomb = (request.route() == Route::Number(7)).then(|| Bomb);
        let given = given.clone();
        async move {
            let _bomb = bomb;
            poll_fn(|cx| {
                cx.waker().wake_by_ref();
                if given.load(Ordering::SeqCst) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            Ok("".into())
        }
    });
    let mut rig = Rig::open(handler, 0);
    rig.called(1, "");
    let given_up = rig.called(7, "");
    assert_eq!(rig.given_up(&[given_up]), [(1, StatusCode::HANDLER_FAILED)]);
    sign.store(true, Ordering::SeqCst);
    for _ in 0..2 {
        assert!(rig.turn().is_pending());
    }
    assert_eq!(rig.statuses(), [StatusCode::OK]);
    assert_eq!((rig.far.calls_in_flight(), rig.driver.waiting_handlers()), (0, 0));
    assert!(rig.peer().is_open());
}
