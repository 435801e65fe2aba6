//! Every section of `vectors.json` but the fragments and the conversations.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde_json::Value;

use super::{bytes, number, section, text};
use crate::wire::{
    Capabilities, CloseCode, CloseInfo, Codec, ExtensionBlock, Flags, HEADER_LEN, Header, HeaderView, Hello,
    Kind, PREFACE, Parsed, PrefaceCheck, Sequence,
};
use crate::{Config, Connection, Event, Instant, Role, SharedConfig};

const MIB: u32 = 1 << 20;

fn kind(name: &str) -> Kind {
    let named = Kind::ALL.into_iter().find(|kind| alloc::format!("{kind:?}").to_uppercase() == name);
    named.unwrap_or_else(|| panic!("there is no kind {name}"))
}

pub(super) fn close_code(name: &str) -> CloseCode {
    let named = CloseCode::NAMED.iter().find(|code| code.name() == Some(name));
    *named.unwrap_or_else(|| panic!("there is no close code {name}"))
}

/// LW-1.1: numbers are big-endian, and all of them are read and written where the vectors have them.
/// LW-2.5: an unknown kind with IGNORABLE is skipped by its length, whatever else its header says.
/// LW-2.6: IGNORABLE is allowed on a known kind and means nothing there.
/// LW-2.9: a call id is made of generation and slot.
#[test]
fn valid_frames_parse_and_are_written_the_same() {
    for entry in section("frames") {
        let name = text(&entry, "name");
        let frame = bytes(&entry, "hex");
        let (start, payload) = frame.split_at(HEADER_LEN);
        assert_eq!(payload, bytes(&entry, "payload"), "{name}");
        let view = HeaderView::new_checked(start).unwrap();
        let parsed = Header::parse(view, MIB);
        if let Some(unknown) = entry["kind"].as_u64() {
            assert_eq!(u64::from(view.kind()), unknown, "{name}");
            assert_eq!(parsed, Ok(Parsed::Ignorable(payload.len() as u32)), "{name}");
            continue;
        }
        let header = Header {
            length: payload.len() as u32,
            kind: kind(text(&entry, "kind")),
            flags: Flags::from_bits(number(&entry, "flags") as u8),
            sequence: Sequence::from_u64(number(&entry, "sequence")),
            code: number(&entry, "code") as u32,
        };
        assert_eq!(header.sequence.to_u64(), number(&entry, "sequence"), "{name}");
        assert_eq!(parsed, Ok(Parsed::Frame(header)), "{name}");
        assert_eq!(header.to_bytes(), start, "{name}");
    }
}

/// The error that a connection without capabilities answers a frame with, before anything else is said.
fn judged(frame: &[u8]) -> Option<CloseCode> {
    let config = Config { capabilities: Capabilities::default(), ..Config::default() };
    let mut acceptor = Connection::new(&config.share().unwrap(), Role::Acceptor, Instant::EPOCH, 1);
    acceptor.handle_input(Instant::EPOCH, &mut [&PREFACE[..], frame].concat());
    acceptor.close_reason().and_then(crate::CloseReason::code)
}

/// LW-2.3: a length above the limit in force is FRAME_TOO_LARGE.
/// LW-2.6: flags, sequence, code and length are checked in this order, after the limit and the kind.
/// LW-2.7: a REPLY without ORIGIN, and any other kind but CANCEL with it, is BAD_FLAGS.
/// LW-2.8: lane 3 is BAD_FLAGS.
/// LW-2.9: generation 0 in a call id is BAD_SEQUENCE.
/// LW-5.1: a PUSH with a sequence and without MORE is BAD_SEQUENCE to who has not announced FRAGMENTS.
#[test]
fn bad_headers_are_refused_with_their_code() {
    for entry in section("bad_headers") {
        let header = bytes(&entry, "hex");
        let view = HeaderView::new_checked(&header).unwrap();
        let code = match Header::parse(view, number(&entry, "limit") as u32) {
            Err(error) => Some(error.code()),
            // Whether fragments are taken is no matter of the wire format.
            Ok(_) => judged(&header),
        };
        assert_eq!(code, Some(close_code(text(&entry, "error"))), "{}", text(&entry, "name"));
    }
}

/// LW-3.3: fields stand in any order, and unknown ones are skipped.
/// LW-3.4: every value at the ends of its range is good.
/// LW-3.5: a window for exactly one largest message is enough.
/// LW-3.8: 3,072 bytes of credentials are accepted.
#[test]
fn valid_hellos_say_what_they_say() {
    for entry in section("hellos") {
        let (name, said) = (text(&entry, "name"), &entry["decoded"]);
        let hello = Hello::parse(&bytes(&entry, "payload")).unwrap_or_else(|fault| panic!("{name}: {fault}"));
        let pair = |value: &Value| (value[0].as_u64().unwrap(), value[1].as_u64().unwrap());
        let versions = (u64::from(hello.versions.first), u64::from(hello.versions.last));
        assert_eq!(versions, pair(&said["versions"]), "{name}");
        assert_eq!(u64::from(hello.max_frame), number(said, "max_frame"), "{name}");
        assert_eq!(u64::from(hello.max_message), number(said, "max_message"), "{name}");
        assert_eq!(u64::from(hello.call_slots), number(said, "call_slots"), "{name}");
        assert_eq!(hello.request_window, number(said, "request_window"), "{name}");
        assert_eq!(hello.push_window, number(said, "push_window"), "{name}");
        let heartbeat = hello.heartbeat.map(|beat| (beat.wish_millis.into(), beat.minimum_millis.into()));
        assert_eq!(heartbeat, said["heartbeat"].is_array().then(|| pair(&said["heartbeat"])), "{name}");
        assert_eq!(hello.capabilities.bits(), number(said, "capabilities"), "{name}");
        let codecs: Vec<u64> = hello.codecs.iter().map(|codec| codec.0.into()).collect();
        assert_eq!(Value::from(codecs), said["codecs"], "{name}");
        assert_eq!(hello.credentials[..], bytes(said, "credentials"), "{name}");
        let mut emitted = Vec::new();
        hello.emit(&mut emitted);
        assert_eq!(Hello::parse(&emitted), Ok(hello), "{name}");
    }
}

/// LW-3.3: fields that are cut off, stand there twice or have a wrong length are BAD_HELLO.
/// LW-3.4: so are missing fields and values outside their ranges.
/// LW-3.5: so are windows too small for one largest message.
/// LW-3.6: VERSIONS is judged before all other fields.
/// LW-3.8: so are credentials longer than 3,072 bytes.
#[test]
fn bad_hellos_end_the_handshake_with_their_code() {
    for entry in section("bad_hellos") {
        let payload = bytes(&entry, "payload");
        let expected = close_code(text(&entry, "error"));
        assert!(Hello::parse(&payload).is_err() || expected == CloseCode::UNSUPPORTED_VERSION);
        let mut acceptor = Connection::new(&SharedConfig::default(), Role::Acceptor, Instant::EPOCH, 1);
        let header = Header {
            length: payload.len() as u32,
            kind: Kind::Hello,
            flags: Flags::empty(),
            sequence: Sequence::CONNECTION,
            code: 0,
        };
        let mut said = [&PREFACE[..], &header.to_bytes(), &payload].concat();
        acceptor.handle_input(Instant::EPOCH, &mut said);
        acceptor.handle_eof(Instant::EPOCH);
        let code = acceptor.close_reason().and_then(crate::CloseReason::code);
        assert_eq!(code, Some(expected), "{}", text(&entry, "name"));
        assert_eq!(acceptor.poll_event(), None, "{}", text(&entry, "name"));
        let length = acceptor.transmit_len();
        acceptor.advance_transmit(Instant::EPOCH, length);
        assert!(matches!(acceptor.poll_event(), Some(Event::Closed(_))), "{}", text(&entry, "name"));
    }
}

/// LW-7.8: a CLOSE whose fields cannot be read is one without fields.
#[test]
fn close_fields_are_read_or_left() {
    for entry in section("closes") {
        let (name, said) = (text(&entry, "name"), &entry["decoded"]);
        let info = CloseInfo::parse(&bytes(&entry, "payload"));
        assert_eq!(info.text.as_deref(), said["text"].as_str(), "{name}");
        let retry = said["retry_after_ms"].as_u64().map(Duration::from_millis);
        assert_eq!(info.retry_after, retry, "{name}");
        assert_eq!(info.redirect.as_deref(), said["redirect"].as_str(), "{name}");
        assert_eq!(info.stay_away, said["stay_away"] == true, "{name}");
        let mut emitted = Vec::new();
        info.emit(&mut emitted);
        assert_eq!(CloseInfo::parse(&emitted), info, "{name}");
    }
}

/// LW-9.1: known fields are read in any order, unknown ones are skipped.
/// LW-9.2: an empty block is valid, and the body starts behind the block.
#[test]
fn valid_extension_blocks_say_what_they_say() {
    for entry in section("extensions") {
        let (name, said) = (text(&entry, "name"), &entry["decoded"]);
        let payload = bytes(&entry, "payload");
        let block = ExtensionBlock::parse(kind(text(&entry, "kind")), &payload).unwrap();
        let hex = |key: &str| said[key].as_str().map(super::unhex);
        assert_eq!(block.deadline_millis.map(u64::from), said["deadline_ms"].as_u64(), "{name}");
        assert_eq!(block.fields.route, said["route"].as_str(), "{name}");
        assert_eq!(block.fields.metadata.map(Vec::from), hex("metadata"), "{name}");
        assert_eq!(block.fields.idempotency_key.map(Vec::from), hex("idempotency_key"), "{name}");
        assert_eq!(block.fields.trace.map(Vec::from), hex("trace"), "{name}");
        let codec = said["codec"].as_u64().map(|number| Codec(number as u16));
        assert_eq!(block.fields.codec, codec, "{name}");
        assert_eq!(payload[block.body_at..], bytes(said, "body"), "{name}");
    }
}

/// LW-9.1: whatever breaks a rule of extension blocks is BAD_EXTENSION.
#[test]
fn bad_extension_blocks_are_refused() {
    for entry in section("bad_extensions") {
        let payload = bytes(&entry, "payload");
        let parsed = ExtensionBlock::parse(kind(text(&entry, "kind")), &payload);
        let code = parsed.map_err(|error| error.code());
        assert_eq!(code, Err(close_code(text(&entry, "error"))), "{}", text(&entry, "name"));
    }
}

/// LW-9.1: METADATA has at most 61,440 bytes.
#[test]
fn metadata_has_an_exact_limit() {
    let payload = |length: u16| {
        let mut payload = Vec::new();
        payload.extend_from_slice(&(length + 4).to_be_bytes());
        payload.extend_from_slice(&3u16.to_be_bytes());
        payload.extend_from_slice(&length.to_be_bytes());
        payload.resize(payload.len() + usize::from(length), 0x6d);
        payload
    };
    assert!(ExtensionBlock::parse(Kind::Reply, &payload(61_440)).is_ok());
    assert!(ExtensionBlock::parse(Kind::Reply, &payload(61_441)).is_err());
}

/// LW-2.1: each byte of the preface is checked when it arrives.
#[test]
fn the_first_wrong_byte_of_a_preface_is_found() {
    for entry in section("prefaces") {
        let received = bytes(&entry, "hex");
        let mut check = PrefaceCheck::default();
        let good = received.iter().take_while(|&&byte| check.feed(&[byte]) == Ok(1)).count();
        let wrong_at = entry["wrong_at"].as_u64().map(|at| at as usize);
        let expected = wrong_at.unwrap_or_else(|| received.len().min(PREFACE.len()));
        assert_eq!(good, expected, "{}", text(&entry, "name"));
        assert_eq!(check.is_complete(), good == PREFACE.len(), "{}", text(&entry, "name"));
        assert_eq!(PrefaceCheck::default().feed(&received).is_err(), wrong_at.is_some());
    }
}

/// LW-10.1: codes without a name are codes like any other.
#[test]
fn every_code_has_one_name_or_none() {
    let names: Vec<&str> = CloseCode::NAMED.iter().filter_map(|code| code.name()).collect();
    assert_eq!(names.len(), CloseCode::NAMED.len());
    assert!(CloseCode::NAMED.windows(2).all(|pair| pair[0] < pair[1]));
    let unknown: String = alloc::format!("{}", CloseCode(0xabcd));
    assert_eq!((CloseCode(0xabcd).name(), unknown.as_str()), (None, "0xabcd"));
}
