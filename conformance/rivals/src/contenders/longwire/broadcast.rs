//! Broadcasts, as `ServerHandle` has them: the server is told to by a call, and pushes to all of its peers.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use adapter_tokio::{Client, Reply, ServerHandle, Status, StatusCode, on_push};
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures_util::StreamExt;

use super::{BROADCAST, PeerHandler};
use crate::Result;
use crate::contender::Load;
use crate::meter::{self, Figures};
use crate::page::{Word, word};

/// The route of what is pushed.
const NEWS: u32 = 4;

/// Pushes a message of so many bytes to every peer, and answers how many took it.
pub(super) fn to_all(server: &OnceLock<ServerHandle>, size: usize) -> Result<Reply, Status> {
    let server = server.get().ok_or(StatusCode::HANDLER_FAILED)?;
    let outcome = server.broadcast(NEWS, vec![7; size]);
    if let Some(encodes) = word(Word::Encodes) {
        // The body is shared, but each connection puts a frame of its own into its outbox.
        encodes.fetch_add(outcome.accepted as u64, Ordering::Relaxed);
    }
    Ok(outcome.accepted.to_string().into())
}

/// The clients of one process, which together wait until each of them has heard the news.
pub(super) struct Audience {
    peers: usize,
    left: Arc<AtomicUsize>,
    all: UnboundedSender<()>,
    heard: UnboundedReceiver<()>,
}

impl Audience {
    pub(super) fn new(peers: usize) -> Self {
        let (all, heard) = unbounded();
        Self { peers, left: Arc::new(AtomicUsize::new(0)), all, heard }
    }

    /// A client's handler.
    pub(super) fn handler(&self) -> impl PeerHandler {
        let (left, all) = (self.left.clone(), self.all.clone());
        on_push(move |_, _| {
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                // Nobody listens any more when the time is over.
                let _ = all.unbounded_send(());
            }
            async {}
        })
    }

    /// Does the client's part.
    pub(super) async fn load(
        mut self,
        load: &Load,
        connect: impl AsyncFn(&Self) -> Result<Client>,
    ) -> Result<Figures> {
        let mut clients = Vec::new();
        for _ in 0..self.peers {
            clients.push(connect(&self).await?);
        }
        let first = clients.first().ok_or("there are no peers")?;
        load.begin(1)?;
        let mut broadcasts = 0.0;
        loop {
            self.left.store(self.peers, Ordering::Relaxed);
            let started = Instant::now();
            let reply = first.call(BROADCAST, "").await?;
            if reply.body != self.peers.to_string() {
                return Err(format!("{} of {} peers took it", reply.text(), self.peers).into());
            }
            self.heard.next().await.ok_or("nobody can say that all have heard it")?;
            broadcasts += 1.0;
            if !meter::end(Some(started)) {
                break;
            }
        }
        let mut figures = meter::figures()?;
        figures.insert("encodes".into(), meter::encodes() / broadcasts);
        Ok(figures)
    }
}
