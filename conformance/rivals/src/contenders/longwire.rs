//! Longwire as one would write it, with its default limits and heartbeats: what is the same on every adapter.

use adapter_tokio::{Bytes, Client, Handler, Peer, Reply, Request, Status, on_request};

use crate::Result;
use crate::callers::{Caller, check};

/// A server's handler: answers with what it is sent.
pub(super) fn echo() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_request(|_: Peer, request: Request| async move { Ok::<Reply, Status>(request.body.into()) })
}

/// A connection whose calls have this body. All adapters have the same client.
#[derive(Clone)]
pub(super) struct Connection {
    client: Client,
    body: Bytes,
}

impl Connection {
    pub(super) fn new(client: Client, size: usize) -> Self {
        Self { client, body: vec![7; size].into() }
    }
}

impl Caller for Connection {
    async fn call(&self) -> Result {
        let reply = self.client.call(1, self.body.clone()).await?;
        check(self.body.len(), reply.body.len())
    }
}
