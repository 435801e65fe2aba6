//! Peers and applications that do whatever they may, and somewhat more, with fragments, CANCEL and DRAIN.

use alloc::vec::Vec;

use proptest::prelude::*;

use super::{BOTH, Bench, Frame, SECOND, id, smallest};
use crate::config::Config;
use crate::event::{Event, Message, Timeout};
use crate::wire::{Capabilities, CloseCode, CloseInfo, Extensions, Flags, StatusCode};

/// A frame of few bytes for one of few ids, so that many of them go together.
fn frame() -> impl Strategy<Value = Frame> {
    let parts = (0u8..14, 0u16..3, 1u32..3, 0usize..4, any::<bool>(), 1u32..6);
    parts.prop_map(|(what, slot, generation, length, more, total)| {
        let (id, body) = (id(generation, slot), &b"abc"[..length]);
        let lane = Flags::from_bits(if generation == 2 && length == 3 { 0x40 } else { 0 });
        let message = match what {
            0..=2 => Frame::request(id, body),
            3..=5 => Frame::reply(id, body),
            6..=7 => Frame::push(body).of(id),
            8 => Frame::push(body),
            9 => return Frame::cancel(id),
            10 => return Frame::cancel_reply(id),
            11 if more => return Frame::end(CloseCode::GOING_AWAY),
            11 => return Frame::drain(CloseCode::MAX_AGE),
            12 => return Frame::ping(1),
            _ => return Frame::credit(u64::MAX, u64::MAX),
        };
        match (what, more) {
            (8, _) | (_, false) => message,
            (1 | 4 | 7, true) => message.with(Flags::MORE).with(lane),
            (_, true) => message.first_of(total).with(lane),
        }
    })
}

/// The most that is kept for the next messages.
const KEPT: usize = 64 << 10;

proptest! {
    /// LW-4.3, LW-6.3, LW-7.11: whatever happens in whatever order, nothing panics, what is held stays within the stated
    /// bound, no slot, charge or room is lost, every call ends at most once, and the connection once.
    #[test]
    fn nothing_is_lost_and_nothing_breaks(
        script in prop::collection::vec((frame(), 0u8..24, 1usize..5000), 1..60),
        capabilities in 0u64..8,
        commit_limit in prop_oneof![Just(1usize), Just(100_000usize)],
    ) {
        for role in BOTH {
            let config = Config { max_message: 10_000, request_window: 50_000, push_window: 50_000, commit_limit, ..smallest() };
            let bound = config.max_held_bytes(10);
            let peer = Config { capabilities: Capabilities::from_bits(capabilities), call_slots: 3, ..config.clone() };
            let mut bench = Bench::open_with(role, config, &peer);
            let (mut calls, mut requests, mut tokens, mut closed) = (Vec::new(), Vec::new(), Vec::new(), 0);
            for (frame, action, n) in &script {
                let now = bench.now;
                let connection = &mut bench.connection;
                match action {
                    0 | 1 => if let Ok(call) = connection.call(now, Message::new(1, vec![0; *n]), Timeout::Never) {
                        calls.push(call);
                    },
                    2 => _ = connection.call(now, Message::new(1, vec![0; *n]), Timeout::After(SECOND)),
                    3 | 4 => if !calls.is_empty() {
                        _ = connection.cancel(now, calls.remove(n % calls.len()));
                    },
                    5 | 6 => if let Some(request) = requests.pop() {
                        _ = connection.reply(now, request, StatusCode::OK, Extensions::none(), vec![0; *n].into());
                    },
                    7 => if let Some(token) = tokens.pop() {
                        connection.release(now, token);
                    },
                    8 => _ = connection.push(now, Message::new(1, vec![0; *n])),
                    9 => connection.hold_calls(now, n % 2 == 0),
                    10 if n % 4 == 0 => connection.drain(now, CloseCode::NORMAL, CloseInfo::default(), 9 * SECOND),
                    11 if n % 8 == 0 => connection.close(now, CloseCode::NORMAL, CloseInfo::default()),
                    12 => bench.pass(SECOND / 4),
                    13 | 14 => _ = bench.written(),
                    15 => connection.advance_transmit(now, *n),
                    16..20 => while let Some(event) = connection.poll_event() {
                        prop_assert_eq!(closed, 0, "{:?} behind the end", event);
                        match event {
                            Event::Request { id, .. } => requests.push(id),
                            Event::Push { token, .. } => tokens.push(token),
                            // Behind the own CLOSE, a reply that was refused changed nothing.
                            Event::Cancelled(id) => prop_assert!(
                                connection.close_reason().is_some() || requests.iter().any(|request| request.sequence() == id)
                            ),
                            Event::Closed(_) => closed += 1,
                            _ => {}
                        }
                    },
                    _ => bench.take(frame),
                }
                let connection = &mut bench.connection;
                prop_assert!(connection.held_bytes() <= bound);
                if connection.is_running() {
                    if connection.requests_in_flight() == 0 {
                        prop_assert_eq!(connection.request_window.outstanding(), 0);
                    }
                    if connection.calls_in_flight() == 0 && !connection.has_events() {
                        prop_assert_eq!(connection.events.reply_bytes(), 0);
                    }
                    let idle = connection.requests_in_flight() + connection.calls_in_flight() + connection.transmit_len() == 0;
                    if idle && connection.is_open() && !connection.has_events() && connection.pushes.is_none() {
                        prop_assert!(connection.held_bytes() <= KEPT);
                        connection.shrink();
                        prop_assert_eq!(connection.held_bytes(), 0);
                    }
                }
            }
            bench.connection.handle_eof(bench.now);
            for _ in 0..3 {
                bench.written();
                bench.pass(60 * SECOND);
            }
            prop_assert!(bench.connection.is_closed());
            closed += bench.events().iter().filter(|event| matches!(event, Event::Closed(_))).count();
            prop_assert_eq!((closed, bench.connection.held_bytes()), (1, 0));
        }
    }
}
