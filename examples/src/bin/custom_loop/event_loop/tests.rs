//! The loop by itself: that it rests when there is nothing to do, whatever its peers do or fail to do.

use std::io::Write;

use proto_core::client::{DialState, GiveUp};
use proto_core::wire::Extensions;
use proto_core::{Bytes, Config, Message, Outcome, StatusCode, Timeout};
use socket2::{Domain, SockRef, Socket, Type};

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

/// A server that echoes and counts, on an address of its own.
struct Server {
    net: EventLoop,
    address: SocketAddr,
    listener: ListenerId,
    closed: usize,
}

impl Server {
    fn new() -> Self {
        let mut net = EventLoop::new().unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let listener = net.listen(socket, &quiet()).unwrap();
        Self { net, address, listener, closed: 0 }
    }

    fn turn(&mut self, until: Instant) {
        self.net.turn(Some(until)).unwrap();
        while let Some(Happened { link, event, .. }) = self.net.poll_event() {
            let now = self.net.now();
            self.closed += usize::from(matches!(event, Event::Closed(_)));
            let Some(connection) = self.net.connection(link) else { continue };
            match event {
                Event::Hello(_) => connection.accept(now),
                Event::Request { id, message, .. } => connection
                    .reply(now, id, StatusCode::OK, Extensions::none(), message.body)
                    .expect("the first reply"),
                Event::Push { token, .. } => connection.release(now, token),
                _ => {}
            }
        }
    }

    fn run_until(&mut self, mut done: impl FnMut(&Self) -> bool) {
        let limit = self.net.now() + LIMIT;
        while !done(self) {
            assert!(self.net.now() < limit, "it does not come");
            self.turn(limit.min(self.net.now() + Duration::from_millis(5)));
        }
    }

    /// How many turns it makes in a time in which nothing happens.
    fn turns_at_rest(&mut self) -> usize {
        let end = self.net.now() + Duration::from_millis(300);
        let mut turns = 0;
        while self.net.now() < end {
            self.turn(end);
            turns += 1;
        }
        turns
    }
}

/// Without heartbeats, whose first PING comes at a random time.
fn quiet() -> SharedConfig {
    Config { heartbeat: None, ..Config::default() }.share().unwrap()
}

/// A client in a loop of its own, which is open.
fn client_of(server: &mut Server) -> (EventLoop, LinkId) {
    let mut net = EventLoop::new().unwrap();
    net.keep_connected(vec![server.address], &quiet(), ReconnectConfig::default());
    let mut open = None;
    server.run_until(|_| {
        net.turn(Some(net.now())).unwrap();
        while let Some(happened) = net.poll_event() {
            if let Event::Open(_) = happened.event {
                open = Some(happened.link);
            }
        }
        open.is_some()
    });
    (net, open.unwrap())
}

#[test]
fn peers_that_do_nothing_or_nonsense_keep_nobody_awake() {
    let mut server = Server::new();
    let (_open, _) = client_of(&mut server);
    let mute = TcpStream::connect(server.address).unwrap();
    let mut within_a_frame = TcpStream::connect(server.address).unwrap();
    within_a_frame.write_all(b"LW").unwrap();
    let half_closed = TcpStream::connect(server.address).unwrap();
    half_closed.shutdown(std::net::Shutdown::Write).unwrap();
    let mut stranger = TcpStream::connect(server.address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let urgent = TcpStream::connect(server.address).unwrap();
    SockRef::from(&urgent).send_out_of_band(b"!").unwrap();
    // The one that ended its stream and the one that speaks something else are gone or going.
    server.run_until(|server| server.closed == 1 && server.net.connections() == 5);
    server.turns_at_rest();
    let turns = server.turns_at_rest();
    assert!(turns <= 5, "{turns} turns");
    drop((mute, within_a_frame, half_closed, stranger, urgent));
    server.run_until(|server| server.net.connections() == 1);
}

#[test]
fn a_peer_that_does_not_read_keeps_nobody_awake() {
    let mut server = Server::new();
    let (mut reader, _) = client_of(&mut server);
    let link = server.net.accepted()[0];
    let body = Bytes::from(vec![0; 64 << 10]);
    let mut pushed = 0;
    // As much as its credit allows, which the socket does not hold: it is never turned meanwhile.
    let now = server.net.now();
    while server.net.connection(link).unwrap().push(now, Message::new(1, body.clone())).is_ok() {
        pushed += 1;
        server.turn(now);
    }
    server.turns_at_rest();
    let turns = server.turns_at_rest();
    assert!(turns <= 5, "{turns} turns");

    let mut arrived = 0;
    server.run_until(|_| {
        reader.turn(Some(reader.now())).unwrap();
        while let Some(happened) = reader.poll_event() {
            arrived += usize::from(matches!(happened.event, Event::Push { .. }));
        }
        arrived == pushed
    });
}

#[test]
fn a_call_is_answered() {
    let mut server = Server::new();
    let (mut net, link) = client_of(&mut server);
    let now = net.now();
    let connection = net.connection(link).unwrap();
    connection.call(now, Message::new(1, "hello"), Timeout::Never).unwrap();
    let mut answer = None;
    server.run_until(|_| {
        net.turn(Some(net.now())).unwrap();
        while let Some(happened) = net.poll_event() {
            if let Event::Ended { outcome: Outcome::Reply { body, .. }, .. } = happened.event {
                answer = Some(body);
            }
        }
        answer.is_some()
    });
    assert_eq!(answer.unwrap(), "hello");
}

#[test]
fn a_client_of_nobody_gives_up_and_rests() {
    // A socket that keeps its address and does not listen there.
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let nobody = socket.local_addr().unwrap().as_socket().unwrap();
    let mut net = EventLoop::new().unwrap();
    let delay = proto_core::client::Delay::Fixed(Duration::from_millis(1));
    let reconnect = ReconnectConfig { attempt_limit: Some(3), delay, ..ReconnectConfig::default() };
    let client = net.keep_connected(vec![nobody], &quiet(), reconnect);
    let limit = net.now() + LIMIT;
    while !matches!(net.client(client).unwrap().state(), DialState::GivenUp(_)) {
        assert!(net.now() < limit, "it does not give up");
        net.turn(Some(limit)).unwrap();
    }
    assert_eq!(net.client(client).unwrap().state(), &DialState::GivenUp(GiveUp::TooManyAttempts(3)));
    assert_eq!((net.next_alarm(), net.connections()), (None, 0));
    net.stop_client(client);
    assert!(net.client(client).is_none());
}

#[test]
fn a_client_that_is_stopped_leaves_in_good_order_and_leaves_nothing_behind() {
    let mut server = Server::new();
    let mut net = EventLoop::new().unwrap();
    let client = net.keep_connected(vec![server.address], &quiet(), ReconnectConfig::default());
    let mut reasons = Vec::new();
    server.run_until(|_| {
        net.turn(Some(net.now())).unwrap();
        while let Some(happened) = net.poll_event() {
            match happened.event {
                Event::Open(_) => net.stop_client(client),
                Event::Closed(reason) => reasons.push(reason),
                _ => {}
            }
        }
        !reasons.is_empty()
    });
    assert_eq!(reasons, [proto_core::CloseReason::Local(CloseCode::NORMAL)]);
    assert_eq!((net.next_alarm(), net.connections(), net.clients.len()), (None, 0, 0));
    server.run_until(|server| server.net.connections() == 0);
    server.net.stop_listening(server.listener);
    assert_eq!(server.net.next_alarm(), None);
}
