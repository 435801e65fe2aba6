//! What the server does: `echo`, `sleep` and `chat`, as `lw serve` does.

use std::str;
use std::time::Duration;

use proto_core::wire::{Extensions, Sequence};
use proto_core::{Bytes, Event, Instant, Message, RequestId, Route, StatusCode};

use crate::event_loop::{EventLoop, LinkId};

/// The longest `sleep`.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// The server's side of all connections.
#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Who sleeps. The slots that a peer is granted bound how many of its calls there can be.
    sleepers: Vec<Sleeper>,
}

#[derive(Debug)]
struct Sleeper {
    until: Instant,
    link: LinkId,
    request: RequestId,
    answer: Bytes,
}

impl Service {
    /// When it has something to do although nothing happens.
    pub(crate) fn next_alarm(&self) -> Option<Instant> {
        self.sleepers.iter().map(|sleeper| sleeper.until).min()
    }

    /// Wakes those whose time has come.
    pub(crate) fn tick(&mut self, net: &mut EventLoop) {
        let now = net.now();
        for sleeper in self.sleepers.extract_if(.., |sleeper| sleeper.until <= now) {
            reply(net, sleeper.link, sleeper.request, StatusCode::OK, sleeper.answer);
        }
    }

    /// Deals with what happened on a connection that was accepted.
    pub(crate) fn handle(&mut self, net: &mut EventLoop, link: LinkId, event: Event) {
        let now = net.now();
        match event {
            // Here is where credentials would be looked at, and `refuse` be called.
            Event::Hello(_) => {
                if let Some(connection) = net.connection(link) {
                    connection.accept(now);
                }
            }
            Event::Request { id, message, .. } => self.answer(net, link, id, message),
            Event::Push { token, message } => {
                if message.route() == Route::Name("chat") {
                    chat(net, &message.body);
                }
                // From now on the peer may send more.
                if let Some(connection) = net.connection(link) {
                    connection.release(now, token);
                }
            }
            Event::Cancelled(id) => {
                for sleeper in self.sleepers.extract_if(.., |sleeper| sleeper.is(link, id)) {
                    reply(net, link, sleeper.request, StatusCode::CANCELLED, Bytes::new());
                }
            }
            Event::Closed(_) => self.sleepers.retain(|sleeper| sleeper.link != link),
            _ => {}
        }
    }

    fn answer(&mut self, net: &mut EventLoop, link: LinkId, request: RequestId, message: Message) {
        match message.route() {
            Route::Name("echo") => reply(net, link, request, StatusCode::OK, message.body),
            Route::Name("sleep") => match duration(&message.body).filter(|&time| time <= LONGEST_SLEEP) {
                Some(time) => {
                    let (until, answer) = (net.now() + time, format!("{time:?}").into());
                    self.sleepers.push(Sleeper { until, link, request, answer });
                }
                None => {
                    reply(net, link, request, StatusCode::BAD_REQUEST, "a number of milliseconds".into());
                }
            },
            Route::Name("chat") => {
                let heard = chat(net, &message.body);
                reply(net, link, request, StatusCode::OK, heard.to_string().into());
            }
            _ => {
                let known = "there are echo, sleep and chat".into();
                reply(net, link, request, StatusCode::UNKNOWN_ROUTE, known);
            }
        }
    }
}

impl Sleeper {
    fn is(&self, link: LinkId, id: Sequence) -> bool {
        self.link == link && self.request.sequence() == id
    }
}

/// Answers a request. What cannot be sent has been replaced by a status that says so.
pub(crate) fn reply(net: &mut EventLoop, link: LinkId, id: RequestId, status: StatusCode, body: Bytes) {
    let now = net.now();
    if let Some(connection) = net.connection(link) {
        let _ = connection.reply(now, id, status, Extensions::none(), body);
    }
}

/// Pushes to all who are connected, and says how many get it. Whoever reads too slowly misses it; nobody waits for that.
fn chat(net: &mut EventLoop, body: &Bytes) -> usize {
    let Ok(message) = Message::named("chat", body.clone()) else { return 0 };
    let now = net.now();
    let mut reached = 0;
    for link in net.accepted() {
        if let Some(connection) = net.connection(link) {
            reached += usize::from(connection.push(now, message.clone()).is_ok());
        }
    }
    reached
}

/// Milliseconds, with or without the unit.
fn duration(text: &[u8]) -> Option<Duration> {
    let text = str::from_utf8(text).ok()?;
    text.strip_suffix("ms").unwrap_or(text).parse().ok().map(Duration::from_millis)
}
