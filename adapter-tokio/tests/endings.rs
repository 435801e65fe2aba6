//! How connections fail to begin, and how they end: what each side is told, and that nothing is left behind.

mod common;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use adapter_tokio::{
    AddressAction, BindError, Bytes, CloseCode, CloseReason, Config, ConnectError, NoHandler, Peer, Refusal,
    Refuse, Server, ServerHandle, StatusCode, TransportError, client, connect, on_request,
};
use common::{Raw, echo, in_time, on_both, request, serve, serve_with, until};
use tokio::sync::mpsc;

#[test]
fn a_refused_client_is_told_the_code_and_the_words() {
    on_both(|| async {
        let handler = on_request(|_, _| async { Err(StatusCode::UNKNOWN_ROUTE.into()) }).on_open(
            |_, hello| async move {
                match &hello.credentials[..] {
                    b"let me in" => Ok(()),
                    _ => Err(Refuse::new(CloseCode::BAD_CREDENTIALS, "unknown token")),
                }
            },
        );
        let server = serve(handler).await;
        let address = server.local_addr();
        let refused = client(NoHandler).credentials("guess").connect(address).await.unwrap_err();
        let ConnectError::Handshake { reason: CloseReason::Peer(code, Some(info)), .. } = &refused else {
            panic!("{refused:?}")
        };
        assert_eq!((*code, info.text.as_deref()), (CloseCode::BAD_CREDENTIALS, Some("unknown token")));
        let expected =
            format!("no handshake with {address}: closed by the peer: BAD_CREDENTIALS (unknown token)");
        assert_eq!(refused.to_string(), expected);
        let welcome = client(NoHandler).credentials("let me in").connect(address).await.unwrap();
        assert!(welcome.is_open());
        until(|| server.connections() == 1).await;
    });
}

#[test]
fn addresses_that_do_not_work_are_named_with_the_cause() {
    on_both(|| async {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        let in_use = Server::bind(address, NoHandler).await.unwrap_err();
        let BindError::Address(error) = &in_use else { panic!("{in_use:?}") };
        assert_eq!((error.action, error.kind), (AddressAction::Listen, ErrorKind::AddrInUse));
        assert!(in_use.to_string().starts_with(&format!("cannot listen on {address}: ")), "{in_use}");

        drop(free);
        let refused = connect(address).await.unwrap_err();
        let ConnectError::Address(error) = &refused else { panic!("{refused:?}") };
        assert_eq!((error.action, error.kind), (AddressAction::Connect, ErrorKind::ConnectionRefused));
        assert!(refused.to_string().starts_with(&format!("cannot connect to {address}: ")), "{refused}");

        for name in ["no-such-host.invalid:7000", "no port", "127.0.0.1:port", ":7000", ""] {
            let unresolved = connect(name).await.unwrap_err();
            let ConnectError::Address(error) = &unresolved else { panic!("{unresolved:?}") };
            assert_eq!(error.action, AddressAction::Resolve);
            assert!(unresolved.to_string().starts_with(&format!("cannot resolve {name}: ")), "{unresolved}");
        }
    });
}

#[test]
fn a_server_that_stops_tells_its_clients_and_returns() {
    on_both(|| async {
        let server = serve(echo()).await;
        let mut clients = Vec::new();
        for _ in 0..5 {
            clients.push(client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap());
        }
        // One has not said a word yet, and learns of it as well.
        let mut silent = Raw::connect(server.local_addr()).await;
        until(|| server.connections() == 6).await;
        server.stop();
        for client in &clients {
            let reason = in_time(client.closed()).await;
            assert_eq!(reason, CloseReason::Peer(CloseCode::GOING_AWAY, None));
        }
        assert_eq!(silent.close_code().await, CloseCode::GOING_AWAY);
        drop(silent);
        let address = server.local_addr();
        in_time(server.served).await.unwrap();
        assert!(matches!(connect(address).await, Err(ConnectError::Address(_))), "it listens no more");
    });
}

#[test]
fn dropping_the_future_of_serve_ends_the_connections_too() {
    on_both(|| async {
        let server = serve(echo()).await;
        let client = client(NoHandler).reconnect(None).connect(server.local_addr()).await.unwrap();
        server.served.abort();
        assert_eq!(in_time(client.closed()).await, CloseReason::Peer(CloseCode::GOING_AWAY, None));
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn each_side_says_who_closed() {
    on_both(|| async {
        let (told, mut heard) = mpsc::unbounded_channel();
        let handler = on_request(|_, _| async { Ok("".into()) }).on_close(move |_, reason| {
            let _ = told.send(reason.clone());
        });
        let server = serve(handler).await;
        let client = connect(server.local_addr()).await.unwrap();
        assert_eq!(in_time(client.finish()).await, CloseReason::Local(CloseCode::NORMAL));
        assert_eq!(in_time(heard.recv()).await, Some(CloseReason::Peer(CloseCode::NORMAL, None)));
    });
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    on_both(|| async {
        let (told, mut heard) = mpsc::unbounded_channel();
        let running = Arc::new(AtomicUsize::new(0));
        let counts = running.clone();
        let handler = on_request(move |_, _| {
            counts.fetch_add(1, Ordering::SeqCst);
            let guard = Leaving(counts.clone());
            async move {
                let _guard = guard;
                std::future::pending().await
            }
        })
        .on_close(move |_, reason| {
            let _ = told.send(reason.clone());
        });
        let server = serve(handler).await;
        for reset in [false, true] {
            let mut raw = Raw::open(server.local_addr()).await;
            raw.send(&request(0, b"never answered")).await;
            until(|| running.load(Ordering::SeqCst) == 1).await;
            if reset {
                raw.stream.set_zero_linger().unwrap();
            }
            drop(raw);
            let expected = if reset { TransportError::Reset } else { TransportError::Eof };
            assert_eq!(in_time(heard.recv()).await, Some(CloseReason::Transport(expected)));
            until(|| server.connections() == 0 && running.load(Ordering::SeqCst) == 0).await;
        }
    });
}

/// One less when a handler is dropped.
struct Leaving(Arc<AtomicUsize>);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn who_never_got_in_is_reported() {
    on_both(|| async {
        let (reports, mut reported) = mpsc::unbounded_channel();
        let refusing = on_request(|_, _| async { Err(StatusCode::UNKNOWN_ROUTE.into()) })
            .on_open(|_, _| async { Err(Refuse::new(CloseCode::REFUSED, "nobody gets in")) });
        let server = Server::builder(refusing)
            .on_handshake_error(move |_, reason| reports.send(reason.code()).unwrap())
            .bind("127.0.0.1:0")
            .await
            .unwrap();
        let address = server.local_addr();
        let serving = tokio::spawn(server.serve());
        connect(address).await.unwrap_err();
        assert_eq!(in_time(reported.recv()).await, Some(Some(CloseCode::REFUSED)));
        serving.abort();
    });
}

#[test]
fn credentials_and_configuration_may_come_in_any_order() {
    on_both(|| async {
        let named =
            on_request(|peer: Peer, _| async move { Ok(peer.attribute::<Bytes>().unwrap().to_vec().into()) })
                .on_open(|peer: Peer, hello| async move {
                    peer.set_attribute(hello.credentials.as_bytes().clone());
                    Ok(())
                });
        let server = serve(named).await;
        let first = client(NoHandler).credentials("ada").config(Config::default());
        let last = client(NoHandler).config(Config::default()).credentials("ada");
        for builder in [first, last] {
            let client = builder.connect(server.local_addr()).await.unwrap();
            assert_eq!(client.call("who", "").await.unwrap().body, "ada");
        }
    });
}

#[test]
fn builders_do_not_show_credentials() {
    let config = Config { credentials: "s3cret".into(), ..Config::default() };
    for shown in [
        format!("{:?}", client(NoHandler).credentials("s3cret")),
        format!("{:?}", client(NoHandler).config(config.clone())),
        format!("{:?}", Server::builder(NoHandler).config(config)),
    ] {
        assert!(shown.contains("credentials: <") && !shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn a_peer_that_takes_no_calls_is_not_waited_for() {
    on_both(|| async {
        let config = Config { call_slots: 0, ..Config::default() };
        let server = serve_with(config, echo()).await;
        let client = connect(server.local_addr()).await.unwrap();
        let error = in_time(client.call("echo", "").no_timeout()).await.unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::NotCallable));
    });
}

#[tokio::test]
async fn a_handler_may_know_its_server() {
    let make = |server: ServerHandle| {
        on_request(move |_, _| {
            let count = server.connections();
            async move { Ok(count.to_string().into()) }
        })
    };
    let server = Server::bind_with("127.0.0.1:0", Config::default(), make).await.unwrap();
    let address = server.local_addr();
    let serving = tokio::spawn(server.serve());
    let client = connect(address).await.unwrap();
    assert_eq!(client.call("count", "").await.unwrap().body, "1");
    client.finish().await;
    serving.abort();
}

/// The time of its connections is kept as long as there are any, whoever has dropped the server; and no longer.
#[test]
fn connections_of_a_server_that_is_gone_end_in_time() {
    on_both(|| async {
        let config = Config { closing_timeout: Duration::from_millis(50), ..Config::default() };
        let server = serve_with(config, echo()).await;
        // They read and answer nothing.
        let mut strangers = Vec::new();
        for _ in 0..5 {
            strangers.push(Raw::open(server.local_addr()).await);
        }
        until(|| server.connections() == 5).await;
        server.served.abort();
        until(|| server.connections() == 0).await;
        let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
        until(|| tasks() == 0).await;
    });
}
