//! Servers and clients that speak netman's format instead of LW/1: the same types, other bytes.

mod common;

use adapter_tokio::proto_core::framing::{Format, Netman};
use adapter_tokio::{
    CloseReason, Config, Handler, Message, NoHandler, Refusal, Route, Server, client, on_push,
};
use common::{in_time, on_both, serve_with, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

fn netman() -> Config {
    Config { framing: Some(Format::new(Netman)), ..Config::default() }
}

/// Answers each message with its body, under the number that follows.
fn next_number() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_push(|peer, push| async move {
        if let Route::Number(number) = push.route() {
            // A peer that reads too slowly loses its answer, which this format could not report.
            let _ = peer.pushed_message(Message::new(number + 1, push.body)).await;
        }
    })
}

#[test]
fn a_client_of_netman_talks_to_a_server() {
    on_both(|| async {
        let server = serve_with(netman(), next_number()).await;
        let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
        // Written in pieces, which netman itself does not bear.
        for piece in [&[5, 0, 0][..], &[0, 3, 0, 0, 0, b'h'], b"ello", &[0, 0, 0, 0, 9, 0, 0, 0]] {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
        }
        let mut answer = [0; 21];
        in_time(stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(answer, *b"\x05\0\0\0\x04\0\0\0hello\0\0\0\0\x0a\0\0\0");
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        in_time(stream.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty());
        until(|| server.connections() == 0).await;
    });
}

#[test]
fn a_client_talks_to_a_server_of_netman() {
    on_both(|| async {
        let server = serve_with(netman(), next_number()).await;
        let (told, mut heard) = mpsc::unbounded_channel();
        let handler = on_push(move |_, push| {
            let _ = told.send((push.route() == Route::Number(8), push.body));
            async {}
        });
        let client = client(handler).config(netman()).connect(server.local_addr()).await.unwrap();
        for round in 0..1000u32 {
            let body = round.to_le_bytes().repeat(round as usize % 300);
            in_time(client.pushed_message(Message::new(7, body.clone()))).await.unwrap();
            let (numbered, answer) = in_time(heard.recv()).await.unwrap();
            assert!(numbered && answer == body, "round {round}");
        }
        let refused = in_time(client.call(1, "a call")).await.unwrap_err();
        assert_eq!(refused.refusal(), Some(Refusal::Unsupported));
        assert!(matches!(in_time(client.finish()).await, CloseReason::Local(_)));
    });
}

#[test]
fn other_protocols_and_floods_end_one_connection_and_no_other() {
    on_both(|| async {
        let config = Config { max_message: 2000, ..netman() };
        let server = Server::builder(next_number()).config(config).bind("127.0.0.1:0").await.unwrap();
        let address = server.local_addr();
        tokio::spawn(server.serve());
        let client = client(NoHandler).config(netman()).reconnect(None).connect(address).await.unwrap();
        let mut stranger = TcpStream::connect(address).await.unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        in_time(stranger.read_to_end(&mut rest)).await.unwrap();
        assert!(rest.is_empty(), "a length of a gigabyte is over the limit");
        client.push_message(Message::new(1, "still here")).unwrap();
        assert!(client.is_open());
    });
}
