//! Plays a scenario with servers and clients on a runtime, and writes down what both sides observe.
//!
//! What the sides do is the same code on every runtime: it waits by alarms of its own, and never asks which runtime it is on.
//! Everything that a runtime does for it is done through the traits that its adapter implements.

mod alarms;
mod body;
mod faults;
mod nursery;
mod relay;
mod script;
mod table;

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use proto_core::client::{Delay, ReconnectConfig};
use proto_core::endpoint::{
    Client, ClientBuilder, ClientTask, ConnectionTask, Listener, Runtime, ServerBuilder, Spawn,
};
use proto_core::peer::{ClientState, WhileDown};
use proto_core::wire::CloseInfo;
use proto_core::{CloseCode, Role};

use self::nursery::{Nursery, until};
use self::script::Stage;
use crate::BOTH;
use crate::adapter::Adapter;
use crate::observed::{Observed, Watch};
use crate::scenario::Scenario;
use crate::trace::Trace;

pub(crate) use self::alarms::Alarms;
pub(crate) use self::body::{Kind, LEAST, LEAST_CALL, Label};
pub(crate) use self::faults::Faults;
pub(crate) use self::relay::{Relay, stranger};
pub(crate) use self::script::{DRAIN, QUIET, SIGHT};
pub use self::table::Player;
pub(crate) use self::table::{BACK_FAILED, say};

/// Longer than any scenario takes that comes to its end.
pub const TOO_LONG: Duration = Duration::from_secs(30);
/// How long what has no more reason to be there may take to go.
pub(crate) const LEAVING: Duration = Duration::from_secs(2);
/// How long sides that do so go on asking before they rest: long enough for what is on its way.
const BUSY_POLL: Duration = Duration::from_micros(300);
/// How long a server has for its end.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Any port of this machine.
pub(crate) const ANYWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Plays a scenario.
///
/// # Panics
/// If the runtime cannot listen on a port of `127.0.0.1`, or if the limits make no configuration: those that were read from text do.
pub fn play<A: Adapter>(adapter: &A, scenario: &Scenario) -> Trace {
    let runtime = adapter.runtime();
    adapter.block_on(play_on(runtime, scenario, TOO_LONG))
}

/// [`play`] as a future, which calls the scenario stuck after so long; [`TOO_LONG`] is enough for all.
///
/// # Panics
/// As for [`play`].
pub async fn play_on<R>(runtime: R, scenario: &Scenario, patience: Duration) -> Trace
where
    R: Runtime + Spawn<ConnectionTask<Observed<R>, Player>> + Spawn<ClientTask<Observed<R>, Player>>,
{
    let watch = Watch::default();
    let observed = Observed::new(runtime.clone(), watch.clone());
    let alarms = Alarms::new(runtime.clock());
    let scenario = Rc::new(scenario.clone());
    let stage = Rc::new(Stage::new(scenario.clone(), &alarms, watch));
    let play = Play { runtime, observed, scenario, alarms: alarms.clone(), stage: stage.clone(), patience };

    let nursery = Nursery::default();
    let stuck = nursery.run(play.run(&nursery)).await;
    nursery.clear();
    stage.trace(stuck)
}

/// All that takes part.
struct Play<R> {
    runtime: R,
    observed: Observed<R>,
    scenario: Rc<Scenario>,
    alarms: Alarms,
    stage: Rc<Stage>,
    patience: Duration,
}

impl<R> Play<R>
where
    R: Runtime + Spawn<ConnectionTask<Observed<R>, Player>> + Spawn<ClientTask<Observed<R>, Player>>,
{
    /// Plays all of it. If it takes too long, says what it waits for.
    async fn run<'a>(&'a self, nursery: &Nursery<'a>) -> Option<String> {
        nursery.spawn(self.alarms.drive(self.runtime.sleep()));
        let waiting = Rc::new(Cell::new("the beginning"));
        let all = self.all(nursery, &waiting);
        let mut late = std::pin::pin!(self.alarms.wait(self.patience));
        let mut all = std::pin::pin!(all);
        std::future::poll_fn(|cx| {
            if all.as_mut().poll(cx).is_ready() {
                return std::task::Poll::Ready(None);
            }
            late.as_mut()
                .poll(cx)
                .map(|()| Some(format!("it waits for {}", self.stage.waits_for(waiting.get()))))
        })
        .await
    }

    async fn all<'a>(&'a self, nursery: &Nursery<'a>, waiting: &Cell<&'static str>) {
        let stage = &self.stage;
        let listener = self.runtime.bind(ANYWHERE, 16).expect("the machine has a free port");
        let front = listener.local_addr().expect("it listens");
        let acceptor = Rc::new(Cell::new(self.serve(nursery).await));
        let relay = Relay {
            runtime: self.runtime.clone(),
            listener,
            scenario: self.scenario.clone(),
            faults: stage.faults.clone(),
            acceptor: acceptor.clone(),
        };
        nursery.spawn(relay.run());
        for bytes in &self.scenario.strangers {
            nursery.spawn(stranger(self.runtime.clone(), acceptor.get(), bytes.clone()));
        }
        nursery.spawn(self.replace_servers(nursery.clone(), acceptor));

        let client = self.client(front);
        stage.set_client(client.peer().clone());
        for role in BOTH {
            nursery.spawn(stage.clone().pushes(role));
            nursery.spawn(stage.clone().perform(role, nursery.clone()));
        }

        waiting.set("the scripts");
        until(|| BOTH.iter().all(|&role| stage.is_performed(role))).await;
        waiting.set("the ends of calls and pushes");
        BOTH.iter().for_each(|&role| stage.player(role).hold(false));
        until(|| BOTH.iter().all(|&role| stage.is_done(role))).await;
        waiting.set("rest");
        self.come_to_rest(&client).await;

        waiting.set("the end of the client");
        client.finish().await;
        waiting.set("the end of the server");
        self.be_forgotten().await;
        if let Some(server) = stage.server() {
            server.shutdown(SHUTDOWN);
            until(|| stage.server().is_none()).await;
        }
        waiting.set("what is left");
        self.leave().await;
    }

    /// A server on a port of its own, which is served until it ends.
    async fn serve<'a>(&'a self, nursery: &Nursery<'a>) -> SocketAddr {
        let player = self.stage.player(Role::Acceptor).clone();
        let server = ServerBuilder::on(self.observed.clone(), player).config(self.scenario.limits.config());
        let server =
            server.busy_poll(self.busy_poll()).bind(ANYWHERE).await.expect("the machine has a free port");
        let handle = server.handle();
        let address = handle.local_addr();
        self.stage.set_server(Some(handle));
        let stage = self.stage.clone();
        nursery.spawn(async move {
            server.serve().await;
            stage.set_server(None);
            stage.alarms.nudge();
        });
        address
    }

    /// Puts another server in the place of one that is to be replaced.
    async fn replace_servers<'a>(&'a self, nursery: Nursery<'a>, acceptor: Rc<Cell<SocketAddr>>) {
        loop {
            until(|| self.stage.wants_restart()).await;
            if let Some(server) = self.stage.server() {
                server.peers().iter().for_each(|peer| peer.abort(CloseCode::GOING_AWAY));
                server.stop();
            }
            until(|| self.stage.server().is_none()).await;
            self.stage.player(Role::Acceptor).replaced();
            acceptor.set(self.serve(&nursery).await);
            self.stage.restarted();
        }
    }

    fn busy_poll(&self) -> Option<Duration> {
        self.scenario.busy.then_some(BUSY_POLL)
    }

    fn client(&self, front: SocketAddr) -> Client {
        let reconnect = self.scenario.comes_back.then(|| ReconnectConfig {
            delay: Delay::Exponential { base: Duration::from_millis(2), cap: Duration::from_millis(20) },
            first_loss_spread: Duration::from_millis(2),
            ..ReconnectConfig::default()
        });
        let client = ClientBuilder::on(self.observed.clone(), self.stage.player(Role::Dialer).clone());
        client
            .config(self.scenario.limits.config())
            .reconnect(reconnect)
            .busy_poll(self.busy_poll())
            // Scenarios call before there is a connection, and no less than after.
            .while_down(WhileDown::Wait { calls: 1024, bytes: usize::MAX })
            .start([front])
            .expect("the limits have been looked at, and the address is one")
    }

    /// Waits until all has arrived and both sides are at rest, and writes down what they hold if that never comes.
    async fn come_to_rest(&self, client: &Client) {
        let late = self.alarms.now() + LEAVING;
        while self.alarms.now() < late {
            // One that has ended, or is about to, has no rest.
            let state = client.state();
            if client.close_reason().is_some() || state.end().is_some() {
                return;
            }
            if state == ClientState::Connected && BOTH.iter().all(|&role| self.stage.is_at_rest(role)) {
                // Nothing is left, even if something comes from now on.
                return;
            }
            self.alarms.wait(Duration::from_millis(1)).await;
        }
        for role in BOTH {
            let left = self.stage.left(role);
            self.stage.player(role).record(|side| side.left = left);
        }
    }

    /// Waits until the server counts its only client no more, and writes down what it counts if that never comes.
    async fn be_forgotten(&self) {
        let late = self.alarms.now() + LEAVING;
        // Strangers may stay for as long as a handshake may take.
        let known = || self.stage.server().map_or(0, |server| server.peers().len());
        while known() > 0 && self.alarms.now() < late {
            self.alarms.wait(Duration::from_millis(1)).await;
        }
        self.stage.player(Role::Acceptor).record(|side| side.left.connections = known());
    }

    /// Waits until nothing is left of the endpoints, and writes down what is left if that never comes.
    async fn leave(&self) {
        let late = self.alarms.now() + LEAVING;
        loop {
            let handlers: usize = BOTH.iter().map(|&role| self.stage.player(role).handlers()).sum();
            let all_told = BOTH
                .iter()
                .all(|&role| self.stage.player(role).record(|side| side.opened == side.ends.len()));
            if handlers + self.stage.watch.parts() == 0 && all_told || self.alarms.now() >= late {
                break;
            }
            self.alarms.wait(Duration::from_millis(1)).await;
        }
        for role in BOTH {
            let player = self.stage.player(role);
            let (handlers, parts) = (player.handlers(), self.stage.watch.parts());
            player.record(|side| {
                side.left.handlers = side.left.handlers.max(handlers);
                side.left.parts = parts;
            });
        }
    }
}

/// What an end is called.
pub(crate) fn info() -> CloseInfo {
    CloseInfo::with_text("the scenario says so")
}
