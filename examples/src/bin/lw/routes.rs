//! What the server does: `echo`, `time`, `sleep` and `chat`.

use std::str;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adapter_tokio::{
    Broadcast, Bytes, Message, Push, Reply, Request, Route, ServerHandle, Status, StatusCode,
};

use crate::exit::say;
use crate::units;

/// The longest `sleep`. Whoever waits longer has probably mistaken the unit.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Everybody who is connected. A server knows them only once it listens, and its handler comes before that.
#[derive(Debug)]
pub(crate) struct Chat {
    server: OnceLock<ServerHandle>,
    verbose: bool,
}

impl Chat {
    pub(crate) fn new(verbose: bool) -> Arc<Self> {
        Arc::new(Self { server: OnceLock::new(), verbose })
    }

    /// The server listens. Only the first one counts.
    pub(crate) fn open(&self, server: ServerHandle) {
        let _ = self.server.set(server);
    }

    /// Pushes to all, and says how many got it. Somebody who reads too slowly misses it; nobody waits for that.
    fn say(&self, body: Bytes) -> usize {
        let (Some(server), Ok(message)) = (self.server.get(), Message::named("chat", body)) else { return 0 };
        let Broadcast { accepted, refused, .. } = server.broadcast_message(&message);
        if self.verbose && !refused.is_empty() {
            say(format_args!("a chat message reaches {accepted} and is missed by {}", refused.len()));
        }
        accepted
    }
}

/// Answers a call.
pub(crate) async fn answer(chat: Arc<Chat>, request: Request) -> Result<Reply, Status> {
    match request.route() {
        Route::Name("echo") => Ok(request.body.into()),
        Route::Name("time") => Ok(time().into()),
        Route::Name("sleep") => sleep(&request.body).await,
        Route::Name("chat") => Ok(chat.say(request.body).to_string().into()),
        _ => Err(Status::new(StatusCode::UNKNOWN_ROUTE, "there are echo, time, sleep and chat")),
    }
}

/// Takes a push.
pub(crate) async fn hear(chat: Arc<Chat>, push: Push) {
    if push.route() == Route::Name("chat") {
        chat.say(push.body);
    }
}

fn time() -> String {
    // A clock that stands before 1970 is wrong anyway.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}", now.as_secs(), now.subsec_millis())
}

async fn sleep(body: &[u8]) -> Result<Reply, Status> {
    let bad = |text| Status::new(StatusCode::BAD_REQUEST, text);
    let text = str::from_utf8(body).map_err(|_| bad("the body is no text, so no duration".to_owned()))?;
    let duration = units::duration(text).map_err(bad)?;
    if duration > LONGEST_SLEEP {
        return Err(bad("nobody sleeps longer than 1h here".to_owned()));
    }
    tokio::time::sleep(duration).await;
    Ok(format!("{duration:?}").into())
}
