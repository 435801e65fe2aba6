//! A tour of Longwire: one server and some clients in one process, over TCP on this machine.
//!
//! Each step does one thing, checks what came back, and says so in a line. The program fails, and names the step, if
//! anything is not as it should be; so it is a test as well. The steps stand in the order in which they are run, each in
//! a function of its own that can be read alone. How they are run and told is in `telling`.

#[path = "quickstart/telling.rs"]
mod telling;

use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adapter_tokio::{
    BindError, CallError, Client, ClientState, CloseCode, CloseInfo, CloseReason, ConnectError, Delay,
    NoHandler, Peer, Push, ReconnectConfig, Refusal, Refuse, Reply, Request, Route, Server, ServerHandle,
    Status, StatusCode, client, on_request,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::telling::{Result, check, line, step, text, unexpected, word};

#[tokio::main]
async fn main() -> ExitCode {
    match tour().await {
        Ok(()) => {
            println!("\nall as it should be");
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("\n{problem}");
            ExitCode::FAILURE
        }
    }
}

async fn tour() -> Result<()> {
    let (noted, mut notes) = mpsc::unbounded_channel();
    let (server, serving) = serve(noted).await?;
    let address = server.local_addr();
    println!("a server listens on {address}\n");

    let (heard, mut news) = mpsc::unbounded_channel();
    let ada = connect("ada", address, &heard).await?;
    step(1, "a call", a_call(&ada)).await?;
    step(2, "an error status", an_error_status(&ada)).await?;
    step(3, "a call back", a_call_back(&ada)).await?;
    step(4, "out of order", out_of_order(&ada)).await?;
    step(5, "a deadline", a_deadline(&ada, &mut notes)).await?;
    step(6, "giving up", giving_up(&ada, &mut notes)).await?;
    step(7, "a push", a_push(&ada, &mut notes)).await?;

    let grace = connect("grace", address, &heard).await?;
    let alan = connect("alan", address, &heard).await?;
    step(8, "a broadcast", a_broadcast(&server, &mut news)).await?;
    step(9, "a refusal", a_refusal(address)).await?;
    step(10, "a close", a_close(ada, &mut notes)).await?;
    step(11, "a lost server", a_lost_server()).await?;
    step(12, "a drain", a_drain(&server, serving, [grace, alan])).await
}

// What the server does.

/// Whom a connection belongs to: kept with it from the moment when it is let in.
struct User(String);

/// What the server and the clients note as it happens, for the steps to check.
type Sender = mpsc::UnboundedSender<String>;
type Receiver = mpsc::UnboundedReceiver<String>;

/// Starts a server. What its clients push, what it begins for them, and how they leave goes to `noted`.
async fn serve(noted: Sender) -> Result<(ServerHandle, JoinHandle<()>)> {
    // The number of the answer that has reached the client last: see `out_of_order`.
    let arrived = Arc::new(watch::Sender::new(0));
    let (waiting, leaving, numbers) = (noted.clone(), noted.clone(), arrived.clone());
    let handler = on_request(move |peer, request| answer(peer, request, arrived.clone(), waiting.clone()))
        .on_push(move |peer, push| {
            take_note(&peer, &push, &noted, &numbers);
            async {}
        })
        .on_open(|peer, hello| async move { let_in(&peer, &hello.credentials) })
        .on_close(move |peer, reason| {
            let _ = leaving.send(format!("{} is gone, {reason}", user(peer)));
        });
    let server = Server::bind("127.0.0.1:0", handler).await?;
    let handle = server.handle();
    Ok((handle, tokio::spawn(server.serve())))
}

/// Decides who may come. The credentials are whatever the two sides agree on: here a name.
fn let_in(peer: &Peer, credentials: &[u8]) -> Result<(), Refuse> {
    match credentials {
        b"ada" | b"grace" | b"alan" => {
            peer.set_attribute(User(String::from_utf8_lossy(credentials).into_owned()));
            Ok(())
        }
        _ => Err(Refuse::new(CloseCode::BAD_CREDENTIALS, "not on the list")),
    }
}

/// Answers calls. Each runs beside the others of its connection.
async fn answer(
    peer: Peer,
    request: Request,
    arrived: Arc<watch::Sender<u8>>,
    noted: Sender,
) -> Result<Reply, Status> {
    match request.route() {
        Route::Name("echo") => Ok(request.body.into()),
        Route::Name("greet") => {
            // Both ends of a connection have the same `Peer`, so a handler calls as a client does.
            let failed = |error: CallError| Status::new(StatusCode::HANDLER_FAILED, error.to_string());
            let mood = peer.call("mood", "").await.map_err(failed)?;
            Ok(format!("hello, {} {}", text(&mood.body), user(&peer)).into())
        }
        Route::Name("wait for the next") => {
            let [number] = request.body[..] else { return Err(StatusCode::BAD_REQUEST.into()) };
            let next = arrived.subscribe().wait_for(|&last| number == 3 || last == number + 1).await.is_ok();
            if next { Ok(request.body.into()) } else { Err(StatusCode::HANDLER_FAILED.into()) }
        }
        Route::Name("wait for ever") => {
            let waiter = Waiter(user(&peer), noted);
            let _ = waiter.1.send(format!("{} waits", waiter.0));
            pending().await
        }
        _ => Err(StatusCode::UNKNOWN_ROUTE.into()),
    }
}

/// Is there while "wait for ever" runs: that future is dropped when its caller has given up, and this with it.
struct Waiter(String, Sender);

impl Drop for Waiter {
    fn drop(&mut self) {
        let _ = self.1.send(format!("{} waits no more", self.0));
    }
}

/// Takes pushes, which nobody answers.
fn take_note(peer: &Peer, push: &Push, noted: &Sender, arrived: &watch::Sender<u8>) {
    match (push.route(), &push.body[..]) {
        (Route::Name("note"), note) => drop(noted.send(format!("{}: {}", user(peer), text(note)))),
        (Route::Name("arrived"), &[number]) => drop(arrived.send_replace(number)),
        _ => {}
    }
}

fn user(peer: &Peer) -> String {
    peer.attribute::<User>().map_or_else(|| "somebody".into(), |user| user.0.clone())
}

// What the clients do.

/// Connects, and shows a name. What the server pushes goes to `heard`.
async fn connect(name: &'static str, address: SocketAddr, heard: &Sender) -> Result<Client> {
    let heard = heard.clone();
    let handler = on_request(|_server, request| async move {
        match request.route() {
            Route::Name("mood") => Ok("cheerful".into()),
            _ => Err(StatusCode::UNKNOWN_ROUTE.into()),
        }
    })
    .on_push(move |_server, push| {
        let _ = heard.send(format!("{name} {:?}", text(&push.body)));
        async {}
    });
    // These end with their connection; one that comes back is in `a_lost_server`.
    Ok(client(handler).credentials(name).reconnect(None).connect(address).await?)
}

async fn a_call(client: &Client) -> Result<String> {
    let reply = client.call("echo", "hello").await?;
    check("the reply", &*reply.body, b"hello")?;
    Ok(line("client → server", "echo \"hello\"", format_args!("{:?}", text(&reply.body))))
}

async fn an_error_status(client: &Client) -> Result<String> {
    match client.call("no such route", "").await {
        Err(CallError::Status(status)) => {
            check("the status", &status.code, &StatusCode::UNKNOWN_ROUTE)?;
            check("that it may have run", &status.code.may_have_run(), &false)?;
            Ok(line("client → server", "no such route", format_args!("{status}; nothing was run")))
        }
        other => unexpected(other),
    }
}

async fn a_call_back(client: &Client) -> Result<String> {
    let reply = client.call("greet", "").await?;
    check("the reply", &*reply.body, b"hello, cheerful ada")?;
    Ok([
        line("client → server", "greet", format_args!("{:?}", text(&reply.body))),
        line("server → client", "mood, to answer greet", "\"cheerful\""),
    ]
    .join("\n"))
}

/// Three calls, of which each is answered only when the answer to the next one has arrived.
async fn out_of_order(client: &Client) -> Result<String> {
    let arrivals = Mutex::new(Vec::new());
    let call = async |number: u8| -> Result<()> {
        let reply = client.call("wait for the next", vec![number]).await?;
        check("the reply", &*reply.body, &[number])?;
        arrivals.lock().map_err(|_| "a panic")?.push(number);
        client.push("arrived", vec![number])?;
        Ok(())
    };
    tokio::try_join!(call(1), call(2), call(3))?;
    let arrivals = arrivals.into_inner()?;
    check("the order of arrival", &*arrivals, &[3, 2, 1])?;
    Ok(line("client → server", "1, 2 and 3 at once", "3, 2, 1: each was held until the next was answered"))
}

async fn a_deadline(client: &Client, notes: &mut Receiver) -> Result<String> {
    let call = client.call("wait for ever", "").timeout(Duration::from_millis(50));
    let Err(error @ CallError::TimedOut(_)) = call.await else {
        return unexpected("the call has not timed out");
    };
    // The request had been sent: how far the server came with it, nobody can know.
    check("that it may have run", &error.may_have_run(), &true)?;
    let noted = [notes.recv().await, notes.recv().await];
    check("the server's notes", &noted, &["ada waits", "ada waits no more"].map(|note| Some(note.into())))?;
    let reply = client.call("echo", "still here").await?;
    check("the next reply", &*reply.body, b"still here")?;
    Ok([
        line("client → server", "wait for ever, 50 ms", &error),
        line("client → server", "echo \"still here\"", format_args!("{:?}", text(&reply.body))),
    ]
    .join("\n"))
}

/// Whatever drops the future of a call gives it up, here `select!`; and that stops the work at the other end.
async fn giving_up(client: &Client, notes: &mut Receiver) -> Result<String> {
    let begun = tokio::select! {
        reply = client.call("wait for ever", "").no_timeout() => return unexpected(reply),
        note = notes.recv() => note,
    };
    check("the server's note", &begun.as_deref(), &Some("ada waits"))?;
    let stopped = notes.recv().await;
    check("the server's next note", &stopped.as_deref(), &Some("ada waits no more"))?;
    Ok(line("client → server", "wait for ever, dropped", "the server has dropped its handler"))
}

async fn a_push(client: &Client, notes: &mut Receiver) -> Result<String> {
    client.push("note", "the tea is cold")?;
    let note = notes.recv().await;
    check("what the server noted", &note.as_deref(), &Some("ada: the tea is cold"))?;
    Ok(line("client → server", "note \"the tea is cold\"", "no answer; the server has noted it"))
}

async fn a_broadcast(server: &ServerHandle, news: &mut Receiver) -> Result<String> {
    let outcome = server.broadcast("news", "there is new tea");
    check("the clients that it went to", &outcome.accepted, &3)?;
    let mut heard = Vec::new();
    for _ in 0..outcome.accepted {
        heard.push(news.recv().await.ok_or("the clients are gone")?);
    }
    heard.sort();
    let expected = ["ada", "alan", "grace"].map(|name| format!("{name} \"there is new tea\""));
    check("what they heard", &*heard, &expected)?;
    Ok(line("server → 3 clients", "news \"there is new tea\"", "ada, alan and grace have heard it"))
}

async fn a_refusal(address: SocketAddr) -> Result<String> {
    match client(NoHandler).credentials("mallory").connect(address).await {
        Err(ConnectError::Handshake { reason, .. }) => {
            check("the code", &reason.code(), &Some(CloseCode::BAD_CREDENTIALS))?;
            Ok(line("client → server", "connects as \"mallory\"", reason))
        }
        other => unexpected(other),
    }
}

async fn a_close(client: Client, notes: &mut Receiver) -> Result<String> {
    let reason = client.finish().await;
    check("the client's reason", &reason, &CloseReason::Local(CloseCode::NORMAL))?;
    let note = notes.recv().await.ok_or("the server is gone")?;
    check("the server's note", &*note, "ada is gone, closed by the peer: NORMAL")?;
    Ok([
        line("client → server", "closes", format_args!("the client says: {reason}")),
        line("", "", format_args!("the server says: {note}")),
    ]
    .join("\n"))
}

/// A client comes back by itself: a call that is made while there is no server waits for the next one.
async fn a_lost_server() -> Result<String> {
    let echo = || on_request(|_, request| async move { Ok(request.body.into()) });
    let server = Server::bind("127.0.0.1:0", echo()).await?;
    let (handle, address) = (server.handle(), server.local_addr());
    let serving = tokio::spawn(server.serve());
    // Less patient than the default, which spares a server that a thousand clients come back to.
    let delay = Delay::Exponential { base: Duration::from_millis(20), cap: Duration::from_millis(100) };
    let quick = ReconnectConfig { delay, first_loss_spread: Duration::ZERO, ..ReconnectConfig::default() };
    let client = client(NoHandler).reconnect(quick).connect(address).await?;
    let mut states = vec![client.state()];

    handle.stop();
    serving.await?;
    states.push(until(&client, |state| matches!(state, ClientState::Reconnecting { .. })).await);
    // Both at once, the call first.
    let (reply, again) = tokio::join!(client.call("echo", "is anybody there?"), async {
        let server = Server::bind(address, echo()).await?;
        let handle = server.handle();
        tokio::spawn(server.serve());
        Ok::<_, BindError>(handle)
    });
    check("the reply", &*reply?.body, b"is anybody there?")?;
    states.push(until(&client, |state| *state == ClientState::Connected).await);
    client.close(CloseCode::NORMAL, CloseInfo::default());
    states.push(until(&client, |state| state.end().is_some()).await);
    again?.stop();

    let last = ClientState::Stopped(CloseReason::Local(CloseCode::NORMAL));
    check("the last state", &states.last(), &Some(&last))?;
    let states: Vec<_> = states.iter().map(word).collect();
    Ok([
        line("client → no server", "echo \"is anybody there?\"", "answered by the next server there"),
        line("", "", format_args!("the client was {}", states.join(", "))),
    ]
    .join("\n"))
}

/// Waits until a client is in such a state.
async fn until(client: &Client, wanted: impl Fn(&ClientState) -> bool) -> ClientState {
    let mut state = client.state();
    while !wanted(&state) {
        state = client.changed(&state).await;
    }
    state
}

/// An orderly end: what is in flight is answered, and whoever comes too late is told to go elsewhere.
async fn a_drain(server: &ServerHandle, serving: JoinHandle<()>, clients: [Client; 2]) -> Result<String> {
    let [grace, alan] = &clients;
    let mut in_flight = pin!(grace.call("wait for the next", vec![1]));
    tokio::select! {
        // In this order: the call is made before the server is told.
        biased;
        reply = &mut in_flight => return unexpected(reply),
        () = async { server.shutdown(Duration::from_secs(5)); grace.draining().await } => {}
    }
    let late = grace.call("echo", "too late").await.map_err(|error| (error.refusal(), error.may_have_run()));
    check("the refusal", &late, &Err((Some(Refusal::Draining), false)))?;
    // Pushes still go through, and this one lets the server answer.
    grace.push("arrived", vec![2])?;
    check("the reply", &*in_flight.await?.body, &[1])?;
    for client in [grace, alan] {
        let reason = client.closed().await;
        check("the reason", &reason, &CloseReason::Peer(CloseCode::GOING_AWAY, None))?;
    }
    serving.await?;
    Ok([
        line("server → 2 clients", "drains", "a call in flight is answered, a new one refused"),
        line("", "", "both say: closed by the peer: GOING_AWAY; the server is gone"),
    ]
    .join("\n"))
}
