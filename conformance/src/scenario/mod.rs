//! What two peers do, and what the network between them does, as a value: for every runner the same.
//!
//! A scenario says nothing about tasks, sockets or clocks. It is made by hand, drawn by [`strategies`], or read from a file:
//! its [text form](Scenario#text) is what a failure leaves behind.

mod parse;
pub mod strategies;
pub(crate) mod write;

use std::time::Duration;

use proto_core::{Config, HeartbeatConfig, Lane, Role};

pub use self::parse::ParseError;

/// Two peers, a network, and what happens.
///
/// Both scripts run side by side, each deed after the one before it. A deed that starts something (a call, a push) does not
/// wait for it. When both scripts have ended, what was held is let go, what is under way comes to its end, the dialer closes,
/// and the server shuts down.
///
/// # Text
///
/// ```
/// use conformance::Scenario;
///
/// let text = "\
/// ## Two calls over a bad line, one of which is given up.
/// seed 7
/// limits slots 2 message 2000 frame 4096 window 100
/// network to acceptor piece 3 delay 2ms capacity 1000
/// fault at 150 bytes to dialer: stall to dialer 20ms
///
/// dialer
///   call 100 -> reply 20 after 5ms
///   call 24 high -> never, dropped after 2 polls
///   await
///
/// acceptor
///   see 1
///   push 500 bulk
/// ";
/// let scenario: Scenario = text.parse()?;
/// assert_eq!(scenario.dialer.len(), 3);
/// assert_eq!(scenario.to_string().parse(), Ok(scenario));
/// # Ok::<(), conformance::ParseError>(())
/// ```
///
/// What a line leaves out has its default. Times are in whole `ms` (waits and delays up to 10 s, deadlines and stalls up to an hour), sizes
/// in bytes (up to 16 MiB), `#` begins a comment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scenario {
    /// Where chance comes from, on runners whose chance can be chosen.
    pub seed: u64,
    /// What both peers announce.
    pub limits: Limits,
    /// Whether the dialer comes back when it loses its connection.
    pub comes_back: bool,
    /// Whether both sides go on asking their connections for a while before they rest, on runners that can.
    pub busy: bool,
    /// What bytes go through on their way to the acceptor.
    pub to_acceptor: Path,
    /// What bytes go through on their way to the dialer.
    pub to_dialer: Path,
    /// What goes wrong on the way.
    pub faults: Vec<Fault>,
    /// What others say who connect to the acceptor, and are no peers at all.
    pub strangers: Vec<Vec<u8>>,
    /// What the side does that opens the connection.
    pub dialer: Vec<Deed>,
    /// What the side does that accepts it.
    pub acceptor: Vec<Deed>,
}

impl Scenario {
    /// The script of one side.
    pub const fn script(&self, role: Role) -> &Vec<Deed> {
        match role {
            Role::Acceptor => &self.acceptor,
            Role::Dialer => &self.dialer,
        }
    }

    /// Whether it is about a client that comes back, or a server that does.
    pub(crate) fn needs_clients(&self) -> bool {
        self.comes_back || self.acceptor.contains(&Deed::Restart)
    }

    /// The same with these faults only, by their places: one that has not come has done nothing.
    #[must_use]
    pub fn with_faults(&self, came: &[usize]) -> Self {
        let faults = self.faults.iter().enumerate().filter(|(place, _)| came.contains(place));
        Self { faults: faults.map(|(_, &fault)| fault).collect(), ..self.clone() }
    }

    /// What bytes go through on their way to this side.
    pub const fn path_to(&self, role: Role) -> &Path {
        match role {
            Role::Acceptor => &self.to_acceptor,
            Role::Dialer => &self.to_dialer,
        }
    }
}

/// What both peers announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls at once, each way. Default 1,024.
    pub slots: u32,
    /// Largest message. Default 64 KiB.
    pub message: u32,
    /// Largest frame. Default 64 KiB.
    pub frame: u32,
    /// Bytes of credit beside those of one largest message, for requests and for pushes. Default 2 MiB.
    pub window: u32,
    /// How long a peer may be silent beyond the second within which each side says that it lives. Default `None`: for ever.
    pub silence: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { slots: 1024, message: 64 << 10, frame: 64 << 10, window: 2 << 20, silence: None }
    }
}

impl Limits {
    /// The configuration that announces them. No other time in it ends anything while a scenario is played.
    pub fn config(&self) -> Config {
        let window = u64::from(self.message) + 64 + u64::from(self.window);
        let second = Duration::from_secs(1);
        let heartbeat =
            self.silence.map(|timeout| HeartbeatConfig { wish: second, minimum: second, timeout });
        Config {
            max_frame: self.frame,
            max_message: self.message,
            call_slots: self.slots,
            request_window: window,
            push_window: window,
            call_timeout: None,
            heartbeat,
            progress: None,
            ..Config::default()
        }
    }
}

/// What bytes go through on their way to one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// Most bytes that arrive at once. Default 64 KiB.
    pub piece: usize,
    /// How long they are under way. Default: no longer than the machine takes.
    pub delay: Duration,
    /// How many are under way at most, beside those in the buffers of the system's sockets, if there are such. Default 64 KiB.
    pub capacity: usize,
}

impl Default for Path {
    fn default() -> Self {
        Self { piece: 64 << 10, delay: Duration::ZERO, capacity: 64 << 10 }
    }
}

/// Something that goes wrong on the way, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub when: Trigger,
    /// What.
    pub what: Trouble,
}

/// When a fault comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trigger {
    /// As soon as so many bytes have arrived at this side, on all its connections together.
    Bytes(Role, u64),
    /// When this side begins the deed of this number, from 0.
    Deed(Role, usize),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Trouble {
    /// The connection breaks, for both sides.
    Cut,
    /// This side reads the end of the stream, and what follows is lost. The other direction goes on.
    HalfClose(Role),
    /// Nothing arrives at this side for so long.
    Stall(Role, Duration),
}

/// One thing that a side does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deed {
    /// Ends its connection at once.
    Abort,
    /// Waits until all its calls have ended.
    Await,
    /// Calls.
    Call(Call),
    /// Closes.
    Close,
    /// Drains: calls in flight are answered, then the connection ends.
    Drain,
    /// Gives up its call of this number, among its calls and from 0, if that is under way.
    Drop(usize),
    /// Does nothing, and neither should anything else happen but heartbeats: it is for when the other side has nothing to do either.
    Idle(Duration),
    /// From now on pushes are not dealt with: the other side can send no more of them than it has credit for.
    Hold,
    /// Pushes are dealt with again.
    LetGo,
    /// Pushes, when there is room for it.
    Push(Push),
    /// Acceptor: its server ends at once with all connections, and another one takes its place.
    Restart,
    /// Waits until so many messages of the other side have come, all in all; not for ever, since some may never come.
    See(usize),
    /// Waits.
    Wait(Duration),
}

impl Deed {
    /// Whether it ends the connection without a word before it.
    pub(crate) const fn is_abrupt(&self) -> bool {
        matches!(self, Self::Abort | Self::Restart)
    }
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Bytes of the body.
    pub size: usize,
    /// How urgent it is.
    pub lane: Lane,
    /// How long it waits at most.
    pub within: Option<Duration>,
    /// Whether it may run twice.
    pub idempotent: bool,
    /// What the other side answers.
    pub answer: Answer,
    /// When its future is dropped, unless it is ready before.
    pub dropped: Option<Dropped>,
}

impl Call {
    /// A call of this size that is answered at once, with this many bytes.
    pub const fn new(size: usize, reply: usize) -> Self {
        let answer = Answer { after: Duration::ZERO, back: None, what: Answered::Reply(reply) };
        Self { size, lane: Lane::Normal, within: None, idempotent: false, answer, dropped: None }
    }
}

/// A push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Push {
    /// Bytes of the body.
    pub size: usize,
    /// How urgent it is.
    pub lane: Lane,
    /// When its future is dropped, unless it is ready before: one that is was never sent.
    pub dropped: Option<Dropped>,
}

/// How a call is answered. The caller says so in the body, so that the callee need not know the scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// How long its handler waits first.
    pub after: Duration,
    /// The handler first calls back, with so many bytes, and waits for the answer.
    pub back: Option<usize>,
    /// With what.
    pub what: Answered,
}

/// With what a call is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// Nothing, ever.
    Never,
    /// Its handler panics.
    Panic,
    /// Success, and a body of so many bytes.
    Reply(usize),
    /// This status of the application, from 1,024.
    Status(u16),
}

/// When the future of a call or a push is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// When it has been polled so often.
    AfterPolls(usize),
    /// When so much time has passed.
    AfterTime(Duration),
}
