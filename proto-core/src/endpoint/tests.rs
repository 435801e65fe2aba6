//! Clients that lose their connections at any moment, in virtual time: what becomes of their calls.

mod world;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;

use self::world::{ADDRESS, World};
use crate::client::{Delay, ReconnectConfig};
use crate::config::Config;
use crate::connection::Role;
use crate::endpoint::Client;
use crate::error::CloseReason;
use crate::peer::{
    Call, CallError, ClientState, Driver, Handler, Identity, NoHandler, Reply, Sleep, on_request,
};
use crate::wire::{CloseCode, CloseInfo};

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

struct Pause<S> {
    sleep: S,
    at: crate::Instant,
}

impl<S: Sleep + Unpin> Future for Pause<S> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let at = self.at;
        self.sleep.poll_until(cx, at)
    }
}

fn service(world: &World, runs: &Runs) -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    use crate::endpoint::Runtime;
    let (world, runs) = (world.clone(), runs.clone());
    on_request(move |_, request| {
        *runs.lock().unwrap().entry(number(&request.body)).or_default() += 1;
        let takes = request.extensions.fields().trace.map_or(0, |takes| u64::from(takes[0]));
        let pause = Pause { sleep: world.sleep(), at: world.now() + takes as u32 * MILLI };
        async move {
            pause.await;
            Ok(Reply::from(request.body))
        }
    })
}

/// A client, a server, and what was called.
struct Rig {
    world: World,
    runs: Runs,
    server: Vec<crate::peer::Peer>,
    client: Client,
    calls: Vec<Option<Pin<Box<Call>>>>,
    results: BTreeMap<u32, Result<Reply, CallError>>,
    idempotent: Vec<bool>,
}

impl Rig {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        world.listen(true);
        let delay = Delay::Exponential { base: 10 * MILLI, cap: 100 * MILLI };
        let reconnect =
            ReconnectConfig { delay, first_loss_spread: 10 * MILLI, ..ReconnectConfig::default() };
        let config = Config { call_timeout: None, ..Config::default() };
        let builder = crate::endpoint::ClientBuilder::on(world.clone(), NoHandler);
        let client = builder.config(config).reconnect(reconnect).start([ADDRESS]).unwrap();
        Self {
            world,
            runs: Runs::default(),
            server: Vec::new(),
            client,
            calls: Vec::new(),
            results: BTreeMap::new(),
            idempotent: Vec::new(),
        }
    }

    /// Takes what dialled, and looks at all calls.
    fn pass(&mut self, duration: Duration) {
        use crate::endpoint::{Runtime, Spawn};
        let Self { world, runs, server, calls, results, .. } = self;
        let config = crate::SharedConfig::default();
        world.pass(duration, || {
            while let Some(stream) = world.take_incoming() {
                let identity = Identity { id: 1, remote: None, seed: world.seed() };
                let handler = Arc::new(service(world, runs));
                let driver = Driver::new(
                    &config,
                    Role::Acceptor,
                    identity,
                    &world.clock(),
                    stream,
                    world.sleep(),
                    handler,
                );
                server.push(driver.peer().clone());
                world.spawn(async move { drop(driver.await) });
            }
            for (number, call) in (0..).zip(calls.iter_mut()) {
                let Some(future) = call else { continue };
                // Nobody else is woken for it: it is asked after every round.
                if let Poll::Ready(result) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    assert!(results.insert(number, result).is_none(), "call {number} ended twice");
                    *call = None;
                }
            }
        });
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Call { idempotent, size, takes, timeout } => {
                let number = self.calls.len() as u32;
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
                self.calls.push(Some(Box::pin(call)));
                self.idempotent.push(idempotent);
                self.pass(Duration::ZERO);
            }
            Step::GiveUp(which) if !self.calls.is_empty() => {
                let which = which % self.calls.len();
                self.calls[which] = None;
            }
            Step::GiveUp(_) => {}
            Step::Break => self.world.break_all(),
            Step::BreakAfter(bytes) => self.world.break_next_after(bytes),
            Step::Listen(listening) => {
                self.world.listen(listening);
                if !listening {
                    self.world.break_all();
                }
            }
            Step::Drain => {
                for peer in self.server.drain(..) {
                    peer.drain(CloseCode::GOING_AWAY, CloseInfo::default(), 20 * MILLI);
                }
            }
            Step::Pass(millis) => self.pass(millis as u32 * MILLI),
        }
    }
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
        prop_assert!(rig.calls.iter().all(Option::is_none), "a call never ends");
        let runs = rig.runs.lock().unwrap().clone();
        for (number, result) in &rig.results {
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
        let dials = rig.world.dials();
        rig.pass(Duration::from_secs(60));
        prop_assert!(rig.calls.iter().all(Option::is_none), "a caller still waits");
        prop_assert_eq!(rig.world.dials(), dials, "it dials on");
        let state = rig.client.state();
        prop_assert!(matches!(state, ClientState::Stopped(_)), "{state:?}");
        let late = rig.client.call(1, "late");
        rig.calls.push(Some(Box::pin(late)));
        rig.pass(Duration::ZERO);
        let late = rig.results.values().next_back();
        let refused = matches!(late, Some(Err(CallError::Lost { reason: CloseReason::Local(_) | CloseReason::Transport(_) | CloseReason::Peer(..), .. })));
        prop_assert!(refused, "{late:?}");
    }
}
