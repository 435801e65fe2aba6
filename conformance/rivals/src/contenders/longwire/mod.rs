//! Longwire as one would write it, with its default limits and heartbeats: what is the same on every adapter.
//! Where a workload needs more than the defaults, [`config`] says so.

mod broadcast;
mod glommio;
mod smol;
mod tokio;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use adapter_tokio::{
    Bytes, Client, Config, Handler, Lane, Peer, Reply, Request, Route, ServerHandle, Status, on_request,
};

use crate::Result;
use crate::callers::{Caller, check};
use crate::contender::Contender;
use crate::workload::{Echo, Job};

pub(crate) const ALL: &[Contender] =
    &[tokio::CONTENDER, smol::CONTENDER, glommio::CONTENDER, tokio::BUSY, smol::BUSY, glommio::BUSY];

/// How long those that do so go on asking before they rest: longer than the way to the other end and back.
const BUSY_POLL: Option<Duration> = Some(Duration::from_micros(100));

/// Answers with the same body.
const ECHO: u32 = 1;
/// Answers with the body's length.
const LENGTH: u32 = 2;
/// Pushes to all peers, and answers how many there are.
const BROADCAST: u32 = 3;

/// The limits of both ends.
fn config(job: &Job) -> Config {
    let defaults = Config::default();
    match *job {
        // Only W8 has more calls in flight than there are slots by default, and more than the windows have
        // room for.
        Job::Echo(Echo { in_flight, size, .. }) if in_flight > defaults.call_slots as usize => {
            let room = in_flight * (size + OVERHEAD);
            Config {
                call_slots: in_flight as u32,
                request_window: defaults.request_window.max(room as u64),
                outbox_limit: defaults.outbox_limit.max(room),
                reply_limit: defaults.reply_limit.max(room),
                undelivered_limit: defaults.undelivered_limit.max(room),
                ..defaults
            }
        }
        // W7 has messages of 100 MB.
        Job::Mixed { transfer, receive_buffer } if transfer > 0 => {
            Config { receive_buffer, ..defaults.with_max_message(transfer as u32 + 1024) }
        }
        _ => defaults,
    }
}

/// What each message counts for beside its length, and some more.
const OVERHEAD: usize = 128;

/// A server's handler. It finds its server in `server` once that listens.
fn handler(server: Arc<OnceLock<ServerHandle>>, job: &Job) -> impl PeerHandler + use<> {
    let size = if let Job::Broadcast { size, .. } = *job { size } else { 0 };
    on_request(move |_: Peer, request: Request| {
        let server = (request.route() == Route::Number(BROADCAST)).then(|| server.clone());
        async move {
            Ok::<Reply, Status>(match (request.route(), server) {
                (_, Some(server)) => broadcast::to_all(&server, size)?,
                (Route::Number(LENGTH), _) => request.body.len().to_string().into(),
                _ => request.body.into(),
            })
        }
    })
}

/// What a handler must be on runtimes whose tasks may move.
trait PeerHandler: Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {}

impl<H: Handler<Request: Send, Push: Send, Open: Send> + Send + Sync> PeerHandler for H {}

/// A connection whose calls have this body. All adapters have the same client.
#[derive(Clone)]
struct Connection {
    client: Client,
    body: Bytes,
}

impl Connection {
    fn new(client: Client, size: usize) -> Self {
        Self { client, body: vec![7; size].into() }
    }
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        let reply = self.client.call(ECHO, self.body.clone()).await?;
        check(self.body.len(), reply.body.len())
    }

    async fn transfer(&self, body: Bytes) -> Result {
        let length = body.len();
        let reply = self.client.call(LENGTH, body).lane(Lane::Bulk).await?;
        if reply.body == length.to_string() {
            Ok(())
        } else {
            Err("the transfer came to another length".into())
        }
    }
}
