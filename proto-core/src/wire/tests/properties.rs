//! What is written is read again, and no bytes can do harm.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use proptest::prelude::*;

use crate::wire::{
    Capabilities, CloseInfo, Codec, Credit, ExtensionBlock, ExtensionFields, Extensions, Flags, HEADER_LEN,
    Header, HeaderView, Heartbeat, Hello, Kind, Lane, Parsed, Pong, PrefaceCheck, Sequence, Versions,
};

fn call_id() -> impl Strategy<Value = Sequence> {
    (1u32.., any::<u16>()).prop_map(|(generation, slot)| Sequence::call(generation, slot))
}

/// A header that follows the table of kinds.
fn header() -> impl Strategy<Value = Header> {
    let parts = (0usize..11, any::<u8>(), call_id(), any::<u32>(), any::<u32>(), 0u8..3);
    parts.prop_map(|(kind, bits, id, code, length, lane)| {
        let kind = Kind::ALL[kind];
        let lane = [Lane::Normal, Lane::High, Lane::Bulk][usize::from(lane)];
        let message = Flags::EXT.with(Flags::MORE);
        let (allowed, always) = match kind {
            Kind::Reply => (message, Flags::ORIGIN),
            Kind::Request | Kind::Push => (message, Flags::empty()),
            Kind::Cancel => (Flags::ORIGIN, Flags::empty()),
            Kind::Drain => (Flags::END, Flags::empty()),
            _ => (Flags::empty(), Flags::empty()),
        };
        let flags = Flags::from_bits(bits & allowed.with(Flags::IGNORABLE).bits()).with(always);
        let flags = if kind.is_message() { flags.with_lane(lane) } else { flags };
        let of_call = match kind {
            Kind::Request | Kind::Reply | Kind::Cancel => true,
            // The last fragment of a push has an id too.
            Kind::Push => flags.contains(Flags::MORE) || code % 2 == 1,
            _ => false,
        };
        let length = match kind {
            Kind::Cancel | Kind::Drain => 0,
            Kind::Ping => 8,
            Kind::Pong => 12,
            Kind::Credit => 16,
            _ => length,
        };
        let with_code = kind.is_message() || matches!(kind, Kind::Drain | Kind::Close);
        Header {
            length,
            kind,
            flags,
            sequence: if of_call { id } else { Sequence::CONNECTION },
            code: if with_code { code } else { 0 },
        }
    })
}

prop_compose! {
    fn hello()(
        (first, last) in (any::<u16>(), any::<u16>()).prop_map(|(a, b)| (a.min(b), a.max(b))),
        max_frame in 4096u32..,
        max_message in 1024u32..,
        call_slots in 0u32..=65_536,
        windows in (any::<u64>(), any::<u64>()),
        heartbeat in prop::option::of((1_000u32..=3_600_000, 1_000u32..=3_600_000)),
        capabilities in any::<u64>(),
        codecs in prop::collection::vec(any::<u16>().prop_map(Codec), 0..70),
        credentials in prop::collection::vec(any::<u8>(), 0..=3072),
    ) -> Hello {
        let least = 64 + u64::from(max_message);
        Hello {
            versions: Versions { first, last },
            max_frame,
            max_message,
            call_slots,
            request_window: windows.0.max(least),
            push_window: windows.1.max(least),
            heartbeat: heartbeat.map(|(wish_millis, minimum_millis)| Heartbeat { wish_millis, minimum_millis }),
            capabilities: Capabilities::from_bits(capabilities),
            codecs,
            credentials: credentials.into(),
        }
    }
}

fn short_text() -> impl Strategy<Value = Option<Box<str>>> {
    prop::option::of("\\PC{0,64}".prop_map(String::into_boxed_str))
}

fn token() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 1..=64))
}

proptest! {
    /// LW-2.6: every header that follows the table is read as it was written.
    #[test]
    fn headers_are_read_as_they_were_written(header in header()) {
        let bytes = header.to_bytes();
        let view = HeaderView::new_checked(&bytes).unwrap();
        prop_assert_eq!(Header::parse(view, u32::MAX), Ok(Parsed::Frame(header)));
        if header.length > 0 {
            prop_assert!(Header::parse(view, header.length - 1).is_err());
            prop_assert_eq!(Header::of_whole_message(view, header.length - 1), None);
        }
        let whole = header.kind.is_message()
            && !header.flags.contains(Flags::MORE)
            && !header.flags.contains(Flags::IGNORABLE)
            && (header.kind != Kind::Push || header.sequence.is_connection());
        prop_assert_eq!(Header::of_whole_message(view, header.length), whole.then_some(header));
    }

    /// LW-2.6: a header that parses is written as it was read, so there is one form of each.
    #[test]
    fn headers_are_written_as_they_were_read(bytes in any::<[u8; HEADER_LEN]>(), kind in 0u8..16) {
        let mut bytes = bytes;
        bytes[4] = kind;
        let view = HeaderView::new_checked(&bytes).unwrap();
        let parsed = Header::parse(view, u32::MAX);
        if let Ok(Parsed::Frame(header)) = parsed {
            prop_assert_eq!(header.to_bytes(), bytes);
        }
        if let Some(header) = Header::of_whole_message(view, u32::MAX) {
            prop_assert_eq!(parsed, Ok(Parsed::Frame(header)), "the short way judges like the long one");
        }
    }

    /// LW-3.3: every hello within its ranges is read as it was written.
    #[test]
    fn hellos_are_read_as_they_were_written(hello in hello()) {
        let mut bytes = Vec::new();
        hello.emit(&mut bytes);
        prop_assert_eq!(Hello::parse(&bytes), Ok(hello.clone()));
        // A cut is noticed, unless it falls in front of an optional field.
        bytes.pop();
        prop_assert_ne!(Hello::parse(&bytes), Ok(hello));
    }

    /// LW-7.8: every close that keeps to its limits is read as it was written.
    #[test]
    fn closes_are_read_as_they_were_written(
        text in short_text(),
        retry in prop::option::of(any::<u32>()),
        redirect in short_text(),
        stay_away in any::<bool>(),
    ) {
        let retry_after = retry.map(|millis| Duration::from_millis(millis.into()));
        let info = CloseInfo { text, retry_after, redirect, stay_away };
        let mut bytes = Vec::new();
        info.emit(&mut bytes);
        prop_assert_eq!(CloseInfo::parse(&bytes), info);
    }

    /// LW-7.8: what is longer than a CLOSE may carry is cut or left out, so that the rest is read.
    #[test]
    fn a_close_never_says_too_much(text in "\\PC{0,400}", redirect in "\\PC{0,400}") {
        let info = CloseInfo {
            text: Some(text.as_str().into()),
            redirect: Some(redirect.as_str().into()),
            stay_away: true,
            ..CloseInfo::default()
        };
        let mut bytes = Vec::new();
        info.emit(&mut bytes);
        let read = CloseInfo::parse(&bytes);
        prop_assert!(read.stay_away);
        prop_assert!(text.starts_with(read.text.as_deref().unwrap()));
        prop_assert_eq!(read.redirect.as_deref(), (redirect.len() <= 256).then_some(redirect.as_str()));
    }

    /// LW-9.1: extension fields are read as they were written, and the body stands behind them.
    #[test]
    fn extensions_are_read_as_they_were_written(
        deadline_millis in prop::option::of(any::<u32>()),
        route in prop::option::of("\\PC{1,60}"),
        metadata in prop::option::of(prop::collection::vec(any::<u8>(), 0..500)),
        key in token(),
        trace in token(),
        codec in prop::option::of(any::<u16>().prop_map(Codec)),
    ) {
        let fields = ExtensionFields {
            route: route.as_deref(),
            metadata: metadata.as_deref(),
            idempotency_key: key.as_deref(),
            trace: trace.as_deref(),
            codec,
        };
        let extensions = Extensions::new(&fields).unwrap();
        prop_assert_eq!(extensions.fields(), fields);
        let mut bytes = Vec::new();
        extensions.emit_block(deadline_millis, &mut bytes);
        prop_assert_eq!(bytes.len(), extensions.block_len(deadline_millis.is_some()));
        if !bytes.is_empty() {
            let body_at = bytes.len();
            bytes.extend_from_slice(b"body");
            let block = ExtensionBlock { deadline_millis, fields, body_at };
            prop_assert_eq!(ExtensionBlock::parse(Kind::Request, &bytes), Ok(block));
        }
    }

    /// LW-6.2, LW-8.1: CREDIT and PONG are read as they were written, and written as they were read.
    #[test]
    fn control_payloads_are_read_as_they_were_written(pong in any::<[u8; 12]>(), credit in any::<[u8; 16]>()) {
        prop_assert_eq!(Pong::parse(&pong).to_bytes(), pong);
        prop_assert_eq!(Credit::parse(&credit).to_bytes(), credit);
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200), tags in prop::collection::vec(0u16..40, 0..12)) {
        // Fields that are well formed, so that what stands in them is reached too.
        let mut rest = &bytes[..];
        let mut fields = Vec::new();
        for tag in tags {
            let (value, left) = rest.split_at(rest.len().min(usize::from(tag) % 9));
            super::super::fields::put_field(&mut fields, tag, value);
            rest = left;
        }
        let block = [&(fields.len() as u16).to_be_bytes(), &fields[..]].concat();
        for payload in [&bytes, &fields, &block] {
            let _ = Hello::parse(payload);
            let _ = Hello::parse_versions(payload);
            let _ = CloseInfo::parse(payload);
            let _ = PrefaceCheck::default().feed(payload);
            for kind in Kind::ALL {
                if let Ok(parsed) = ExtensionBlock::parse(kind, payload) {
                    prop_assert!(parsed.body_at <= payload.len());
                }
            }
            if let Some(view) = HeaderView::new_checked(payload) {
                let _ = Header::parse(view, u32::MAX);
            }
        }
    }
}

/// LW-9.1: a field that no extension block may carry cannot be made.
#[test]
fn extension_fields_outside_their_limits_are_refused() {
    let long = [0; 61_441];
    let name = "r".repeat(256);
    let none = ExtensionFields::default();
    let wrong = [
        ExtensionFields { route: Some(""), ..none },
        ExtensionFields { route: Some(&name), ..none },
        ExtensionFields { metadata: Some(&long), ..none },
        ExtensionFields { idempotency_key: Some(&[]), ..none },
        ExtensionFields { idempotency_key: Some(&long[..65]), ..none },
        ExtensionFields { trace: Some(&[]), ..none },
        ExtensionFields { trace: Some(&long[..65]), ..none },
    ];
    for fields in wrong {
        assert!(Extensions::new(&fields).is_err());
    }
    let longest = ExtensionFields { route: Some(&name[..255]), metadata: Some(&long[..61_440]), ..none };
    assert_eq!(Extensions::new(&longest).unwrap().fields(), longest);
}
