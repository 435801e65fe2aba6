//! A guide: how to put the protocol into an event loop of your own.
//!
//! There is nothing in this module but text and examples, each of which is compiled and run. A whole loop, to be read and
//! copied, is the program `custom_loop` among the examples of the repository (`examples/src/bin/custom_loop`): many
//! connections and clients that come back, on one thread, without a runtime.
//!
//! # What you bring
//!
//! [`Connection`] is one side's view of one byte stream. It opens no socket, reads no clock, waits for nothing and wakes
//! nobody. You bring four things:
//!
//! | you bring | for example |
//! |---|---|
//! | a byte stream, already open | a TCP or Unix socket, a TLS session, a serial line, two buffers in a test |
//! | the time | any clock that does not go back, as an [`Instant`] whose epoch is up to you |
//! | a number to draw chance from | anything that differs between connections |
//! | somebody who waits | `poll`, `epoll`, a game's tick, an interrupt |
//!
//! # The contract
//!
//! **Any order is legal.** No method must be called before another one or be followed by another one, and none does harm
//! when it is called too often, too early, too late, or after the end. You need not drain events before you feed input, nor
//! write before you read. So a loop can be wrong in few ways: it can forget somebody (then nothing happens), or it can
//! spin.
//!
//! **All input is taken.** [`handle_input`](Connection::handle_input) takes every byte of every slice, wherever the network
//! has cut it. There is no "need more", no leftover to be kept, and no buffer of yours that grows. What a peer can make a
//! connection hold is bounded by its [`Config`](crate::Config).
//!
//! **Output is lent, then acknowledged.** [`transmit`](Connection::transmit) lends the bytes that come next, in chunks, and
//! changes nothing: asking again gives the same bytes. [`advance_transmit`](Connection::advance_transmit) says how many of
//! them the transport has written, which may be any number. Bytes that have been lent never change, so a write may be
//! given up and be tried again.
//!
//! **Deadlines are answers.** [`poll_timeout`](Connection::poll_timeout) says when
//! [`handle_timeout`](Connection::handle_timeout) should be called. It may change with every call of a `&mut self` method,
//! and asking is cheap, so ask each time before you wait.
//!
//! ```
//! use proto_core::{Connection, Event, Instant, Role, SharedConfig};
//!
//! let (config, now) = (SharedConfig::default(), Instant::EPOCH);
//! let mut dialer = Connection::new(&config, Role::Dialer, now, 1);
//! let mut acceptor = Connection::new(&config, Role::Acceptor, now, 2);
//!
//! // Asking for output changes nothing.
//! let first: Vec<u8> = dialer.transmit().flatten().copied().collect();
//! let again: Vec<u8> = dialer.transmit().flatten().copied().collect();
//! assert_eq!(first, again);
//!
//! // A transport that takes one byte at a time is as good as any other, and so is input in such pieces.
//! while dialer.transmit_len() > 0 {
//!     let mut byte = [dialer.transmit().flatten().next().copied().expect("there is one")];
//!     dialer.advance_transmit(now, 1);
//!     acceptor.handle_input(now, &mut byte);
//! }
//! assert!(matches!(acceptor.poll_event(), Some(Event::Hello(_))));
//! ```
//!
//! # The smallest loop
//!
//! One thread for one connection, on a blocking socket of the standard library. This is all that it takes, and it is what
//! every loop does: take events, write, wait, read, let the time act.
//!
#![cfg_attr(feature = "std", doc = "```")]
#![cfg_attr(not(feature = "std"), doc = "```ignore")]
//! use std::io::{self, ErrorKind, IoSlice, Read, Write};
//! use std::net::{Shutdown, TcpListener, TcpStream};
//! use std::time::Duration;
//!
//! use proto_core::wire::{CloseInfo, Extensions};
//! use proto_core::{
//!     CloseCode, Connection, Event, Instant, Message, Outcome, Role, SharedConfig, StatusCode, Timeout,
//! };
//!
//! /// Drives a connection until it has ended. `handle` is the application.
//! fn drive(
//!     mut stream: &TcpStream,
//!     mut connection: Connection,
//!     mut handle: impl FnMut(&mut Connection, Instant, Event),
//! ) -> io::Result<()> {
//!     let started = std::time::Instant::now();
//!     let clock = || Instant::EPOCH + started.elapsed();
//!     let mut buffer = vec![0; 64 << 10];
//!     let mut shut_down = false;
//!     stream.set_nodelay(true)?;
//!     // Two ends that only write would wait for each other for ever.
//!     stream.set_write_timeout(Some(Duration::from_millis(100)))?;
//!     loop {
//!         while let Some(event) = connection.poll_event() {
//!             handle(&mut connection, clock(), event);
//!         }
//!         if connection.is_closed() {
//!             return Ok(()); // and whoever owns the stream closes it
//!         }
//!
//!         while connection.transmit_len() > 0 {
//!             let chunks: Vec<IoSlice<'_>> = connection.transmit().take(32).map(IoSlice::new).collect();
//!             match stream.write_vectored(&chunks) {
//!                 Ok(0) => connection.handle_transport_error(clock(), ErrorKind::WriteZero.into()),
//!                 Ok(n) => connection.advance_transmit(clock(), n),
//!                 Err(error) => match error.kind() {
//!                     ErrorKind::Interrupted => {}
//!                     ErrorKind::WouldBlock | ErrorKind::TimedOut => break,
//!                     kind => connection.handle_transport_error(clock(), kind.into()),
//!                 },
//!             }
//!         }
//!         if connection.wants_shutdown() && !shut_down {
//!             shut_down = true;
//!             let _ = stream.shutdown(Shutdown::Write);
//!         }
//!         if connection.has_events() {
//!             continue;
//!         }
//!
//!         // A blocking socket waits for one thing at a time: what could not be written is tried again soon.
//!         let soon = Duration::from_millis(1);
//!         let until = |at: Instant| at.saturating_since(clock()).max(soon);
//!         let wait = connection.poll_timeout().map(|deadline| until(deadline.at));
//!         stream.set_read_timeout(if connection.transmit_len() > 0 { Some(soon) } else { wait })?;
//!         // The rest of a large body can go straight to where it will be used.
//!         let (result, lent) = match connection.body_space() {
//!             Some(space) => (stream.read(space), true),
//!             None => (stream.read(&mut buffer), false),
//!         };
//!         match result {
//!             Ok(0) => connection.handle_eof(clock()),
//!             Ok(n) if lent => connection.commit_body(clock(), n),
//!             Ok(n) => connection.handle_input(clock(), &mut buffer[..n]),
//!             Err(error) => match error.kind() {
//!                 ErrorKind::Interrupted | ErrorKind::WouldBlock | ErrorKind::TimedOut => {}
//!                 kind => connection.handle_transport_error(clock(), kind.into()),
//!             },
//!         }
//!         connection.handle_timeout(clock());
//!     }
//! }
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let address = listener.local_addr()?;
//! let server = std::thread::spawn(move || -> io::Result<()> {
//!     let (stream, _) = listener.accept()?;
//!     let connection = Connection::new(&SharedConfig::default(), Role::Acceptor, Instant::EPOCH, 1);
//!     drive(&stream, connection, |connection, now, event| match event {
//!         Event::Hello(_) => connection.accept(now),
//!         Event::Request { id, message, .. } => {
//!             let _ = connection.reply(now, id, StatusCode::OK, Extensions::none(), message.body);
//!         }
//!         Event::Push { token, .. } => connection.release(now, token),
//!         _ => {}
//!     })
//! });
//!
//! let stream = TcpStream::connect(address)?;
//! let connection = Connection::new(&SharedConfig::default(), Role::Dialer, Instant::EPOCH, 2);
//! let mut answer = None;
//! drive(&stream, connection, |connection, now, event| match event {
//!     Event::Open(_) => {
//!         connection.call(now, Message::new(7, "hello"), Timeout::Default).expect("the first call");
//!     }
//!     Event::Ended { outcome: Outcome::Reply { body, .. }, .. } => {
//!         answer = Some(body);
//!         connection.close(now, CloseCode::NORMAL, CloseInfo::default());
//!     }
//!     _ => {}
//! })?;
//! assert_eq!(answer.as_deref(), Some(&b"hello"[..]));
//! server.join().expect("no panic")?;
//! # Ok::<(), io::Error>(())
//! ```
//!
//! [`body_space`](Connection::body_space) and [`commit_body`](Connection::commit_body) save a copy of large bodies; a loop
//! without them works as well.
//!
//! What this loop cannot do: nobody else can make its connection speak while it waits in `read`, and a thousand connections
//! are a thousand threads.
//!
//! # A loop of many connections
//!
//! The same five parts, with non-blocking sockets and one place where all of them wait. What to mind:
//!
//! - **Interest.** Wait for input while [`wants_read`](Connection::wants_read) holds, and for room to write only while
//!   [`transmit_len`](Connection::transmit_len) is not 0 after a write: a socket nearly always has room, so a loop that
//!   always waits for it never sleeps.
//! - **Turns.** Read and write a bounded number of times before it is somebody else's turn.
//! - **One buffer.** All connections can read into the same one: nothing of it is kept. Where both ends are busy with many
//!   small messages, read only some of them (a few kilobytes) before you write: the other end works on the first answers while
//!   you are at the rest.
//! - **Memory.** A connection keeps what its last messages needed for the next ones, less than 64 KiB. Call
//!   [`shrink`](Connection::shrink) when there is nothing to do for it, so that idle ones hold nothing.
//! - **Commands from elsewhere.** When the application has had a connection in its hands, it may have something to send,
//!   events, or another deadline. Look after it before you wait again. If other threads can give it commands, they must wake
//!   the loop.
//! - **A write that fails** is not the end of what the peer said before: read until there is nothing left, and report
//!   [`handle_transport_error`](Connection::handle_transport_error) then.
//! - **Accepting.** When the system has no descriptors left, the connection that cannot be accepted stays in line, and the
//!   listener is ready at once again, and again. Stop waiting for it for a while.
//! - **Writers that own their buffers** (such as `io_uring`) copy what `transmit` lends and call
//!   [`begin_transmit`](Connection::begin_transmit) when they hand it to the system, since it may leave from then on;
//!   [`advance_transmit`](Connection::advance_transmit) follows when the system reports the write. It is what tells a call
//!   that the peer may have run from one that it cannot.
//!
//! # Time
//!
//! Call [`handle_timeout`](Connection::handle_timeout) when the time of [`poll_timeout`](Connection::poll_timeout) has come.
//! Too early does nothing; afterwards the next deadline is later than `now`, so a loop that waits for it does not spin.
//!
//! **Input before timers.** When a loop comes late (a long tick, a suspended machine), replies may lie in the socket whose
//! deadline has passed in the meantime. Read first, and what has arrived counts.
//!
//! Deadlines move: heartbeats put theirs off with every byte. In a heap or tree of many timers, leave an entry that is too
//! early where it is. It goes off once, does nothing, and is set anew.
//!
//! ```
//! use std::time::Duration;
//! use proto_core::{CloseReason, Connection, Event, Instant, Role, SharedConfig, Timer};
//!
//! let mut connection = Connection::new(&SharedConfig::default(), Role::Acceptor, Instant::EPOCH, 1);
//! let deadline = connection.poll_timeout().expect("a handshake takes a limited time");
//! assert_eq!((deadline.at, deadline.timer), (Instant::EPOCH + Duration::from_secs(10), Timer::Handshake));
//!
//! connection.handle_timeout(Instant::EPOCH + Duration::from_secs(9));
//! assert_eq!(connection.poll_timeout(), Some(deadline), "it was too early");
//! connection.handle_timeout(deadline.at);
//! // Nobody introduced himself, and is told so: the end of the stream, or a last deadline, ends this.
//! assert!(connection.transmit_len() > 0);
//! assert!(connection.poll_timeout().is_some_and(|next| next.at > deadline.at));
//! ```
//!
//! # What the application owes
//!
//! Ask for events until there are none: only then is their queue given back.
//!
//! | event | owes |
//! |---|---|
//! | [`Hello`](Event::Hello) | [`accept`](Connection::accept) or [`refuse`](Connection::refuse), within the handshake's time |
//! | [`Request`](Event::Request) | one [`reply`](Connection::reply), now or later, in any order |
//! | [`Cancelled`](Event::Cancelled) | the same reply, perhaps sooner: nobody waits for its body |
//! | [`Push`](Event::Push) | [`release`](Connection::release), once it has been dealt with: it is what slows the peer down |
//! | [`Draining`](Event::Draining) | nothing; further calls are refused |
//! | [`Closed`](Event::Closed) | to let go of all that belongs to the connection |
//!
//! A command that cannot be carried out changes nothing and gives the message back. After [`Refusal::Full`] and
//! [`Refusal::NoSlot`], [`Writable`](Event::Writable) says when to try again. Every call that was accepted ends with one
//! [`Ended`](Event::Ended), whatever becomes of the connection. Ids and tokens belong to the connection that gave them.
//!
//! # The end
//!
//! | to end a connection | what happens |
//! |---|---|
//! | [`drain`](Connection::drain) | no further calls; those in flight are served; then as `close` |
//! | [`close`](Connection::close) | what was accepted is sent, then CLOSE; the peer answers with its own |
//! | [`abort`](Connection::abort) | nothing more is sent |
//! | dropping it and the stream | the same, and nobody here hears of it |
//!
//! All but the last lead to [`Event::Closed`], within bounded time, if the loop goes on as before:
//!
//! 1. [`wants_shutdown`](Connection::wants_shutdown): all has been written. Shut down *writing*, once. Closing the stream here
//!    would be wrong: a system that closes a socket with input in it resets the stream, and the peer loses what it has not
//!    read yet.
//! 2. The peer does the same, and its stream ends: [`handle_eof`](Connection::handle_eof).
//! 3. [`is_closed`](Connection::is_closed): take the last events, and close the stream.
//!
//! ```
//! use proto_core::wire::CloseInfo;
//! use proto_core::{CloseCode, CloseReason, Connection, Event, Instant, Role, SharedConfig};
//!
//! let (config, now) = (SharedConfig::default(), Instant::EPOCH);
//! let mut dialer = Connection::new(&config, Role::Dialer, now, 1);
//! dialer.close(now, CloseCode::NORMAL, CloseInfo::default());
//! assert!(!dialer.wants_shutdown(), "there is something to write");
//! dialer.advance_transmit(now, dialer.transmit_len());
//! assert!(dialer.wants_shutdown() && !dialer.is_closed(), "the other direction is still open");
//! dialer.handle_eof(now);
//! assert!(dialer.is_closed());
//! assert_eq!(dialer.poll_event(), Some(Event::Closed(CloseReason::Local(CloseCode::NORMAL))));
//! ```
//!
//! # Coming back
//!
//! A connection is never reset: a client that comes back makes a new one, and [`Dialer`] says when and where to. It is a
//! machine like `Connection`. You tell it what happened, do what [`poll_action`](Dialer::poll_action) says, and call its
//! [`handle_timeout`](Dialer::handle_timeout) at the time of its [`poll_timeout`](Dialer::poll_timeout). It deals with
//! growing and random delays, several addresses, and what servers ask for.
//!
//! | when | tell it |
//! |---|---|
//! | [`Event::Open`] | [`opened`](Dialer::opened) |
//! | [`Connection::peer_has_spoken`] | [`lives`](Dialer::lives), as often as you like |
//! | no stream came about; [`Event::Closed`] | [`ended`](Dialer::ended) |
//!
//! A connection may open and end within one read, so go by the events and not by the connection's state.
//!
//! ```
//! use proto_core::client::{Action, DialState, Dialer, ReconnectConfig, Target};
//! use proto_core::{CloseReason, Event, Instant, TransportError};
//!
//! /// Tells the dialer what happened on its connection.
//! fn hear(dialer: &mut Dialer, now: Instant, event: &Event) {
//!     match event {
//!         Event::Open(_) => dialer.opened(now),
//!         Event::Closed(reason) => dialer.ended(now, reason),
//!         _ => {}
//!     }
//! }
//!
//! let addresses = ["one.example:7000", "two.example:7000"];
//! let mut dialer = Dialer::new(ReconnectConfig::default(), addresses.len(), 1);
//! let mut now = Instant::EPOCH;
//! let mut dialled = Vec::new();
//! dialer.start(now);
//! for turn in 0.. {
//!     dialer.handle_timeout(now);
//!     match dialer.poll_action() {
//!         // Begin to connect. Do not wait for it here, and remember what is under way: `HangUp` may come any time.
//!         Some(Action::Dial(attempt)) => {
//!             let Target::Listed(number) = attempt.target else { panic!("no redirect is allowed") };
//!             dialled.push(addresses[number]);
//!             // ... and in this example, nobody is there the first time:
//!             if turn == 0 {
//!                 dialer.ended(now, &CloseReason::Transport(TransportError::Unreachable));
//!             } else {
//!                 hear(&mut dialer, now, &Event::Open(None));
//!                 break;
//!             }
//!         }
//!         Some(Action::HangUp) => panic!("nobody told it to stop"),
//!         // Nothing to do: here the loop would wait, for its sockets and until this time.
//!         None => now = dialer.poll_timeout().expect("it goes on"),
//!     }
//! }
//! assert_eq!(dialled, addresses);
//! assert_eq!(dialer.state(), &DialState::Open);
//! ```
//!
//! # Testing in virtual time
//!
//! What your application does with events can be tested without your loop, and without waiting. With feature `simulation`,
//! [`simulation::Pair`](crate::simulation::Pair) joins two connections by pipes that can be narrow, slow or cut, under a
//! clock that jumps to the next instant at which something happens. Keep what the application does with an event in a
//! function of its own, as `handle` is above, and both the loop and the test can call it:
//!
//! ```
//! # #[cfg(feature = "simulation")]
//! # fn example() -> Result<(), proto_core::Refused> {
//! use std::time::Duration;
//! use proto_core::simulation::{CutKind, Pair};
//! use proto_core::wire::Extensions;
//! use proto_core::{Connection, Delivery, Event, Instant, Message, Outcome, Role, StatusCode, Timeout};
//!
//! /// The application: it answers route 1, and never anything else.
//! fn handle(connection: &mut Connection, now: Instant, event: Event) {
//!     if let Event::Request { id, message, .. } = event {
//!         if message.number == 1 {
//!             connection.reply(now, id, StatusCode::OK, Extensions::none(), message.body).expect("once");
//!         }
//!     }
//! }
//!
//! /// Lets a time pass; says how the dialer's calls ended in it.
//! fn pass(pair: &mut Pair, time: Duration) -> Vec<Outcome> {
//!     let (end, mut outcomes) = (pair.now() + time, Vec::new());
//!     loop {
//!         while let Some((role, event)) = pair.poll_event() {
//!             let now = pair.now();
//!             match (role, event) {
//!                 (Role::Acceptor, event) => handle(pair.acceptor(), now, event),
//!                 (Role::Dialer, Event::Ended { outcome, .. }) => outcomes.push(outcome),
//!                 (Role::Dialer, _) => {}
//!             }
//!         }
//!         if !pair.step_until(end) {
//!             return outcomes;
//!         }
//!     }
//! }
//!
//! let mut pair = Pair::open(7);
//! let now = pair.now();
//! pair.dialer().call(now, Message::new(1, "hello"), Timeout::Default)?;
//! let outcomes = pass(&mut pair, Duration::from_secs(1));
//! assert!(matches!(&outcomes[..], [Outcome::Reply { body, .. }] if *body == "hello"));
//!
//! // Half an hour later, somebody pulls the plug: the call may have been run.
//! let now = pair.now();
//! pair.dialer().call(now, Message::new(2, "slow"), Timeout::Never)?;
//! assert_eq!(pass(&mut pair, Duration::from_secs(1800)), []);
//! pair.pipe_from(Role::Dialer).cut(CutKind::Reset);
//! assert_eq!(pass(&mut pair, Duration::from_secs(1)), [Outcome::Lost(Delivery::MaybeSent)]);
//! # Ok(())
//! # }
//! # #[cfg(feature = "simulation")]
//! # example().expect("no call is refused");
//! ```
//!
//! The loop itself is left: it moves bytes, and is best tested with real sockets. The package `conformance` does that: implement its
//! trait `EventLoop` (listen, connect, turn, say what happened), call `conformance::run_loop`, and your loop plays the same scenarios as the
//! adapters, over a network that splits, stalls, cuts and half-closes, beside peers that talk nonsense. Its test `custom_loop` is how the
//! example does it. What it cannot see is left to you: that the loop does not spin, by counting its turns while nothing happens.

#[cfg(doc)]
use crate::{Connection, Event, Instant, Refusal, client::Dialer};
