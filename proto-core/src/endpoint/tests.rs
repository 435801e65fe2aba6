//! Clients that lose their connections at any moment, in virtual time: what becomes of their calls.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;

use crate::client::{Delay, ReconnectConfig};
use crate::config::Config;
use crate::connection::Role;
use crate::endpoint::{Client, Listener, Runtime, Spawn};
use crate::error::CloseReason;
use crate::peer::{
    Call, CallError, ClientState, Driver, Handler, Identity, NoHandler, Peer, Reply, on_request,
};
use crate::simulation::{Cut, CutKind, CutPlace, PipeConfig, VirtualListener, World};
use crate::wire::{CloseCode, CloseInfo};

/// Where the server is, when it is there.
const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7000);
const MILLI: Duration = Duration::from_millis(1);

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    /// A call with a body of this size, whose handler takes so many milliseconds.
    Call {
        idempotent: bool,
        size: usize,
        takes: u64,
        timeout: Option<u64>,
    },
    /// One of the callers gives up.
    GiveUp(usize),
    /// All streams break now.
    Break,
    /// The streams opened from now on break after so many bytes.
    BreakAfter(Option<usize>),
    /// The server goes, or comes back.
    Listen(bool),
    /// The server ends its connections in good order.
    Drain,
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Step> {
    let timeout = prop_oneof![3 => Just(None), 1 => (1..500u64).prop_map(Some)];
    let call = (any::<bool>(), 4..3000usize, 0..50u64, timeout);
    prop_oneof![
        8 => call.prop_map(|(idempotent, size, takes, timeout)| Step::Call { idempotent, size, takes, timeout }),
        1 => any::<usize>().prop_map(Step::GiveUp),
        2 => Just(Step::Break),
        2 => prop::option::of(1..8000usize).prop_map(Step::BreakAfter),
        1 => any::<bool>().prop_map(Step::Listen),
        1 => Just(Step::Drain),
        6 => (0..200u64).prop_map(Step::Pass),
    ]
}

/// How often each call was run.
type Runs = Arc<Mutex<BTreeMap<u32, usize>>>;

/// The number in front of a body, and how long its handler takes.
fn number(body: &[u8]) -> u32 {
    u32::from_be_bytes(body[..4].try_into().unwrap())
}

fn service(world: &World, runs: &Runs) -> impl Handler {
    let (world, runs) = (world.clone(), runs.clone());
    on_request(move |_, request| {
        *runs.lock().unwrap().entry(number(&request.body)).or_default() += 1;
        let takes = request.extensions.fields().trace.map_or(0, |takes| u32::from(takes[0]));
        let pause = world.wait(takes * MILLI);
        async move {
            pause.await;
            Ok(Reply::from(request.body))
        }
    })
}

type Results = Rc<RefCell<BTreeMap<u32, Result<Reply, CallError>>>>;

/// A client, a server, and what was called.
struct Rig {
    world: World,
    runs: Runs,
    /// Who listens, if anybody does, and whom it has taken.
    listener: Rc<RefCell<Option<VirtualListener>>>,
    server: Rc<RefCell<Vec<Peer>>>,
    client: Client,
    dials: Rc<Cell<usize>>,
    /// Whose callers have given up, by their number.
    given_up: Vec<Rc<Cell<bool>>>,
    results: Results,
    idempotent: Vec<bool>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        world.set_network(whole());
        let delay = Delay::Exponential { base: 10 * MILLI, cap: 100 * MILLI };
        let reconnect =
            ReconnectConfig { delay, first_loss_spread: 10 * MILLI, ..ReconnectConfig::default() };
        let config = Config { call_timeout: None, ..Config::default() };
        let builder = crate::endpoint::ClientBuilder::on(world.clone(), NoHandler);
        let client = builder.config(config).reconnect(reconnect).start([ADDRESS]).unwrap();
        let mut rig = Self {
            world,
            runs: Runs::default(),
            listener: Rc::default(),
            server: Rc::default(),
            client,
            dials: Rc::default(),
            given_up: Vec::new(),
            results: Results::default(),
            idempotent: Vec::new(),
        };
        rig.listen();
        rig
    }

    /// Takes who dials, until it is told not to.
    fn listen(&mut self) {
        if self.listener.borrow().is_some() {
            return;
        }
        self.listener = Rc::new(RefCell::new(Some(self.world.bind(ADDRESS, 1).unwrap())));
        let (world, runs, listener) = (self.world.clone(), self.runs.clone(), self.listener.clone());
        let (server, dials) = (self.server.clone(), self.dials.clone());
        self.world.spawn(async move {
            let config = crate::SharedConfig::default();
            loop {
                // Who is to listen no more has nothing to be woken for.
                let accepted = poll_fn(|cx| match &mut *listener.borrow_mut() {
                    Some(listener) => listener.poll_accept(cx),
                    None => Poll::Pending,
                });
                let accepted = accepted.await;
                dials.set(dials.get() + 1);
                let identity = Identity { id: 1, remote: None, seed: world.seed() };
                #[expect(
                    clippy::arc_with_non_send_sync,
                    reason = "the driver takes it so, whatever is in it"
                )]
                let handler = Arc::new(service(&world, &runs));
                let (stream, sleep) = (accepted.unwrap().0, world.sleep());
                let driver =
                    Driver::new(&config, Role::Acceptor, identity, &world.clock(), stream, sleep, handler);
                server.borrow_mut().push(driver.peer().clone());
                world.spawn(driver);
            }
        });
    }

    fn pass(&self, duration: Duration) {
        self.world.block_on(self.world.wait(duration));
    }

    /// Calls, and writes down what comes of it, unless the caller gives up.
    fn call(&mut self, call: Call) {
        let number = self.given_up.len() as u32;
        let (given_up, results) = (Rc::<Cell<bool>>::default(), self.results.clone());
        self.given_up.push(given_up.clone());
        let mut call: Pin<Box<Call>> = Box::pin(call);
        let look_up = self.world.clone();
        self.world.spawn(async move {
            let mut soon = Box::pin(look_up.wait(MILLI));
            let result = poll_fn(|cx| {
                if given_up.get() {
                    return Poll::Ready(None);
                }
                while soon.as_mut().poll(cx).is_ready() {
                    soon = Box::pin(look_up.wait(MILLI));
                }
                call.as_mut().poll(cx).map(Some)
            });
            if let Some(result) = result.await {
                assert!(results.borrow_mut().insert(number, result).is_none(), "call {number} ended twice");
            }
        });
        self.pass(Duration::ZERO);
    }

    /// Whether a caller still waits.
    fn is_waiting(&self) -> bool {
        let results = self.results.borrow();
        (0..).zip(&self.given_up).any(|(number, given_up)| !given_up.get() && !results.contains_key(&number))
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Call { idempotent, size, takes, timeout } => {
                let number = self.given_up.len() as u32;
                let mut body = number.to_be_bytes().to_vec();
                body.resize(size.max(4), number as u8);
                let trace = [takes as u8];
                let fields = crate::wire::ExtensionFields { trace: Some(&trace), ..Default::default() };
                let call = self.client.call(1, body).extensions(&fields);
                let call = if idempotent { call.idempotent() } else { call };
                let call = match timeout {
                    Some(millis) => call.timeout(millis as u32 * MILLI),
                    None => call,
                };
                self.idempotent.push(idempotent);
                self.call(call);
            }
            Step::GiveUp(which) if !self.given_up.is_empty() => {
                self.given_up[which % self.given_up.len()].set(true);
            }
            Step::GiveUp(_) => {}
            Step::Break => self.world.cut_all(CutKind::Reset),
            Step::BreakAfter(bytes) => self.world.set_network(PipeConfig {
                cut: bytes.map(|bytes| Cut { place: CutPlace::Bytes(bytes as u64), kind: CutKind::Reset }),
                ..whole()
            }),
            Step::Listen(true) => self.listen(),
            Step::Listen(false) => {
                self.listener.take();
                self.world.cut_all(CutKind::Reset);
            }
            Step::Drain => {
                for peer in self.server.take() {
                    peer.drain(CloseCode::GOING_AWAY, CloseInfo::default(), 20 * MILLI);
                }
            }
            Step::Pass(millis) => self.pass(millis as u32 * MILLI),
        }
    }
}

/// A network that does no harm, and is narrow.
fn whole() -> PipeConfig {
    PipeConfig { capacity: 4096, latency: Duration::ZERO, ..PipeConfig::default() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever becomes of the connections: every call ends once, with its own answer or the truth about what it came to;
    /// none is run twice unless its caller allows it; and in the end all are answered that may be.
    #[test]
    fn calls_survive_what_they_may_and_nothing_is_run_twice(
        script in prop::collection::vec(steps(), 1..40),
        seed: u64,
    ) {
        let mut rig = Rig::new(seed);
        for step in &script {
            rig.act(step);
        }
        // The server is there to stay.
        rig.act(&Step::BreakAfter(None));
        rig.act(&Step::Listen(true));
        rig.pass(Duration::from_secs(120));
        prop_assert!(!rig.is_waiting(), "a call never ends");
        let runs = rig.runs.lock().unwrap().clone();
        let results = rig.results.borrow().clone();
        for (number, result) in &results {
            let ran = runs.get(number).copied().unwrap_or_default();
            let idempotent = rig.idempotent[*number as usize];
            prop_assert!(ran <= 1 || idempotent, "call {number} was run {ran} times");
            match result {
                Ok(reply) => {
                    prop_assert!(ran >= 1);
                    prop_assert_eq!(self::number(&reply.body), *number, "another call's answer");
                }
                Err(error) => {
                    prop_assert!(error.may_have_run() || ran == 0, "call {number} ran {ran} times, and {error}");
                    let timed_out = matches!(error, CallError::TimedOut(_));
                    let lost = matches!(error, CallError::Lost { .. });
                    prop_assert!(timed_out || lost && !idempotent, "call {number} ended with {error:?}");
                }
            }
        }
        prop_assert_eq!(rig.client.state(), ClientState::Connected);
        prop_assert_eq!(rig.client.calls_in_flight(), 0);
        prop_assert_eq!(rig.client.held_bytes() < 2000, true, "{} bytes are held", rig.client.held_bytes());
    }

    /// Stop is final at any moment: nobody dials any more, whoever waits is told, and the task is gone.
    #[test]
    fn stop_is_final(script in prop::collection::vec(steps(), 0..20), seed: u64, millis in 0..300u64) {
        let mut rig = Rig::new(seed);
        for step in &script {
            rig.act(step);
        }
        rig.pass(millis as u32 * MILLI);
        rig.client.close(CloseCode::NORMAL, CloseInfo::default());
        let dials = rig.dials.get();
        rig.pass(Duration::from_secs(60));
        prop_assert!(!rig.is_waiting(), "a caller still waits");
        prop_assert_eq!(rig.dials.get(), dials, "it dials on");
        let state = rig.client.state();
        prop_assert!(matches!(state, ClientState::Stopped(_)), "{state:?}");
        let late = rig.client.call(1, "late");
        rig.call(late);
        let results = rig.results.borrow().clone();
        let late = results.values().next_back();
        let refused = matches!(late, Some(Err(CallError::Lost { reason: CloseReason::Local(_) | CloseReason::Transport(_) | CloseReason::Peer(..), .. })));
        prop_assert!(refused, "{late:?}");
    }
}
