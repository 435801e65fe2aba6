//! What few connections have, in one box: most need no more room for it than for the reference.

use alloc::boxed::Box;
use core::net::SocketAddr;

use super::attributes::Attributes;
use super::session::Session;
use super::watch::Watchers;

#[derive(Debug, Default)]
pub(super) struct Aside(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    /// Of a client that comes back.
    session: Option<Box<Session>>,
    /// Tasks that wait for room, or for the connection to open or end.
    watchers: Watchers,
    attributes: Attributes,
    /// Where the other end is, if that takes more room than most addresses do.
    remote: Option<SocketAddr>,
}

impl Aside {
    #[inline]
    pub(super) fn session(&self) -> Option<&Session> {
        self.0.as_ref()?.session.as_deref()
    }

    pub(super) fn session_mut(&mut self) -> Option<&mut Session> {
        self.0.as_mut()?.session.as_deref_mut()
    }

    #[cfg(any(test, feature = "endpoint"))]
    pub(super) fn set_session(&mut self, session: Session) {
        self.kept().session = Some(Box::new(session));
    }

    /// Changes what waits, if anything does or is about to.
    pub(super) fn with_watchers<T>(&mut self, change: impl FnOnce(&mut Watchers) -> T) -> T {
        let result = change(&mut self.kept().watchers);
        self.tidy();
        result
    }

    pub(super) fn watchers(&mut self) -> Option<&mut Watchers> {
        self.0.as_mut().map(|kept| &mut kept.watchers)
    }

    pub(super) fn attributes(&self) -> Option<&Attributes> {
        self.0.as_ref().map(|kept| &kept.attributes)
    }

    pub(super) fn attributes_mut(&mut self) -> &mut Attributes {
        &mut self.kept().attributes
    }

    /// Gives what was kept, to be dropped without the lock.
    pub(super) fn take_attributes(&mut self) -> Option<Attributes> {
        let attributes = core::mem::take(&mut self.0.as_mut()?.attributes);
        self.tidy();
        Some(attributes)
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.remote
    }

    pub(super) fn set_remote(&mut self, remote: Option<SocketAddr>) {
        if remote.is_some() || self.0.is_some() {
            self.kept().remote = remote;
            self.tidy();
        }
    }

    fn kept(&mut self) -> &mut Kept {
        self.0.get_or_insert_default()
    }

    fn tidy(&mut self) {
        self.0.take_if(|kept| {
            let Kept { session, watchers, attributes, remote } = &**kept;
            session.is_none() && watchers.is_empty() && attributes.is_empty() && remote.is_none()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::sync::Arc;

    #[test]
    fn nothing_is_held_for_what_is_no_longer_there() {
        let mut aside = Aside::default();
        aside.set_remote(None);
        assert!(aside.0.is_none());
        aside.set_remote(Some(SocketAddr::from(([0; 16], 1))));
        assert!(aside.attributes_mut().insert(Arc::new(7)).is_none());
        aside.set_remote(None);
        assert!(aside.take_attributes().is_some_and(|attributes| attributes.value::<i32>().is_some()));
        assert!(aside.0.is_none());
        assert!(aside.take_attributes().is_none());
    }
}
