//! The loop at work: a server and a client on one thread, in one loop, with a connection between them that is cut.
//!
//! Each step does one thing, checks what came of it and says so in a line, so the program is a test as well.

use std::fmt::{Debug, Display};
use std::net::TcpListener;
use std::time::Duration;

use proto_core::client::{Delay, DialState, GiveUp, ReconnectConfig};
use proto_core::wire::CloseInfo;
use proto_core::{
    Bytes, CloseCode, CloseReason, Config, Delivery, Event, Instant, Message, Outcome, Refusal, Route,
    StatusCode, Timeout,
};

use crate::Result;
use crate::event_loop::{ClientId, EventLoop, LinkId, ListenerId};
use crate::routes::{Service, reply};

/// More than any step takes. What takes longer does not end.
const LIMIT: Duration = Duration::from_secs(10);
const LARGE: u32 = 8 << 20;

type Step = fn(&mut Demo) -> Result<String>;

pub(crate) fn tour() -> Result<()> {
    let mut demo = Demo::new()?;
    let steps: [(&str, Step); 8] = [
        ("a call", a_call),
        ("a call back", a_call_back),
        ("a large body", a_large_body),
        ("a push", a_push),
        ("a deadline", a_deadline),
        ("a cut", a_cut),
        ("a drain", a_drain),
        ("the end", the_end),
    ];
    println!("a server and a client, one thread, no runtime\n");
    for (number, (name, step)) in (1..).zip(steps) {
        let told = step(&mut demo).map_err(|problem| format!("step {number}, {name}, failed: {problem}"))?;
        println!("{number:>2}. {name:<16}{told}");
    }
    println!("\nall as it should be");
    Ok(())
}

/// A program with a server and a client in it.
struct Demo {
    net: EventLoop,
    service: Service,
    listener: ListenerId,
    client: ClientId,
    /// What has happened, as far as a step asks for it.
    outcome: Option<Outcome>,
    heard: Option<Bytes>,
    /// The connection as the client and as the server know it, while it is open.
    here: Option<LinkId>,
    there: Option<LinkId>,
    closed: Vec<CloseReason>,
}

impl Demo {
    fn new() -> Result<Self> {
        let config = Config::default().with_max_message(LARGE + 1024).share()?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let mut net = EventLoop::new()?;
        let listener = net.listen(listener, &config)?;
        let client = net.keep_connected(vec![address], &config, impatient());
        let mut demo = Self {
            net,
            service: Service::default(),
            listener,
            client,
            outcome: None,
            heard: None,
            here: None,
            there: None,
            closed: Vec::new(),
        };
        demo.until_open()?;
        Ok(demo)
    }

    /// Runs the program until something has come about.
    fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> Result<T> {
        let limit = self.net.now() + LIMIT;
        loop {
            if let Some(result) = done(self) {
                return Ok(result);
            }
            if self.net.now() >= limit {
                return Err(format!("{what} does not come").into());
            }
            let alarm = self.service.next_alarm().map_or(limit, |at| at.min(limit));
            self.net.turn(Some(alarm))?;
            while let Some(happened) = self.net.poll_event() {
                match happened.client {
                    Some(_) => self.handle(happened.link, happened.event),
                    None => self.handle_accepted(happened.link, happened.event),
                }
            }
            self.service.tick(&mut self.net);
        }
    }

    fn until_open(&mut self) -> Result<()> {
        self.until("an open connection", |demo| demo.here.and(demo.there).map(drop))
    }

    /// The client's side.
    fn handle(&mut self, link: LinkId, event: Event) {
        match event {
            Event::Open(_) => self.here = Some(link),
            Event::Request { id, message, .. } if message.route() == Route::Name("mood") => {
                reply(&mut self.net, link, id, StatusCode::OK, "cheerful".into());
            }
            Event::Request { id, .. } => {
                reply(&mut self.net, link, id, StatusCode::UNKNOWN_ROUTE, Bytes::new());
            }
            Event::Push { token, message } => {
                self.heard = Some(message.body);
                let now = self.net.now();
                if let Some(connection) = self.net.connection(link) {
                    connection.release(now, token);
                }
            }
            Event::Ended { outcome, .. } => self.outcome = Some(outcome),
            Event::Closed(reason) => {
                self.here = None;
                self.closed.push(reason);
            }
            _ => {}
        }
    }

    /// The server's side: what it does beside its service is what a step wants to know.
    fn handle_accepted(&mut self, link: LinkId, event: Event) {
        match &event {
            Event::Open(_) => self.there = Some(link),
            Event::Closed(_) => self.there = None,
            Event::Ended { outcome, .. } => self.outcome = Some(outcome.clone()),
            _ => {}
        }
        self.service.handle(&mut self.net, link, event);
    }

    /// Calls from one of the two ends, without waiting for the answer.
    fn start(&mut self, from: Option<LinkId>, message: Message, timeout: Timeout) -> Result<()> {
        let now = self.net.now();
        let connection = from.and_then(|link| self.net.connection(link)).ok_or("there is no connection")?;
        connection.call(now, message, timeout)?;
        Ok(())
    }

    fn answer(&mut self) -> Result<Bytes> {
        match self.until("an answer", |demo| demo.outcome.take())? {
            Outcome::Reply { status: StatusCode::OK, body, .. } => Ok(body),
            other => unexpected(other),
        }
    }
}

/// Comes back sooner than a program would that has many clients.
fn impatient() -> ReconnectConfig {
    let delay = Delay::Exponential { base: Duration::from_millis(50), cap: Duration::from_secs(1) };
    ReconnectConfig { delay, first_loss_spread: Duration::from_millis(50), ..ReconnectConfig::default() }
}

fn a_call(demo: &mut Demo) -> Result<String> {
    demo.start(demo.here, Message::named("echo", "hello")?, Timeout::Default)?;
    let answer = demo.answer()?;
    check("the answer", &answer, &"hello")?;
    Ok(line("client → server", "echo \"hello\"", format_args!("{answer:?}")))
}

fn a_call_back(demo: &mut Demo) -> Result<String> {
    demo.start(demo.there, Message::named("mood", "")?, Timeout::Default)?;
    let answer = demo.answer()?;
    check("the answer", &answer, &"cheerful")?;
    Ok(line("server → client", "mood", format_args!("{answer:?}")))
}

fn a_large_body(demo: &mut Demo) -> Result<String> {
    let body: Bytes = (0..LARGE).map(|index| (index / 251) as u8).collect::<Vec<_>>().into();
    demo.start(demo.here, Message::named("echo", body.clone())?, Timeout::Default)?;
    let answer = demo.answer()?;
    check("that all of it came back", &(answer == body), &true)?;
    Ok(line("client → server", "echo 8 MiB", "8 MiB, read straight to where they are used"))
}

fn a_push(demo: &mut Demo) -> Result<String> {
    // The server pushes to all who are connected, which is one.
    demo.start(demo.here, Message::named("chat", "there is tea")?, Timeout::Default)?;
    let reached = demo.answer()?;
    check("how many it went to", &reached, &"1")?;
    let heard = demo.until("the push", |demo| demo.heard.take())?;
    check("what was heard", &heard, &"there is tea")?;
    Ok(line("server → client", "chat \"there is tea\"", "the client has heard it"))
}

fn a_deadline(demo: &mut Demo) -> Result<String> {
    let timeout = Timeout::After(Duration::from_millis(30));
    demo.start(demo.here, Message::named("sleep", "3600000")?, timeout)?;
    match demo.until("the end of the call", |demo| demo.outcome.take())? {
        Outcome::TimedOut(Delivery::MaybeSent) => {}
        other => return unexpected(other),
    }
    // The server is told, and stops: otherwise it would keep this in mind for an hour.
    demo.until("that the server gives up", |demo| demo.service.next_alarm().is_none().then_some(()))?;
    Ok(line("client → server", "sleep 1 h, for 30 ms", "given up, and the server knows"))
}

fn a_cut(demo: &mut Demo) -> Result<String> {
    demo.start(demo.here, Message::named("sleep", "3600000")?, Timeout::Never)?;
    demo.until("the sleeper", |demo| demo.service.next_alarm())?;
    let (before, cut_at) = (demo.here, demo.net.now());
    let connection = demo.there.and_then(|link| demo.net.connection(link)).ok_or("there is no connection")?;
    connection.abort(cut_at, CloseCode::INTERNAL);
    match demo.until("the end of the call", |demo| demo.outcome.take())? {
        Outcome::Lost(Delivery::MaybeSent) => {}
        other => return unexpected(other),
    }
    demo.until("the end of the connection", |demo| demo.closed.pop())?;
    demo.until_open()?;
    let took: Duration = demo.net.now().saturating_since(cut_at);
    check("that it is another connection", &(demo.here != before), &true)?;
    check("that the server has forgotten the call", &demo.service.next_alarm(), &None::<Instant>)?;
    demo.start(demo.here, Message::named("echo", "back again")?, Timeout::Default)?;
    check("the answer", &demo.answer()?, &"back again")?;
    Ok(line(
        "server ✂ client",
        "in the middle of a call",
        format_args!("the client is back after {took:.0?}"),
    ))
}

fn a_drain(demo: &mut Demo) -> Result<String> {
    demo.start(demo.here, Message::named("sleep", "50ms")?, Timeout::Default)?;
    demo.until("the sleeper", |demo| demo.service.next_alarm())?;
    // No further connections, no further calls; what is in flight is served; and nobody need come back.
    demo.net.stop_listening(demo.listener);
    let info = CloseInfo::with_text("see you tomorrow").and_stay_away();
    let now = demo.net.now();
    for link in demo.net.accepted() {
        if let Some(connection) = demo.net.connection(link) {
            connection.drain(now, CloseCode::GOING_AWAY, info.clone(), LIMIT);
        }
    }
    let draining = |demo: &mut Demo| {
        let link = demo.here?;
        demo.net.connection(link)?.is_draining().then_some(link)
    };
    let link = demo.until("the news of the drain", draining)?;
    let now = demo.net.now();
    let late =
        demo.net.connection(link).ok_or("it is gone")?.call(now, Message::new(1, ""), Timeout::Default);
    check("a further call", &late.map_err(|refused| refused.refusal), &Err(Refusal::Draining))?;
    check("the answer", &demo.answer()?, &"50ms")?;
    match demo.until("the end of the connection", |demo| demo.closed.pop())? {
        CloseReason::Peer(CloseCode::GOING_AWAY, Some(found)) => check("the words", &*found, &info)?,
        other => return unexpected(other),
    }
    let state = demo.net.client(demo.client).map(|client| client.state().clone());
    let expected = DialState::GivenUp(GiveUp::StayAway(CloseCode::GOING_AWAY));
    check("where the client stands", &state, &Some(expected))?;
    Ok(line("server → client", "drains", "the call in flight is answered, and the client stays away"))
}

fn the_end(demo: &mut Demo) -> Result<String> {
    demo.until("the end", |demo| (demo.net.connections() == 0).then_some(()))?;
    check("the alarms that are set", &demo.net.next_alarm(), &None::<Instant>)?;
    Ok(line("", "", "no connection is left, and no timer"))
}

// How a step is checked and told.

fn line(who: &str, what: &str, answer: impl Display) -> String {
    let arrow = if what.is_empty() { ' ' } else { '←' };
    format!("{who:<18}{what:<25}{arrow} {answer}")
}

fn check<T: PartialEq<U> + Debug, U: Debug>(what: &str, found: &T, expected: &U) -> Result<()> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}").into()) }
}

fn unexpected<T>(found: impl Debug) -> Result<T> {
    Err(format!("unexpected: {found:?}").into())
}
