//! What every runtime promises, and the scenarios that try it.

use proptest::strategy::{BoxedStrategy, Strategy};

use crate::scenario::{Scenario, strategies};
use crate::trace::{End, Ending, Trace};

/// One promise.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Promise {
    /// What is promised, as the name of a test.
    pub name: &'static str,
    /// Draws the scenarios that try it.
    pub draw: fn() -> BoxedStrategy<Scenario>,
    /// How many are drawn usually.
    pub cases: u32,
    /// Whether it is about clients that come back.
    pub needs_clients: bool,
    /// Whether it is about how often drivers are woken.
    pub counts_turns: bool,
    /// What must have happened in some of them, or they prove nothing.
    pub meets: (&'static str, fn(&Trace) -> bool),
}

impl std::fmt::Debug for Promise {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Promise").field("name", &self.name).finish_non_exhaustive()
    }
}

/// All promises. Each scenario is judged by the whole model, whichever promise it was drawn for.
pub const PROMISES: &[Promise] = &[
    Promise {
        name: "what_does_not_race_is_the_same_everywhere",
        draw: || strategies::whole().boxed(),
        cases: 100,
        needs_clients: false,
        counts_turns: false,
        meets: ("an answer", |trace| trace.count(|ending| matches!(ending, Ending::Answered(0, _))) > 0),
    },
    Promise {
        name: "large_messages_arrive_whole_and_in_order",
        draw: || strategies::large().boxed(),
        cases: 40,
        needs_clients: false,
        counts_turns: false,
        meets: ("a large answer", |trace| {
            trace.count(|ending| matches!(ending, Ending::Answered(0, 65_536..))) > 0
        }),
    },
    Promise {
        name: "giving_up_at_any_moment_frees_the_slot_and_disturbs_nobody",
        draw: || strategies::given_up().boxed(),
        cases: 100,
        needs_clients: false,
        counts_turns: false,
        meets: ("a dropped call beside one that was answered", |trace| {
            trace.count(|ending| *ending == Ending::Dropped) > 0
                && trace.count(|ending| matches!(ending, Ending::Answered(..))) > 0
        }),
    },
    Promise {
        name: "floods_from_both_sides_finish",
        draw: || strategies::floods().boxed(),
        cases: 30,
        needs_clients: false,
        counts_turns: false,
        meets: ("more than 20 messages each way", |trace| {
            trace.dialer.arrivals.len().min(trace.acceptor.arrivals.len()) > 20
        }),
    },
    Promise {
        name: "a_cut_at_any_byte_ends_every_call_once",
        draw: || strategies::cuts().boxed(),
        cases: 80,
        needs_clients: false,
        counts_turns: false,
        meets: ("a lost call", |trace| trace.count(|ending| *ending == Ending::Lost) > 0),
    },
    Promise {
        name: "a_client_comes_back_and_nothing_runs_twice",
        draw: || strategies::comebacks().boxed(),
        cases: 60,
        needs_clients: true,
        counts_turns: false,
        meets: ("a second connection", |trace| trace.dialer.opened > 1),
    },
    Promise {
        name: "an_orderly_end_loses_no_answer",
        draw: || strategies::endings().boxed(),
        cases: 80,
        needs_clients: false,
        counts_turns: false,
        meets: ("a call that was made too late", |trace| {
            trace.count(|ending| *ending == Ending::NotMade) > 0
        }),
    },
    Promise {
        name: "strangers_disturb_nobody",
        draw: || strategies::strangers().boxed(),
        cases: 30,
        needs_clients: false,
        counts_turns: false,
        meets: ("an answer", |trace| trace.count(|ending| matches!(ending, Ending::Answered(0, _))) > 0),
    },
    Promise {
        name: "a_silent_peer_is_given_up",
        draw: || strategies::silences().boxed(),
        cases: 3,
        needs_clients: false,
        counts_turns: false,
        meets: ("a connection that ended for it", |trace| trace.dialer.ends.contains(&End::Broken)),
    },
    Promise {
        name: "a_quiet_peer_is_left_in_peace",
        draw: || strategies::quiet_lives().boxed(),
        cases: 1,
        needs_clients: false,
        counts_turns: false,
        meets: ("a call behind the silence", |trace| trace.dialer.calls.len() == 2),
    },
    Promise {
        name: "an_idle_connection_costs_nothing",
        draw: || strategies::idleness().boxed(),
        cases: 12,
        needs_clients: false,
        counts_turns: true,
        meets: ("an answer", |trace| trace.count(|ending| matches!(ending, Ending::Answered(0, _))) > 0),
    },
];
