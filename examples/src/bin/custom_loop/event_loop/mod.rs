//! Longwire in an event loop without a runtime: any number of servers, connections and clients on one thread.
//!
//! [`EventLoop`] is what an adapter is on a runtime, and no more: it moves bytes between sockets and
//! [`Connection`]s, calls each at its time, and does what the clients' [`Dialer`]s say. It decides nothing. Whoever owns it
//! calls [`turn`](EventLoop::turn) as often as it likes, takes what happened with [`poll_event`](EventLoop::poll_event),
//! and commands connections through [`connection`](EventLoop::connection): no callbacks, no locks, nothing in the
//! background. A game calls it once in a tick, a gateway for ever.
//!
//! This folder stands alone, so that it can be copied. The parts:
//!
//! | module | |
//! |---|---|
//! | `link` | one socket and its connection: reads, writes, half-close |
//! | `client` | a dialer and what it is doing: waiting, connecting, linked |
//! | `listener` | accepting, and not spinning when the system has no descriptors left |
//! | `alarms` | who is to be called when |
//! | `watched` | sockets that a poller watches; the only unsafe code |
//!
//! [`Dialer`]: proto_core::client::Dialer

mod alarms;
mod client;
mod link;
mod listener;
mod watched;

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::mem;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant as SystemInstant};

use polling::{Events, Poller};
use proto_core::client::ReconnectConfig;
use proto_core::wire::CloseInfo;
use proto_core::{CloseCode, Connection, Event, Instant, Role, SharedConfig};

use self::alarms::Alarms;
use self::client::Wish;
use self::link::Link;
use self::listener::{Accepted, Listener};
use self::watched::Watched;

pub(crate) use self::client::Client;

/// How much is read at once. All connections share this one buffer: what they keep is their own business.
const BUFFER: usize = 64 << 10;

/// A connection of an [`EventLoop`]. Numbers are not used again, so an old one finds nobody rather than somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkId(usize);

/// A client of an [`EventLoop`]: one life across many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClientId(usize);

/// A listening socket of an [`EventLoop`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId(usize);

/// Something that happened, and where.
#[derive(Debug)]
pub(crate) struct Happened {
    pub(crate) link: LinkId,
    /// Whose connection it is; `None` if it was accepted.
    pub(crate) client: Option<ClientId>,
    pub(crate) event: Event,
}

/// Reads the clock: the time of all connections counts from when the loop was made.
#[derive(Clone, Copy, Debug)]
struct Clock(SystemInstant);

impl Clock {
    fn now(self) -> Instant {
        Instant::EPOCH + self.0.elapsed()
    }
}

/// Sockets, connections and clients, all on the thread that calls [`turn`](Self::turn).
#[derive(Debug)]
pub(crate) struct EventLoop {
    poller: Arc<Poller>,
    clock: Clock,
    /// Keys are shared by everything that a poller's event or an alarm can be for.
    next_key: usize,
    listeners: BTreeMap<usize, Listener>,
    clients: BTreeMap<usize, Client>,
    links: BTreeMap<usize, Link>,
    alarms: Alarms,
    /// Connections that have something to say, in turn.
    talking: VecDeque<usize>,
    /// Connections that the application has had in its hands since they were last looked after.
    touched: Vec<usize>,
    ready: Events,
    ready_keys: Vec<usize>,
    buffer: Box<[u8]>,
}

/// What the owner does.
impl EventLoop {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            poller: Arc::new(Poller::new()?),
            clock: Clock(SystemInstant::now()),
            next_key: 0,
            listeners: BTreeMap::new(),
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            alarms: Alarms::default(),
            talking: VecDeque::new(),
            touched: Vec::new(),
            ready: Events::new(),
            ready_keys: Vec::new(),
            buffer: vec![0; BUFFER].into(),
        })
    }

    /// The present, as all connections here know it.
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Takes connections from now on. Each begins with [`Event::Hello`], which wants an answer.
    pub(crate) fn listen(&mut self, socket: TcpListener, config: &SharedConfig) -> io::Result<ListenerId> {
        let key = self.new_key();
        self.listeners.insert(key, Listener::new(&self.poller, key, socket, config.clone())?);
        Ok(ListenerId(key))
    }

    /// Takes no further connections. Those that are there stay.
    pub(crate) fn stop_listening(&mut self, ListenerId(key): ListenerId) {
        self.listeners.remove(&key);
        self.alarms.clear(key);
    }

    /// Connects to one of these addresses, and comes back when the connection is lost, until it is told to stop or the
    /// server says so.
    pub(crate) fn keep_connected(
        &mut self,
        addresses: Vec<SocketAddr>,
        config: &SharedConfig,
        reconnect: ReconnectConfig,
    ) -> ClientId {
        let key = self.new_key();
        self.clients.insert(key, Client::new(addresses, config.clone(), reconnect, self.now(), seed()));
        self.advance_client(key);
        ClientId(key)
    }

    /// Where a client stands; `None` once it has been stopped.
    pub(crate) fn client(&self, ClientId(key): ClientId) -> Option<&Client> {
        self.clients.get(&key)
    }

    /// Ends a client: it makes no further attempt, and its connection is closed in good order.
    pub(crate) fn stop_client(&mut self, ClientId(key): ClientId) {
        if let Some(client) = self.clients.get_mut(&key) {
            client.stop(self.clock.now());
            self.advance_client(key);
            self.clients.remove(&key);
            self.alarms.clear(key);
        }
    }

    /// The connections that were accepted, those included whose handshake is not over.
    pub(crate) fn accepted(&self) -> Vec<LinkId> {
        let accepted = self.links.iter().filter(|(_, link)| link.client.is_none());
        accepted.map(|(&key, _)| LinkId(key)).collect()
    }

    /// How many connections there are, accepted or dialled.
    pub(crate) fn connections(&self) -> usize {
        self.links.len()
    }

    /// A connection, to be commanded. What it then has to send leaves with the next turn.
    pub(crate) fn connection(&mut self, LinkId(key): LinkId) -> Option<&mut Connection> {
        let link = self.links.get_mut(&key)?;
        if !mem::replace(&mut link.touched, true) {
            self.touched.push(key);
        }
        Some(&mut link.connection)
    }

    /// When something is due that nobody else asks for: a timer of a connection, an attempt of a client.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// One round: sends what waits, waits for sockets and for the time, and deals with what came. It waits until `until` at
    /// the latest, for ever if that is `None`, and not at all while there are events to take.
    pub(crate) fn turn(&mut self, until: Option<Instant>) -> io::Result<()> {
        for key in mem::take(&mut self.touched) {
            self.visit_link(key, Link::flush);
        }
        let wait = if self.talking.is_empty() {
            let at = self.alarms.next().into_iter().chain(until).min();
            at.map(|at| at.saturating_since(self.now()))
        } else {
            Some(Duration::ZERO)
        };
        self.ready.clear();
        self.poller.wait(&mut self.ready, wait)?;

        let mut keys = mem::take(&mut self.ready_keys);
        keys.extend(self.ready.iter().map(|event| event.key));
        for key in keys.drain(..) {
            self.visit(key, false);
        }
        self.ready_keys = keys;
        // Input before timers: a reply that has arrived in time is not to be taken for one that has not.
        let now = self.now();
        while let Some(key) = self.alarms.pop_due(now) {
            self.visit(key, true);
        }
        Ok(())
    }

    /// What happened next, if anything did: one event of each connection in turn, so that nobody waits for a chatterbox.
    pub(crate) fn poll_event(&mut self) -> Option<Happened> {
        while let Some(key) = self.talking.pop_front() {
            let now = self.now();
            let link = LinkId(key);
            // To take an event is to touch the connection: it may grant the peer more, or have ended.
            let Some(connection) = self.connection(link) else { continue };
            let event = connection.poll_event();
            if event.is_some() {
                // Until it says that there is no more: then it needs no memory for events.
                self.talking.push_back(key);
            } else if let Some(link) = self.links.get_mut(&key) {
                link.talking = false;
            }
            let Some(event) = event else { continue };
            let owner = self.links.get(&key).and_then(|link| link.client);
            if let Some(client) = owner.and_then(|owner| self.clients.get_mut(&owner)) {
                client.hear(now, &event);
            }
            if let Event::Closed(_) = event {
                // Nothing comes after it. The socket is closed by this.
                self.links.remove(&key);
                self.alarms.clear(key);
                owner.into_iter().for_each(|owner| self.advance_client(owner));
            }
            return Some(Happened { link, client: owner.map(ClientId), event });
        }
        None
    }
}

/// What the loop does for itself.
impl EventLoop {
    fn new_key(&mut self) -> usize {
        self.next_key += 1;
        self.next_key
    }

    /// Something happened to whoever has this key, or its time has come.
    fn visit(&mut self, key: usize, due: bool) {
        if self.links.contains_key(&key) {
            self.visit_link(key, |link, clock, buffer| link.serve(clock, buffer, due));
        } else if self.clients.contains_key(&key) {
            self.advance_client(key);
        } else if self.listeners.contains_key(&key) {
            self.accept(key);
        }
    }

    /// Does something with a connection, and arranges for what it wants then.
    fn visit_link(&mut self, key: usize, work: impl FnOnce(&mut Link, Clock, &mut [u8])) {
        let Some(link) = self.links.get_mut(&key) else { return };
        work(link, self.clock, &mut self.buffer);
        link.touched = false;
        if link.connection.has_events() && !mem::replace(&mut link.talking, true) {
            self.talking.push_back(key);
        }
        if link.has_heard_more_than_the_handshake()
            && let Some(client) = link.client.and_then(|owner| self.clients.get_mut(&owner))
        {
            client.lives(self.clock.now());
        }
        if !link.talking {
            // It may be long until it is heard of again.
            link.connection.shrink();
        }
        self.alarms.ring_by(key, link.connection.poll_timeout().map(|deadline| deadline.at));
    }

    /// Gets on with a client, and does for it what it cannot do itself.
    fn advance_client(&mut self, key: usize) {
        let now = self.now();
        let Some(client) = self.clients.get_mut(&key) else { return };
        let wish = client.advance(&self.poller, key, now);
        self.alarms.ring_by(key, client.next_alarm());
        match wish {
            Some(Wish::Link(socket, config)) => {
                self.next_key += 1;
                client.linked(LinkId(self.next_key));
                self.add_link(self.next_key, socket, &config, Role::Dialer, Some(key));
            }
            Some(Wish::HangUp(link)) => {
                if let Some(connection) = self.connection(link) {
                    connection.close(now, CloseCode::NORMAL, CloseInfo::default());
                }
            }
            None => {}
        }
    }

    fn accept(&mut self, key: usize) {
        let Some(listener) = self.listeners.get_mut(&key) else { return };
        let config = listener.config.clone();
        let Accepted { sockets, again } = listener.accept(self.clock.now());
        self.alarms.ring_by(key, again);
        for socket in sockets {
            let link = self.new_key();
            // One that cannot be watched cannot be served: its peer sees it closed.
            if let Ok(socket) = Watched::new(&self.poller, link, socket) {
                self.add_link(link, socket, &config, Role::Acceptor, None);
            }
        }
    }

    fn add_link(
        &mut self,
        key: usize,
        mut socket: Watched<TcpStream>,
        config: &SharedConfig,
        role: Role,
        client: Option<usize>,
    ) {
        // A poller that cannot do this reports nothing of the socket: the time for the handshake ends it.
        let _ = socket.set_key(key);
        let connection = Connection::new(config, role, self.now(), seed());
        self.links.insert(key, Link::new(socket, connection, client));
        self.visit_link(key, Link::flush);
    }
}

/// Chance for one connection or client: the standard library draws the keys of its maps from the system.
fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests;
