//! What the driver makes of its transport: writes that wait, are half done, or fail.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::pin;
use core::task::{Poll, Waker};
use std::io::ErrorKind;
use std::sync::Mutex;

use super::{NoHandler, Rig, Script, Writing, body, poll};
use crate::error::{CloseReason, Delivery, TransportError};
use crate::framing::{Format, Netman};
use crate::peer::{CallError, Push, on_push};
use crate::wire::{CloseCode, CloseInfo, HEADER_LEN, Lane};
use crate::{Config, Message};

#[test]
fn a_shutdown_that_has_to_wait_does_not_keep_the_driver_busy() {
    let mut rig = Rig::open(NoHandler, 1);
    rig.transport.script(|script| script.shutdown_waits = true);
    rig.peer().close(CloseCode::NORMAL, CloseInfo::default());
    let before = rig.woken.so_far();
    assert!(rig.drive().is_pending());
    assert_eq!(rig.woken.so_far(), before, "it woke itself with nothing to do");
}

#[test]
fn a_call_whose_bytes_a_transport_owned_may_have_been_sent_and_any_other_was_not() {
    const FIRST: usize = HEADER_LEN + "pay 100".len();
    let (sent, not_sent) = (Delivery::MaybeSent, Delivery::NotSent);
    for (taken, expected) in [
        (0, [not_sent, not_sent]),
        (FIRST - 1, [not_sent, not_sent]),
        (FIRST, [sent, not_sent]),
        (2 * FIRST - 1, [sent, not_sent]),
        (usize::MAX, [sent, sent]),
    ] {
        let mut rig = Rig::open(NoHandler, 2);
        let peer = rig.peer();
        let mut calls = [(); 2].map(|()| Box::pin(peer.call(1, "pay 100").no_timeout()));
        for call in &mut calls {
            assert!(poll(call.as_mut()).is_pending());
        }
        rig.transport.script(|script| script.writing = Writing::Owning(taken));
        assert!(rig.drive().is_pending());
        rig.deliver();
        let reached = expected.iter().filter(|delivery| **delivery == sent).count();
        assert_eq!(rig.requests().len(), reached, "{taken} bytes taken");
        drop(rig);
        for (call, expected) in calls.iter_mut().zip(expected) {
            let Poll::Ready(Err(CallError::Lost { delivery, .. })) = poll(call.as_mut()) else {
                panic!("not lost")
            };
            assert_eq!(delivery, expected, "{taken} bytes taken");
        }
    }
}

#[test]
fn bytes_that_a_transport_owned_are_not_sent_twice() {
    let mut rig = Rig::open(NoHandler, 2);
    let mut call = Box::pin(rig.peer().call(1, "pay 100"));
    assert!(poll(call.as_mut()).is_pending());
    for taken in [5, 10] {
        rig.transport.script(|script| script.writing = Writing::Owning(taken));
        assert!(rig.turn().is_pending());
    }
    rig.transport.script(|script| script.writing = Writing::AtOnce);
    assert!(rig.turn().is_pending());
    rig.echo();
    assert!(rig.turn().is_pending());
    assert_eq!(body(poll(call.as_mut())), "pay 100");
    assert!(rig.far.is_open());
}

#[test]
fn a_failed_write_does_not_hide_the_close_that_the_peer_said_before() {
    for ends in [false, true] {
        let mut rig = Rig::open(NoHandler, 1);
        rig.far.close(rig.time.now(), CloseCode::GOING_AWAY, CloseInfo::with_text("bye"));
        let said = rig.said();
        rig.transport.script(|script| {
            script.writing = Writing::Failing(ErrorKind::BrokenPipe);
            script.at_write_error = Some(Box::new(move |script: &mut Script| {
                script.input.push_back(said);
                script.end_of_input = ends;
            }));
        });
        rig.peer().push(1, "news").unwrap();
        let expected = CloseReason::Peer(CloseCode::GOING_AWAY, Some(CloseInfo::with_text("bye").into()));
        assert_eq!(rig.drive(), Poll::Ready(expected), "the stream has ended: {ends}");
    }
}

#[test]
fn a_failed_write_ends_a_connection_whose_peer_said_nothing() {
    let mut rig = Rig::open(NoHandler, 1);
    rig.transport.script(|script| script.writing = Writing::Failing(ErrorKind::ConnectionReset));
    let mut call = Box::pin(rig.peer().call(1, ""));
    assert!(poll(call.as_mut()).is_pending());
    let reason = CloseReason::Transport(TransportError::Reset);
    assert_eq!(rig.drive(), Poll::Ready(reason.clone()));
    let lost = CallError::Lost { delivery: Delivery::NotSent, reason };
    assert_eq!(poll(call.as_mut()), Poll::Ready(Err(lost)));
}

/// What a driver whose transport reads like this makes of calls with bodies of these lengths, all in pieces of `piece` bytes;
/// and how many bytes were read into memory of the connection.
fn read(reads_into: bool, bodies: &[usize], piece: usize) -> (Vec<Message>, usize) {
    let taken = Arc::new(Mutex::new(Vec::new()));
    let takes = taken.clone();
    let handler = on_push(move |_, push| {
        let Push { lane, extensions, body, .. } = push;
        takes.lock().unwrap().push(Message { number: 0, lane, extensions, body });
        async {}
    });
    let mut rig = Rig::open(handler, 0);
    rig.transport.script(|script| script.reads_into = reads_into);
    for (number, &length) in bodies.iter().enumerate() {
        let body: Vec<u8> = (0..length).map(|at| (at * 7 + number) as u8).collect();
        let lane = [Lane::Normal, Lane::Bulk, Lane::High][number % 3];
        rig.far.push(rig.time.now(), Message::new(1, body).in_lane(lane)).unwrap();
    }
    loop {
        rig.deliver();
        let said = rig.said();
        if said.is_empty() {
            break;
        }
        let pieces = said.chunks(piece).map(<[u8]>::to_vec);
        rig.transport.script(|script| script.input.extend(pieces));
        while rig.transport.script(|script| !script.input.is_empty()) {
            assert!(rig.drive().is_pending());
        }
    }
    let read_into = rig.transport.script(|script| script.read_into);
    assert!(rig.peer().is_open(), "{:?}", rig.peer().close_reason());
    (core::mem::take(&mut *taken.lock().unwrap()), read_into)
}

#[test]
fn large_frames_are_read_into_their_own_memory_and_arrive_as_they_were() {
    let bodies = [10, 8 << 10, 70_000, 1, 300_000, 65_536, 0, 200_000];
    for piece in [1000, 4096, 65_536, usize::MAX] {
        let (copied, none) = read(false, &bodies, piece);
        let (lent, much) = read(true, &bodies, piece);
        let large = bodies.iter().filter(|&&length| length >= 64 << 10).sum::<usize>();
        // The longer the pieces, the more of a frame comes along with its header, and has to be copied.
        let least = if piece <= 4096 { large / 2 } else { 0 };
        assert!(none == 0 && much >= least, "{much} of {large} bytes in pieces of {piece}");
        assert_eq!(copied.len(), bodies.len());
        assert_eq!(lent, copied, "in pieces of {piece} bytes");
        let mut lengths: Vec<usize> = lent.iter().map(|message| message.body.len()).collect();
        let mut expected = bodies.to_vec();
        lengths.sort_unstable();
        expected.sort_unstable();
        assert_eq!(lengths, expected);
    }
}

#[test]
fn the_end_of_the_stream_in_the_middle_of_a_large_frame_is_noticed() {
    for reads_into in [false, true] {
        let mut rig = Rig::open(NoHandler, 1);
        rig.transport.script(|script| script.reads_into = reads_into);
        rig.far.push(rig.time.now(), Message::new(1, vec![0; 60_000])).unwrap();
        let mut said = rig.said();
        said.truncate(30_000);
        rig.transport.script(|script| {
            script.input.extend(said.chunks(10_000).map(<[u8]>::to_vec));
            script.end_of_input = true;
        });
        assert_eq!(rig.drive(), Poll::Ready(CloseReason::Transport(TransportError::Eof)));
        assert_eq!(rig.transport.script(|script| script.read_into > 0), reads_into);
    }
}

/// Nobody has asked a transport from which nothing was wanted: it wakes nobody.
#[test]
fn reading_goes_on_when_a_handler_has_made_room() {
    let config = || Config {
        framing: Some(Format::new(Netman)),
        push_window: 1100,
        max_message: 1024,
        ..Config::default()
    };
    let gate = Arc::new(Mutex::new((false, None::<Waker>)));
    let waits = gate.clone();
    let handler = on_push(move |_, _| {
        let waits = waits.clone();
        poll_fn(move |cx| {
            let (is_open, waker) = &mut *waits.lock().unwrap();
            *waker = Some(cx.waker().clone());
            if *is_open { Poll::Ready(()) } else { Poll::Pending }
        })
    });
    let mut rig = Rig::open_with(handler, config(), config());
    for _ in 0..2 {
        rig.far.push(rig.time.now(), Message::new(1, vec![0; 1024])).unwrap();
    }
    assert!(rig.turn().is_pending() && rig.turn().is_pending());
    let reads = rig.transport.script(|script| script.reads);
    assert!(rig.drive().is_pending());
    assert_eq!(rig.transport.script(|script| script.reads), reads, "nothing is wanted");
    let waker = {
        let (is_open, waker) = &mut *gate.lock().unwrap();
        *is_open = true;
        waker.take()
    };
    waker.expect("a handler waits").wake();
    assert!(rig.drive().is_pending());
    assert!(rig.transport.script(|script| script.reads) > reads, "the transport has been asked");
}

#[test]
fn a_transport_is_told_that_it_may_have_woken_a_driver_that_nobody_else_has() {
    let mut rig = Rig::open(NoHandler, 2);
    let told = |rig: &mut Rig<NoHandler>| {
        let drives = rig.drive();
        assert!(drives.is_pending());
        rig.transport.script(|script| core::mem::take(&mut script.may_have_come))
    };
    told(&mut rig);
    assert_eq!(told(&mut rig), 1);
    let mut call = pin!(rig.peer().call(1, ""));
    assert!(poll(call.as_mut()).is_pending());
    assert_eq!(told(&mut rig), 0, "a caller woke it");
    assert_eq!(told(&mut rig), 1);
    rig.deliver();
    rig.echo();
    rig.exchange();
    assert_eq!(told(&mut rig), 1);
    // It was at work, and is woken by itself.
    assert_eq!(told(&mut rig), 0);
    assert!(poll(call.as_mut()).is_ready());
}

#[test]
fn a_transport_is_told_of_the_limits_that_it_has_a_part_in() {
    for receive_buffer in [None, Some(1 << 16)] {
        let ours = Config { receive_buffer, ..Config::default() };
        let rig = Rig::open_with(NoHandler, ours, Config::default());
        let told = rig.transport.script(|script| (script.longest_stall, script.receive_buffer));
        assert_eq!(told, (Some(Config::default().write_stall_timeout), receive_buffer));
    }
}

/// A task that only wakes itself would keep some runtimes from looking at their sockets, so that what has come is not seen.
#[test]
fn a_driver_that_was_at_work_for_long_lets_its_runtime_look_for_what_has_come() {
    let mut rig = Rig::open(NoHandler, 1);
    assert!(rig.turn().is_pending());
    rig.far.push(rig.time.now(), Message::new(1, "so many bytes that come one by one")).unwrap();
    let bytes = rig.said();
    rig.transport.script(|script| script.input.extend(bytes.into_iter().map(|byte| vec![byte])));
    while rig.transport.script(|script| !script.input.is_empty()) {
        let (soon, woken) = (rig.alarm.state(|state| state.soon), rig.woken.so_far());
        let waiting = rig.transport.script(|script| script.input.len());
        assert!(rig.drive().is_pending());
        let left = rig.transport.script(|script| script.input.len());
        assert!(left < waiting, "nothing was read");
        if left > 0 {
            assert_eq!(rig.alarm.state(|state| state.soon), soon + 1, "it woke itself");
            assert_eq!(rig.woken.so_far(), woken + 1);
        }
    }
    assert_eq!(rig.peer().counters().frames_received, 2, "WELCOME and the push");
}
