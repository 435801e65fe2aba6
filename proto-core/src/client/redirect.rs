//! Whether to follow a peer that says: dial somebody else.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Which redirects are followed. They come from somebody who may not have proved who it is, so by default none is.
///
/// ```
/// use proto_core::client::Redirects;
///
/// let redirects = Redirects::to(["*.games.example:7000", "10.0.0.7:7000"]);
/// assert!(redirects.allows("eu-3.games.example:7000"));
/// assert!(!redirects.allows("games.example.evil.net:7000"));
/// assert!(!redirects.allows("eu-3.games.example:22"));
/// assert!(!Redirects::to(["*games.example:7000"]).allows("evilgames.example:7000"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Redirects {
    /// `host:port`, to be met exactly, or `*.domain:port`, which any host within the domain meets. Letters are compared
    /// without regard to case. Default none.
    pub allowed: Vec<Box<str>>,
    /// Whether the credentials are shown to whom a redirect names. Default no.
    pub with_credentials: bool,
}

impl Redirects {
    /// How many are followed in a row, until a connection has proved to live.
    pub const MOST: u8 = 3;

    /// Redirects to these addresses, without credentials.
    pub fn to<'a>(allowed: impl IntoIterator<Item = &'a str>) -> Self {
        Self { allowed: allowed.into_iter().map(Into::into).collect(), with_credentials: false }
    }

    /// The same redirects; the credentials are shown to whom they name.
    #[must_use]
    pub const fn with_credentials(mut self) -> Self {
        self.with_credentials = true;
        self
    }

    /// Whether this address may be dialled because a peer says so.
    pub fn allows(&self, address: &str) -> bool {
        self.allowed.iter().any(|rule| {
            match rule.strip_prefix('*').filter(|domain| domain.starts_with('.')) {
                Some(domain) => address.len().checked_sub(domain.len()).is_some_and(|at| {
                    at > 0 && is_same(address.get(at..), domain) && is_host(&address[..at])
                }),
                None => is_same(Some(address), rule),
            }
        })
    }
}

fn is_same(one: Option<&str>, other: &str) -> bool {
    one.is_some_and(|one| one.eq_ignore_ascii_case(other))
}

/// Whether this can be the front of a host's name: nothing in it means anything to whoever takes addresses apart.
fn is_host(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'))
}
