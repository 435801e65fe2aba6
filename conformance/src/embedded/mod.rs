//! Plays scenarios on an event loop that drives connections itself, without `Peer`, futures or a runtime.
//!
//! Both sides and the network are on one thread here: a station does for one side what its script says and
//! what handlers would do, on the bare [`Connection`]; and what the loop's sockets are connected through is the same relay as on
//! runtimes, polled between the loop's turns.

mod polled;
mod requests;
mod station;

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use proto_core::endpoint::{Listener, Runtime};
use proto_core::wire::CloseInfo;
use proto_core::{CloseCode, Connection, Event, Instant, Role, SharedConfig};

use self::polled::Polled;
use self::station::Station;
use crate::BOTH;
use crate::model::Model;
use crate::player::{ANYWHERE, Alarms, Faults, LEAVING, Relay, SIGHT, stranger};
use crate::scenario::Scenario;
use crate::trace::{Trace, Work};

/// An event loop of your own that drives [`Connection`]s itself. [`run_loop`](crate::run_loop) runs the suite on it.
///
/// It is asked for what such a loop does anyway: listen, connect, wait, and say what happened. It accepts and polls events as the
/// guide [`proto_core::embedding`] has it; what is to be done with them is the suite's matter, [`Event::Hello`] included.
/// Clients that come back are not tried on it, since that is no matter of the loop.
pub trait EventLoop: Sized {
    /// What it is called in what the suite says.
    const NAME: &'static str;

    /// A connection of the loop, while it lasts and after.
    type Link: Copy + Eq;

    /// Makes a loop; there is one for each scenario.
    ///
    /// # Errors
    /// Why it cannot run on this machine: then the suite is skipped, and says so.
    fn start() -> Result<Self, String>;

    /// The present, as its connections know it.
    fn now(&self) -> Instant;

    /// Listens on some port of `127.0.0.1`, for connections with this configuration, and says on which.
    ///
    /// # Errors
    /// The system's.
    fn listen(&mut self, config: &SharedConfig) -> io::Result<SocketAddr>;

    /// Opens one connection. One that cannot be opened ends with [`Event::Closed`], like one that is lost.
    ///
    /// # Errors
    /// The system's, if it cannot even be tried.
    fn connect(&mut self, to: SocketAddr, config: &SharedConfig) -> io::Result<()>;

    /// Sends what waits, waits for sockets and timers until `until` at the latest, and deals with what came.
    ///
    /// # Errors
    /// The system's, if it cannot wait. What happens to one connection is no error here.
    fn turn(&mut self, until: Instant) -> io::Result<()>;

    /// What happened next, if anything did, to which connection, and which of its ends that is.
    fn poll_event(&mut self) -> Option<(Self::Link, Role, Event)>;

    /// A connection, to be commanded; what it then has to send leaves with the next turn. `None` once it has ended.
    fn connection(&mut self, link: Self::Link) -> Option<&mut Connection>;

    /// How many connections there are.
    fn connections(&self) -> usize;
}

/// How long the loop may sleep: the network is looked at in between.
const TICK: Duration = Duration::from_millis(1);

/// Plays a scenario on a new loop, and calls it stuck after so long; a dialer that would come back does not.
///
/// # Errors
/// Why the loop cannot run on this machine, or what is wrong with the scenario's limits.
///
/// # Panics
/// If no port of `127.0.0.1` is free, or if the loop cannot wait.
pub fn play<L: EventLoop>(scenario: &Scenario, patience: Duration) -> Result<Trace, String> {
    let mut net = L::start()?;
    let config = scenario.limits.config().share().map_err(|error| error.to_string())?;
    let polled = Polled::default();
    let acceptor = net.listen(&config).map_err(|error| format!("the loop cannot listen: {error}"))?;
    let listener = polled.bind(ANYWHERE, 16).expect("the machine has a free port");
    let front = listener.local_addr().expect("it listens");

    let faults = Rc::new(Faults::new(&scenario.faults));
    let relay = Relay {
        runtime: polled.clone(),
        listener,
        scenario: Rc::new(scenario.clone()),
        faults: faults.clone(),
        acceptor: Rc::new(Cell::new(acceptor)),
    };
    let mut network = Network::new(relay.run());
    for bytes in &scenario.strangers {
        network.add(stranger(polled.clone(), acceptor, bytes.clone()));
    }
    net.connect(front, &config).map_err(|error| format!("the loop cannot connect: {error}"))?;

    let alarms = Alarms::new(polled.clock());
    let stations = BOTH.map(|role| Station::new(role, scenario, &faults, &alarms));
    let mut stage = Stage { net, stations, network, scenario, forlorn: None };
    let stuck = stage.run(patience);
    let [dialer, acceptor] = &stage.stations;
    Ok(Trace {
        dialer: dialer.seen(),
        acceptor: acceptor.seen(),
        stuck,
        faults: faults.came(),
        work: Work::default(),
    })
}

struct Stage<'a, L: EventLoop> {
    net: L,
    /// The dialer's and the acceptor's.
    stations: [Station<'a, L::Link>; 2],
    network: Network<'a>,
    scenario: &'a Scenario,
    /// When the acceptor is sure to see no connection any more.
    forlorn: Option<Instant>,
}

impl<L: EventLoop> Stage<'_, L> {
    /// Plays all of it. If it takes too long, says what it waits for.
    fn run(&mut self, patience: Duration) -> Option<String> {
        let late = self.net.now() + patience;
        let wait = |stage: &mut Self, what: &str, done: fn(&Self) -> bool| {
            while !done(stage) {
                if stage.net.now() >= late {
                    return Some(format!("it waits for {what}"));
                }
                stage.turn();
            }
            None
        };
        let is_over = |stage: &Self| stage.stations.iter().all(Station::is_performed);
        let stuck = wait(self, "the scripts", is_over)
            .or_else(|| {
                self.stations.iter_mut().for_each(Station::let_go);
                wait(self, "the ends of calls and pushes", |stage| {
                    stage.stations.iter().all(Station::is_done)
                })
            })
            .or_else(|| {
                self.come_to_rest();
                self.close();
                wait(self, "the end of both connections", |stage| stage.stations.iter().all(Station::is_over))
            });
        self.leave();
        stuck
    }

    /// One round: the network, what the sides do, and what happens to them.
    fn turn(&mut self) {
        let moved = self.network.poll();
        let now = self.net.now();
        for station in &mut self.stations {
            let connection = station.link.and_then(|link| self.net.connection(link));
            station.act(now, connection);
        }
        let alarm = self.stations.iter().filter_map(Station::next_alarm).min();
        let tick = now + if moved { Duration::ZERO } else { TICK };
        let until = alarm.map_or(tick, |at| at.min(tick));
        self.net.turn(until).expect("the loop can wait");
        if self.stations[0].is_over() && now >= *self.forlorn.get_or_insert(now + SIGHT) {
            self.stations[1].stop();
        }
        while let Some((link, role, event)) = self.net.poll_event() {
            let now = self.net.now();
            if let Event::Hello(_) = event {
                if let Some(connection) = self.net.connection(link) {
                    connection.accept(now);
                }
                continue;
            }
            let station = &mut self.stations[usize::from(role == Role::Acceptor)];
            // Strangers never open, so that whoever does is the peer.
            if let Event::Open(_) = event
                && !station.is_over()
            {
                station.link = Some(link);
            }
            let is_its_own = station.link == Some(link) || (role == Role::Dialer && station.link.is_none());
            if is_its_own {
                let ended = matches!(event, Event::Closed(_));
                station.hear(now, self.net.connection(link), event);
                station.link = Some(link).filter(|_| !ended);
            }
        }
    }

    fn come_to_rest(&mut self) {
        let (late, may_end) = (self.net.now() + LEAVING, Model::new(self.scenario).may_end());
        while self.net.now() < late {
            if self.stations.iter().any(Station::is_over) {
                return;
            }
            let [dialer, acceptor] = &self.stations;
            let all_there = may_end || dialer.all_arrived_at(acceptor) && acceptor.all_arrived_at(dialer);
            let is_at_rest = |net: &mut L, station: &Station<'_, L::Link>| {
                station.is_idle() && station.left(net).is_some_and(|left| left.is_rest())
            };
            if all_there && self.stations.iter().all(|station| is_at_rest(&mut self.net, station)) {
                return;
            }
            self.turn();
        }
        for station in &self.stations {
            if let Some(left) = station.left(&mut self.net) {
                station.record(|side| side.left = left);
            }
        }
    }

    /// The dialer closes, unless its connection is ending already.
    fn close(&mut self) {
        let now = self.net.now();
        if let Some(connection) = self.stations[0].link.and_then(|link| self.net.connection(link)) {
            connection.close(now, CloseCode::NORMAL, CloseInfo::default());
        }
        self.stations[0].stop();
    }

    /// Waits until nothing is left, and writes down what is. Strangers may stay for as long as a handshake may take.
    fn leave(&mut self) {
        let late = self.net.now() + LEAVING;
        self.network.clear();
        while self.net.connections() > 0 && self.net.now() < late {
            self.turn();
        }
        let parts = self.net.connections();
        for station in &self.stations {
            station.record(|side| side.left.parts = parts);
            station.record_handlers();
        }
    }
}

/// The futures of the network, and whether one of them wants to go on at once.
struct Network<'a> {
    futures: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>>,
    woken: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Network<'a> {
    fn new(relay: impl Future<Output = ()> + 'a) -> Self {
        let mut network = Self { futures: Vec::new(), woken: Arc::default() };
        network.add(relay);
        network
    }

    fn add(&mut self, future: impl Future<Output = ()> + 'a) {
        self.futures.push(Box::pin(future));
    }

    fn poll(&mut self) -> bool {
        let waker = Waker::from(self.woken.clone());
        self.futures.retain_mut(|future| pin!(future).poll(&mut Context::from_waker(&waker)).is_pending());
        self.woken.0.swap(false, Ordering::Relaxed)
    }

    fn clear(&mut self) {
        self.futures.clear();
    }
}
