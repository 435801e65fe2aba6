//! Busy polling: the driver asks on for a while, and rests after that as it would have before.

use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use super::{Count, NoHandler, Rig, Writing, body, poll};
use crate::Message;
use crate::peer::{Handler, on_push, on_request};
use alloc::sync::Arc;

const MICRO: Duration = Duration::from_micros(1);
const LONGEST: Duration = Duration::from_micros(100);

/// One that asks, and has nothing to do.
fn asking<H: Handler>(handler: H) -> Rig<H> {
    let mut rig = Rig::open(handler, 8);
    rig.transport.script(|script| script.reads_now = true);
    rig.driver = rig.driver.busy_poll(Some(LONGEST));
    rig.far.push(rig.time.now(), Message::new(1, "")).unwrap();
    assert!(rig.turn().is_pending());
    rig
}

impl<H: Handler> Rig<H> {
    fn asked(&self) -> usize {
        self.transport.script(|script| script.asked)
    }

    /// Drives once. Says whether it wants to be driven again at once.
    fn drives_on(&mut self) -> bool {
        let before = self.woken.so_far();
        assert!(self.drive().is_pending());
        self.woken.so_far() > before
    }
}

#[test]
fn it_asks_for_so_long_and_then_rests() {
    let mut rig = asking(NoHandler);
    let mut turns = 0;
    while rig.drives_on() {
        rig.time.pass(10 * MICRO);
        turns += 1;
        assert!(turns <= 10, "it asks for longer than it was told");
    }
    assert_eq!((turns, rig.asked()), (10, 10));
    assert!(!rig.drives_on(), "at rest it waits to be woken");
    assert_eq!(rig.asked(), 10);
}

#[test]
fn what_comes_while_it_asks_is_dealt_with_and_begins_the_time_anew() {
    let pushes = Arc::new(Count::default());
    let counts = pushes.clone();
    let mut rig = asking(on_push(move |_, _| {
        counts.add();
        async {}
    }));
    let reads = rig.transport.script(|script| script.reads);
    for round in 2..20 {
        rig.time.pass(LONGEST - MICRO);
        rig.far.push(rig.time.now(), Message::new(1, "")).unwrap();
        rig.exchange();
        assert!(rig.drives_on());
        assert_eq!(pushes.so_far(), round);
    }
    assert_eq!(rig.transport.script(|script| script.reads), reads, "who asks need not be woken");
}

#[test]
fn a_call_that_begins_while_it_asks_is_sent_and_answered() {
    let mut rig = asking(NoHandler);
    let mut call = pin!(rig.peer().call(1, "hello"));
    assert!(rig.drives_on());
    assert!(poll(call.as_mut()).is_pending());
    assert!(rig.drives_on());
    rig.deliver();
    rig.echo();
    rig.exchange();
    assert!(rig.drives_on());
    assert_eq!(body(poll(call.as_mut())), "hello");
}

#[test]
fn a_reply_begins_the_time_anew() {
    let mut rig = asking(NoHandler);
    for _ in 0..5 {
        let mut call = pin!(rig.peer().call(1, ""));
        assert!(poll(call.as_mut()).is_pending());
        assert!(rig.turn().is_pending());
        rig.time.pass(LONGEST - MICRO);
        rig.echo();
        rig.exchange();
        assert!(rig.drives_on());
        assert!(poll(call.as_mut()).is_ready());
        for _ in 0..9 {
            rig.time.pass(10 * MICRO);
            assert!(rig.drives_on(), "it rests too early");
        }
    }
}

#[test]
fn what_could_not_be_written_does_not_wait_until_it_has_asked_for_long_enough() {
    let mut rig = asking(NoHandler);
    assert!(rig.drives_on());
    rig.transport.script(|script| script.writing = Writing::Owning(10));
    rig.peer().push(1, "so much that it takes two writes").unwrap();
    while rig.drives_on() {}
    let before = rig.peer().counters().bytes_sent;
    // The transport has room, and wakes the task.
    rig.transport.script(|script| script.writing = Writing::AtOnce);
    assert!(rig.drive().is_pending());
    assert!(rig.peer().counters().bytes_sent > before + 10);
}

#[test]
fn a_deadline_comes_while_it_asks() {
    let mut rig = asking(NoHandler);
    let mut call = pin!(rig.peer().call(1, "").timeout(50 * MICRO));
    assert!(poll(call.as_mut()).is_pending());
    for _ in 0..5 {
        assert!(rig.drives_on());
        rig.time.pass(10 * MICRO);
    }
    rig.drives_on();
    assert!(matches!(poll(call.as_mut()), Poll::Ready(Err(_))));
}

#[test]
fn handlers_that_wait_go_on_while_it_asks() {
    let mut rig = asking(on_request(|_, _| async move {
        let mut turns = 0;
        core::future::poll_fn(|cx| {
            turns += 1;
            cx.waker().wake_by_ref();
            if turns == 5 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        Ok("".into())
    }));
    rig.ask(3);
    for _ in 0..10 {
        assert!(rig.turn().is_pending());
    }
    assert_eq!(rig.statuses().len(), 3);
}

#[test]
fn the_end_of_the_stream_is_seen_while_it_asks() {
    let mut rig = asking(NoHandler);
    assert!(rig.drives_on());
    rig.transport.script(|script| script.end_of_input = true);
    let ended = (0..3).any(|_| rig.drive().is_ready());
    assert!(ended);
}

#[test]
fn a_transport_that_cannot_be_asked_rests_at_once() {
    let mut rig = asking(NoHandler);
    rig.transport.script(|script| script.reads_now = false);
    while rig.drives_on() {}
    rig.far.push(rig.time.now(), Message::new(1, "")).unwrap();
    rig.exchange();
    assert!(!rig.drives_on());
    assert_eq!(rig.asked(), 0);
}
