//! What the integration tests share: a server that runs, waits that end, both flavours of the runtime, and a peer that
//! keeps to no rules.

#![allow(dead_code, reason = "each test binary uses its own part of it")]

use std::future::Future;
use std::net::SocketAddr;
use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use adapter_tokio::proto_core::endpoint::{ConnectionTask, Spawn};
use adapter_tokio::proto_core::wire::{
    Flags, HEADER_LEN, Header, HeaderView, Kind, PREFACE, Parsed, Sequence,
};
use adapter_tokio::proto_core::{Connection, Instant, Role};
use adapter_tokio::{
    Client, CloseCode, Config, Delay, Handler, NoHandler, ReconnectConfig, Server, ServerHandle, Tokio,
    client, on_request,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::JoinHandle;

/// After this long something hangs. Nothing else depends on it.
const TOO_LONG: Duration = Duration::from_secs(60);

/// A server that is being served.
pub(crate) struct Running {
    handle: ServerHandle,
    pub(crate) served: JoinHandle<()>,
}

impl Deref for Running {
    type Target = ServerHandle;

    fn deref(&self) -> &ServerHandle {
        &self.handle
    }
}

/// Serves on a port that the system chooses.
pub(crate) async fn serve<H: Handler + Send + Sync>(handler: H) -> Running
where
    Tokio: Spawn<ConnectionTask<Tokio, H>>,
{
    serve_with(Config::default(), handler).await
}

/// The same with limits and times.
pub(crate) async fn serve_with<H: Handler + Send + Sync>(config: Config, handler: H) -> Running
where
    Tokio: Spawn<ConnectionTask<Tokio, H>>,
{
    let builder = Server::builder(handler).config(config);
    let server = builder.bind("127.0.0.1:0").await.expect("a free port");
    Running { handle: server.handle(), served: tokio::spawn(server.serve()) }
}

/// How soon a quick client comes back.
pub(crate) const QUICK: Duration = Duration::from_millis(20);

/// Comes back fast enough for a test.
pub(crate) fn quick() -> ReconnectConfig {
    let delay = Delay::Exponential { base: QUICK, cap: 2 * QUICK };
    ReconnectConfig { delay, first_loss_spread: QUICK, ..ReconnectConfig::default() }
}

/// A client that only calls, and comes back fast.
pub(crate) async fn quick_client(address: SocketAddr) -> Client {
    client(NoHandler).reconnect(quick()).connect(address).await.expect("a server that listens")
}

/// Serves on an address that was just free.
pub(crate) async fn serve_again<H>(address: SocketAddr, handler: H) -> JoinHandle<()>
where
    H: Handler<Request: Send, Push: Send, Open: Send> + Send + Sync,
{
    let server = Server::bind(address, handler).await.expect("the address is free");
    tokio::spawn(server.serve())
}

/// Answers every call with its own body.
pub(crate) fn echo() -> impl Handler<Request: Send, Push: Send, Open: Send> + Send + Sync {
    on_request(|_, request| async move { Ok(request.body.into()) })
}

/// Runs a test on each flavour of the runtime.
pub(crate) fn on_both<F: Future<Output = ()>>(test: impl Fn() -> F) {
    for mut flavour in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = flavour.worker_threads(3).enable_all().build().expect("a runtime");
        runtime.block_on(in_time(test()));
    }
}

/// Waits for something that happens unless there is a defect.
pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TOO_LONG, future).await.expect("it hangs")
}

/// Waits for something that nobody announces.
pub(crate) async fn until(mut holds: impl FnMut() -> bool) {
    let looks = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(looks).await;
}

/// Runs the rest of the test of this name in a process of its own, with this many descriptors. Says whether this is
/// that process; the caller does nothing if it is not.
pub(crate) fn is_child_with_descriptors(test: &str, limit: u32) -> bool {
    const MARK: &str = "LONGWIRE_TEST_CHILD";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("this program's path");
    let child = Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -S -n {limit}; exec \"$0\" \"$@\""))
        .arg(program)
        .args(["--exact", test, "--test-threads=1"])
        .env(MARK, "1")
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}\n{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "the test was not found: {said}");
    false
}

/// A client that says what it likes, byte by byte.
pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    preface: bool,
}

/// A frame that a server sent.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) header: Header,
    pub(crate) payload: Vec<u8>,
}

impl Raw {
    /// Nothing but a TCP connection.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server listens");
        stream.set_nodelay(true).expect("a connected socket");
        Self { stream, preface: false }
    }

    /// A connection whose handshake is over.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::open_as(address, Config::default()).await
    }

    /// The same, with a HELLO that says what this configuration says.
    pub(crate) async fn open_as(address: SocketAddr, config: Config) -> Self {
        let mut raw = Self::connect(address).await;
        raw.send(&opening_as(config)).await;
        let welcome = raw.frame().await.expect("a welcome");
        assert_eq!(welcome.header.kind, Kind::Welcome);
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        in_time(self.stream.write_all(bytes)).await.expect("the server reads");
    }

    /// The next frame that is not a PING, which may come at any time; `None` at the end of the stream.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any_frame().await?;
            if frame.header.kind != Kind::Ping {
                return Some(frame);
            }
        }
    }

    async fn any_frame(&mut self) -> Option<Frame> {
        if !std::mem::replace(&mut self.preface, true) {
            let mut preface = [0; PREFACE.len()];
            in_time(self.stream.read_exact(&mut preface)).await.ok()?;
            assert_eq!(preface, PREFACE);
        }
        let mut bytes = [0; HEADER_LEN];
        match in_time(self.stream.read(&mut bytes)).await.expect("no reset") {
            0 => return None,
            read => in_time(self.stream.read_exact(&mut bytes[read..])).await.expect("a whole header"),
        };
        let view = HeaderView::new_checked(&bytes).expect("a whole header");
        let Ok(Parsed::Frame(header)) = Header::parse(view, u32::MAX) else { panic!("a header: {bytes:?}") };
        let mut payload = vec![0; header.length as usize];
        in_time(self.stream.read_exact(&mut payload)).await.expect("a whole frame");
        Some(Frame { header, payload })
    }

    /// Reads to the end of the stream; gives the code of the CLOSE that must be the last frame.
    pub(crate) async fn close_code(&mut self) -> CloseCode {
        let mut last = None;
        while let Some(frame) = self.frame().await {
            last = Some(frame);
        }
        let last = last.expect("a frame before the end of the stream");
        assert_eq!(last.header.kind, Kind::Close);
        CloseCode(last.header.code)
    }
}

/// What a well-behaved client says first.
pub(crate) fn opening() -> Vec<u8> {
    opening_as(Config::default())
}

fn opening_as(config: Config) -> Vec<u8> {
    let config = config.share().expect("sound limits");
    let connection = Connection::new(&config, Role::Dialer, Instant::EPOCH, 1);
    connection.transmit().flatten().copied().collect()
}

/// A REQUEST to route 1, the first in its slot.
pub(crate) fn request(slot: u16, body: &[u8]) -> Vec<u8> {
    frame(Kind::Request, Sequence::call(1, slot), 1, body)
}

/// A frame without flags.
pub(crate) fn frame(kind: Kind, sequence: Sequence, code: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let header = Header { length, kind, flags: Flags::empty(), sequence, code };
    [&header.to_bytes(), payload].concat()
}
