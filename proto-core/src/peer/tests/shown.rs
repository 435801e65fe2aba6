//! What is shown of errors and of the peer's words, in logs and on terminals.

use alloc::string::{String, ToString};

use crate::error::{CloseReason, Refusal, Refused};
use crate::peer::{CallError, Push, Reply, Request, Status};
use crate::wire::{CloseCode, CloseInfo, Extensions, StatusCode};
use crate::{Message, Outcome};

#[test]
fn a_large_body_does_not_fill_a_log() {
    let large = || bytes::Bytes::from(vec![b'x'; 1 << 20]);
    let status = Status::new(StatusCode::BAD_REQUEST, large());
    let refused = Refused { refusal: Refusal::Full, message: Message::named("route", large()).unwrap() };
    let reply = Reply::from(large());
    for shown in [
        format!("{status:?}"),
        format!("{:?}", CallError::Status(status.into())),
        format!("{refused:?}"),
        format!("{:?}", CallError::from(refused)),
        format!("{:?}", Ok::<_, CallError>(reply)),
        format!("{:?}", Request::new(Message::new(1, large()), None)),
        format!("{:?}", Push::new(Message::new(1, large()))),
        format!(
            "{:?}",
            Outcome::Reply { status: StatusCode::OK, extensions: Extensions::none(), body: large() }
        ),
    ] {
        assert!(shown.len() < 250, "{} characters", shown.len());
        assert!(shown.contains("(1048576 bytes)"), "{shown}");
    }
}

#[test]
fn characters_that_reorder_or_hide_what_is_shown_are_replaced() {
    let hidden = [
        // Bidirectional controls.
        0x061c, 0x200e, 0x200f, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069,
        // Without a width.
        0x180e, 0x200b, 0x200c, 0x200d, 0x2060, 0x2061, 0x2064, 0xfeff, 0xe0001, 0xe0041, 0xe007f,
        // Ends of lines, and what moves the cursor.
        0x000a, 0x000d, 0x001b, 0x007f, 0x0085, 0x009b, 0x2028, 0x2029,
    ];
    for hidden in hidden.map(|number| char::from_u32(number).unwrap()) {
        let text: String = ["a", "b"].join(&hidden.to_string());
        let status = Status::new(StatusCode::BAD_REQUEST, text.clone());
        assert_eq!(status.to_string(), "BAD_REQUEST: a\u{fffd}b", "{hidden:?}");
        assert_eq!(status.text(), "a\u{fffd}b", "{hidden:?}");
        let reason = CloseReason::Peer(CloseCode::NORMAL, Some(CloseInfo::with_text(&text).into()));
        assert_eq!(reason.to_string(), "closed by the peer: NORMAL (a\u{fffd}b)", "{hidden:?}");
    }
    let harmless = "naïve Ελληνικά עברית 日本語 🦀";
    assert_eq!(Status::new(StatusCode::BAD_REQUEST, harmless).text(), harmless);
}
