//! Messages in fragments, as `vectors.json` has them.

use alloc::vec::Vec;

use serde_json::Value;

use super::vectors::close_code;
use super::{bytes, number, section, text, unhex};
use crate::wire::{Flags, Header, Kind, PREFACE, Sequence};
use crate::{Config, Connection, Event, Instant, Message, Outcome, Role, Route, SharedConfig, Timeout};

const NOW: Instant = Instant::EPOCH;

/// An endpoint with a call of its own in flight, to which these frames have come, byte by byte.
fn hear(entry: &Value) -> Connection {
    let mut dialer = Connection::new(&SharedConfig::default(), Role::Dialer, NOW, 1);
    let mut welcome = Vec::new();
    Config::default().hello().emit(&mut welcome);
    let header = Header {
        length: welcome.len() as u32,
        kind: Kind::Welcome,
        flags: Flags::empty(),
        sequence: Sequence::CONNECTION,
        code: 0,
    };
    dialer.handle_input(NOW, &mut [&PREFACE[..], &header.to_bytes(), &welcome].concat());
    assert!(matches!(dialer.poll_event(), Some(Event::Open(_))));
    let call = dialer.call(NOW, Message::new(1, ""), Timeout::Never).unwrap();
    assert_eq!(call.sequence().to_u64(), 65536);
    let length = dialer.transmit_len();
    dialer.advance_transmit(NOW, length);
    for frame in entry["frames"].as_array().unwrap() {
        // A block that is cut off may be noticed when it is, or at the end.
        if dialer.close_reason().is_some() {
            assert_eq!(entry["error"], "BAD_EXTENSION", "{}: the error came too early", text(entry, "name"));
            break;
        }
        assert_eq!(dialer.poll_event(), None, "{}: the message is not complete", text(entry, "name"));
        for byte in unhex(frame.as_str().unwrap()) {
            dialer.handle_input(NOW, &mut [byte]);
        }
    }
    dialer
}

/// LW-6.7: fragments are put together, the extension block with them.
/// LW-6.9: other frames may stand between them.
/// LW-4.13: a REPLY may be given up in the middle.
#[test]
fn fragments_make_messages() {
    for entry in section("fragments") {
        let (name, said) = (text(&entry, "name"), &entry["decoded"]);
        let mut dialer = hear(&entry);
        let lane = Flags::from_bits(number(said, "lane") as u8).lane().unwrap();
        let body = bytes(said, "body");
        let event = dialer.poll_event();
        let (kind, message) = match &event {
            Some(Event::Request { message, .. }) => ("REQUEST", message),
            Some(Event::Push { message, .. }) => ("PUSH", message),
            Some(Event::Ended { outcome: Outcome::Reply { status, body: replied, .. }, .. }) => {
                assert_eq!(
                    (text(said, "kind"), u64::from(status.0)),
                    ("REPLY", number(said, "code")),
                    "{name}"
                );
                assert_eq!(replied[..], body, "{name}");
                continue;
            }
            other => panic!("{name}: {other:?}"),
        };
        let route = match said["route"].as_str() {
            Some(route) => Route::Name(route),
            None => Route::Number(number(said, "code") as u32),
        };
        assert_eq!((kind, message.route(), message.lane), (text(said, "kind"), route, lane), "{name}");
        assert_eq!(message.body[..], body, "{name}");
    }
}

/// LW-6.8: what does not fit is BAD_FRAGMENT, and a block that is cut off BAD_EXTENSION.
/// LW-6.9: the total is what limits and credit apply to.
/// LW-6.10: push ids have 16 slots, each for one message at a time.
/// LW-4.13: CANCEL with ORIGIN belongs to an unfinished REPLY.
#[test]
fn bad_fragments_are_refused_with_their_code() {
    for entry in section("bad_fragments") {
        let (name, error) = (text(&entry, "name"), close_code(text(&entry, "error")));
        let code = hear(&entry).close_reason().and_then(crate::CloseReason::code);
        assert_eq!(code, Some(error), "{name}");
    }
}
