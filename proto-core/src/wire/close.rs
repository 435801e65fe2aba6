//! The payload of CLOSE: fields that may help, none of which is needed (LW-7.8).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use super::fields::{Fields, put_field};

const MAX_TEXT: usize = 256;

mod tag {
    pub(super) const TEXT: u16 = 32;
    pub(super) const RETRY_AFTER: u16 = 33;
    pub(super) const REDIRECT: u16 = 34;
    pub(super) const STAY_AWAY: u16 = 35;
    pub(super) const KNOWN: [u16; 4] = [TEXT, RETRY_AFTER, REDIRECT, STAY_AWAY];
}

/// What a side says beside the code when it closes.
///
/// ```
/// use proto_core::wire::CloseInfo;
///
/// let info = CloseInfo::with_text("see you tomorrow");
/// let mut payload = Vec::new();
/// info.emit(&mut payload);
/// assert_eq!(CloseInfo::parse(&payload), info);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// For people. At most 256 bytes are sent; what is longer is cut at a character.
    pub text: Option<Box<str>>,
    /// Dial again no earlier than after this time. Sent in whole milliseconds, rounded up.
    pub retry_after: Option<Duration>,
    /// Dial this address instead. At most 256 bytes, or it is not sent.
    pub redirect: Option<Box<str>>,
    /// Do not dial again by yourself.
    pub stay_away: bool,
}

impl CloseInfo {
    /// Nothing but a text.
    pub fn with_text(text: &str) -> Self {
        Self { text: Some(cut(text).into()), ..Self::default() }
    }

    /// These words, and when to come back.
    ///
    /// ```
    /// use core::time::Duration;
    /// use proto_core::CloseInfo;
    ///
    /// let info = CloseInfo::with_text("restarting").and_retry_after(Duration::from_secs(5));
    /// assert_eq!(info.retry_after, Some(Duration::from_secs(5)));
    /// ```
    #[must_use]
    pub const fn and_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// These words, and where to go instead.
    #[must_use]
    pub fn and_redirect(mut self, address: &str) -> Self {
        self.redirect = Some(address.into());
        self
    }

    /// These words, and not to come back without being told to.
    #[must_use]
    pub const fn and_stay_away(mut self) -> Self {
        self.stay_away = true;
        self
    }

    /// Reads a payload. One that breaks a rule says nothing at all (LW-7.8).
    pub fn parse(payload: &[u8]) -> Self {
        Self::try_parse(payload).unwrap_or_default()
    }

    fn try_parse(payload: &[u8]) -> Option<Self> {
        let mut info = Self::default();
        for field in Fields::new(payload, &tag::KNOWN) {
            let (tag, value) = field.ok()?;
            match tag {
                tag::TEXT => info.text = Some(text(value)?),
                tag::RETRY_AFTER => {
                    let millis = u32::from_be_bytes(value.try_into().ok()?);
                    info.retry_after = Some(Duration::from_millis(millis.into()));
                }
                tag::REDIRECT => info.redirect = Some(text(value)?),
                tag::STAY_AWAY if !value.is_empty() => return None,
                tag::STAY_AWAY => info.stay_away = true,
                _ => {}
            }
        }
        Some(info)
    }

    /// Appends the payload.
    pub fn emit(&self, out: &mut Vec<u8>) {
        if let Some(text) = &self.text {
            put_field(out, tag::TEXT, cut(text).as_bytes());
        }
        if let Some(after) = self.retry_after {
            put_field(out, tag::RETRY_AFTER, &millis_rounded_up(after).to_be_bytes());
        }
        if let Some(redirect) = self.redirect.as_ref().filter(|address| address.len() <= MAX_TEXT) {
            put_field(out, tag::REDIRECT, redirect.as_bytes());
        }
        if self.stay_away {
            put_field(out, tag::STAY_AWAY, &[]);
        }
    }
}

/// Whole milliseconds, rounded up; more than fits is as much as fits (49 days).
pub(crate) fn millis_rounded_up(duration: Duration) -> u32 {
    let whole = duration.as_secs().saturating_mul(1000);
    let part = duration.subsec_nanos().div_ceil(1_000_000);
    u32::try_from(whole.saturating_add(part.into())).unwrap_or(u32::MAX)
}

fn text(value: &[u8]) -> Option<Box<str>> {
    let text = core::str::from_utf8(value).ok()?;
    (text.len() <= MAX_TEXT).then(|| text.into())
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
