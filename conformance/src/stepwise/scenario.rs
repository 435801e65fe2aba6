//! What two peers do, and what the network between them is like.
//!
//! The strategies draw small numbers on purpose: windows of a few messages, pipes of a few bytes, commits of a few
//! frames. What can go wrong at a limit goes wrong at a small one too, and much sooner.

use std::time::Duration;

use proptest::prelude::*;
use proto_core::layer::Layers;
use proto_core::simulation::{PairConfig, PipeConfig, Veil, WriterKind};
use proto_core::wire::Capabilities;
use proto_core::{Config, Instant, Lane, Role, SharedConfig};

/// One thing that an application does, or that happens around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It calls, with a body of about this size; what is refused for lack of room waits for `Writable`.
    Call {
        /// Bytes of the body.
        size: usize,
        /// Bytes of metadata.
        metadata: usize,
        /// How long it waits; `None` is for ever.
        timeout: Option<Duration>,
        /// How urgent it is.
        lane: Lane,
    },
    /// It pushes, likewise.
    Push {
        /// Bytes of the body.
        size: usize,
        /// Bytes of metadata.
        metadata: usize,
        /// How urgent it is.
        lane: Lane,
    },
    /// It replies to one of the requests that it has.
    Reply {
        /// Which, modulo their number.
        which: usize,
        /// Bytes of the body.
        size: usize,
    },
    /// It gives up one of its calls.
    Cancel {
        /// Which, modulo their number.
        which: usize,
    },
    /// It has dealt with one of the pushes that it has.
    Release {
        /// Which, modulo their number.
        which: usize,
    },
    /// It accepts, whether or not there is anything to accept.
    Accept,
    /// It takes so many events.
    Poll(usize),
    /// It brings its connection to an end, for at most so long.
    Drain(Duration),
    /// It closes.
    Close,
    /// It ends its connection at once.
    Abort,
    /// Something is asked or said that changes nothing; which, modulo the number of such things.
    Nudge(usize),
    /// Its transport takes over bytes that it will write later.
    Begin(usize),
    /// The network does so many steps.
    Step(usize),
    /// So much time passes.
    Wait(Duration),
}

/// Two peers, a network, and what happens. By default the peers are [quiet](PairConfig::quiet) and nothing happens.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The peers and the network.
    pub pair: PairConfig,
    /// What happens, and on which side.
    pub script: Vec<(Role, Action)>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self { pair: PairConfig::quiet(), script: Vec::new() }
    }
}

impl Scenario {
    /// Anything that may happen, on a network that is whole.
    pub fn any() -> impl Strategy<Value = Self> {
        Self::with(actions(), 80)
    }

    /// Calls and pushes that nobody gives up, and nobody closes: what comes of them does not depend on the network.
    pub fn without_races() -> impl Strategy<Value = Self> {
        Self::with(patient_actions(), 60)
    }

    /// Up to `most` of these actions.
    pub fn with(actions: impl Strategy<Value = Action>, most: usize) -> impl Strategy<Value = Self> {
        let script = prop::collection::vec((roles(), actions), 1..most);
        (pairs(), script).prop_map(|(pair, script)| Self { pair, script })
    }
}

/// Either role.
pub fn roles() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Dialer), Just(Role::Acceptor)]
}

/// Two small configurations and a whole network, sometimes with a byte layer on both sides.
pub fn pairs() -> impl Strategy<Value = PairConfig> {
    (bare_pairs(), prop_oneof![3 => Just(false), 1 => Just(true)]).prop_map(|(mut pair, veiled)| {
        if veiled {
            let layers = Layers::new(Veil);
            for config in [&mut pair.dialer, &mut pair.acceptor] {
                let veiled = Config { layer: Some(layers.clone()), ..(**config).clone() };
                *config =
                    veiled.share().unwrap_or_else(|error| panic!("a layer makes no difference: {error}"));
            }
        }
        pair
    })
}

fn bare_pairs() -> impl Strategy<Value = PairConfig> {
    let writer = prop_oneof![Just(WriterKind::Lent), Just(WriterKind::Owned)];
    (configs(), configs(), pipes(), pipes(), writer, any::<u64>()).prop_map(
        |(dialer, acceptor, to_acceptor, to_dialer, writer, seed)| PairConfig {
            dialer,
            acceptor,
            to_acceptor,
            to_dialer,
            writer,
            seed,
        },
    )
}

/// A configuration with small limits. Its times are long, so that only what a scenario times out does; and without heartbeats
/// a conversation comes to rest.
pub fn configs() -> impl Strategy<Value = SharedConfig> {
    let message = prop_oneof![2 => Just(1024u32), 4 => 1024..4000u32, 4 => 5000..20_000u32];
    let capabilities =
        prop_oneof![3 => Just(Capabilities::SUPPORTED), 1 => (0..8u64).prop_map(Capabilities::from_bits)];
    let frame = prop_oneof![2 => Just(4096u32), 1 => 4096..10_000u32];
    let slots = prop_oneof![Just(1u32), 2..10u32, Just(1024u32)];
    let window = prop_oneof![Just(0u64), 0..5000u64, Just(1u64 << 20)];
    let outbox = prop_oneof![Just(0usize), 0..10_000usize];
    let commit = prop_oneof![Just(1usize), 1..500usize, Just(128usize << 10)];
    (message, slots, window.clone(), window, outbox, commit, (frame, capabilities)).prop_map(
        |(
            max_message,
            call_slots,
            requests,
            pushes,
            outbox_limit,
            commit_limit,
            (max_frame, capabilities),
        )| {
            let hour = Duration::from_secs(3600);
            let config = Config {
                max_frame,
                capabilities,
                progress: None,
                max_message,
                call_slots,
                request_window: 64 + u64::from(max_message) + requests,
                push_window: 64 + u64::from(max_message) + pushes,
                heartbeat: None,
                outbox_limit,
                commit_limit,
                call_timeout: None,
                handshake_timeout: 24 * hour,
                write_stall_timeout: 24 * hour,
                close_timeout: 24 * hour,
                closing_timeout: 24 * hour,
                ..Config::default()
            };
            config.share().unwrap_or_else(|error| panic!("a strategy made a wrong configuration: {error}"))
        },
    )
}

/// A pipe that is whole, however narrow, slow and late.
pub fn pipes() -> impl Strategy<Value = PipeConfig> {
    let capacity = prop_oneof![1..40usize, 40..5000usize, Just(64usize << 10)];
    let most = prop_oneof![1..20usize, 1..3000usize, Just(64usize << 10)];
    let latency = prop_oneof![Just(0u64), 1..30u64];
    let stall = prop_oneof![3 => Just(None), 1 => (1..5000u64).prop_map(Some)];
    (capacity, 1..4usize, most, latency, stall).prop_map(|(capacity, least, most, latency, stall)| {
        PipeConfig {
            capacity,
            read_size: least..=most.max(least),
            latency: Duration::from_millis(latency),
            bytes_per_second: None,
            stalled_until: stall.map(|millis| Instant::EPOCH + Duration::from_millis(millis)),
            cut: None,
        }
    })
}

/// Sizes of bodies: mostly small, sometimes near the smallest maximum or beyond it.
pub fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![8 => 0..64usize, 4 => 64..1100usize, 2 => 1000..5000usize, 1 => 4000..20_000usize]
}

/// All that can happen.
pub fn actions() -> impl Strategy<Value = Action> {
    let which = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let timeout = prop_oneof![
        Just(None),
        Just(Some(Duration::ZERO)),
        (1..2000u64).prop_map(|millis| Some(Duration::from_millis(millis)))
    ];
    let call = (sizes(), metadata(), timeout, lanes())
        .prop_map(|(size, metadata, timeout, lane)| Action::Call { size, metadata, timeout, lane });
    let drain = (0..5000u64).prop_map(|millis| Action::Drain(Duration::from_millis(millis)));
    prop_oneof![
        8 => call,
        20 => patient_actions(),
        2 => which.clone().prop_map(|which| Action::Cancel { which }),
        1 => (which, sizes()).prop_map(|(which, size)| Action::Reply { which, size }),
        1 => Just(Action::Accept),
        1 => (0..3000usize).prop_map(Action::Begin),
        1 => prop_oneof![2 => Just(Action::Close), 1 => Just(Action::Abort), 2 => drain],
    ]
}

/// All that can happen without a race between what the peers want.
pub fn patient_actions() -> impl Strategy<Value = Action> {
    let which = any::<prop::sample::Index>().prop_map(|index| index.index(1 << 20));
    let call = (sizes(), metadata(), lanes()).prop_map(|(size, metadata, lane)| Action::Call {
        size,
        metadata,
        timeout: None,
        lane,
    });
    let push = (sizes(), metadata(), lanes()).prop_map(|(size, metadata, lane)| Action::Push {
        size,
        metadata,
        lane,
    });
    prop_oneof![
        5 => call,
        4 => push,
        3 => (which.clone(), 0..1000usize).prop_map(|(which, size)| Action::Reply { which, size }),
        2 => which.prop_map(|which| Action::Release { which }),
        3 => (1..20usize).prop_map(Action::Poll),
        2 => (0..100usize).prop_map(Action::Nudge),
        4 => (1..100usize).prop_map(Action::Step),
        2 => (0..500u64).prop_map(|millis| Action::Wait(Duration::from_millis(millis))),
    ]
}

/// How urgent messages are.
pub fn lanes() -> impl Strategy<Value = Lane> {
    prop_oneof![3 => Just(Lane::Normal), 1 => Just(Lane::High), 1 => Just(Lane::Bulk)]
}

fn metadata() -> impl Strategy<Value = usize> {
    prop_oneof![4 => Just(0usize), 1 => 1..200usize]
}
