//! Sockets that a poller watches. The only module with unsafe code.
//!
//! Interest is kept until it is changed (level-triggered): a socket goes on being reported as long as there is something to
//! read or room to write, so nobody has to read until there is nothing left before waiting again, and nobody has to ask
//! again after each event. In return, interest in writing must end when there is nothing to write.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::Arc;

use polling::{AsRawSource, AsSource, Event, PollMode, Poller};

/// A kind of socket that can be watched: one that is the same descriptor from its beginning to its end.
pub(super) trait Socket: AsSource {}

impl Socket for TcpListener {}
impl Socket for TcpStream {}

/// A socket, and what a poller reports of it. It can be read and written through a shared reference, as sockets are.
#[derive(Debug)]
pub(super) struct Watched<S: Socket> {
    socket: S,
    poller: Arc<Poller>,
    interest: Event,
}

impl<S: Socket> Watched<S>
where
    for<'a> &'a S: AsRawSource,
{
    /// Watches a socket, of which nothing is reported yet.
    pub(super) fn new(poller: &Arc<Poller>, key: usize, socket: S) -> io::Result<Self> {
        let interest = Event::none(key);
        #[expect(unsafe_code, reason = "the poller cannot know for how long a socket lives")]
        // SAFETY: a socket that has been added must be deleted from the poller before it is closed. It is owned by the value
        // made here, which lends it only by shared reference, and whose `drop` deletes it; if that never runs, the
        // socket is never closed either. The two types of sockets are one descriptor for all of their life.
        unsafe {
            poller.add_with_mode(&socket, interest, PollMode::Level)?;
        }
        Ok(Self { socket, poller: poller.clone(), interest })
    }
}

impl<S: Socket> Watched<S> {
    /// What is to be reported from now on. It costs nothing if that is what it was.
    pub(super) fn watch(&mut self, readable: bool, writable: bool) -> io::Result<()> {
        self.change(Event::new(self.interest.key, readable, writable))
    }

    /// Reports for another key from now on.
    pub(super) fn set_key(&mut self, key: usize) -> io::Result<()> {
        self.change(Event::new(key, self.interest.readable, self.interest.writable))
    }

    fn change(&mut self, interest: Event) -> io::Result<()> {
        if interest != self.interest {
            self.poller.modify_with_mode(&self.socket, interest, PollMode::Level)?;
            self.interest = interest;
        }
        Ok(())
    }
}

impl<S: Socket> Deref for Watched<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.socket
    }
}

impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        // It was added, so it can be deleted; and if not, there is nobody to tell.
        let _ = self.poller.delete(&self.socket);
    }
}
