//! Calls that are given up at every point of their way: no slot and no byte of credit is lost by it or made of nothing, and
//! what is said about it is true.

use std::time::Duration;

use proto_core::simulation::{Pair, PairConfig, PipeConfig};
use proto_core::wire::{Capabilities, Extensions};
use proto_core::{Bytes, Config, Delivery, Event, Message, Role, StatusCode, Timeout};

const MINUTE: Duration = Duration::from_secs(60);

/// LW-3.9, LW-4.13: a caller that gives up in the middle of a reply, and that does not take CANCEL itself though it may send
/// it, gets the rest of the reply: it was told CANCEL before, and ended the connection for that.
#[test]
fn a_caller_that_takes_no_cancel_is_sent_none_in_the_middle_of_a_reply() {
    let config = Config { max_frame: 4096, commit_limit: 1, heartbeat: None, ..Config::default() };
    let simple =
        Config { capabilities: Capabilities::SUPPORTED.without(Capabilities::CANCEL), ..config.clone() };
    let mut pair = Pair::new(&PairConfig {
        dialer: simple.share().expect("sound limits"),
        acceptor: config.share().expect("sound limits"),
        to_dialer: PipeConfig { capacity: 1000, ..PipeConfig::default() },
        ..PairConfig::default()
    });
    assert!(pair.handshake());
    let now = pair.now();
    let call = pair.dialer().call(now, Message::new(1, "a long story"), Timeout::Never).expect("room");
    assert!(pair.run_until(|pair| pair.acceptor().requests_in_flight() == 1));
    let Some(Event::Request { id, .. }) = pair.acceptor().poll_event() else { panic!("a request") };
    let (now, story) = (pair.now(), Bytes::from(vec![1; 20_000]));
    assert_eq!(pair.acceptor().reply(now, id, StatusCode::OK, Extensions::none(), story), Ok(()));
    assert!(pair.run_until(|pair| pair.pipe_from(Role::Acceptor).delivered() > 6000));
    let now = pair.now();
    assert_eq!(pair.dialer().cancel(now, call), Some(Delivery::MaybeSent));
    assert!(pair.run_until_idle(MINUTE));
    assert!(pair.dialer().is_open(), "the caller ended: {:?}", pair.dialer().close_reason());
    assert_eq!((pair.dialer().calls_in_flight(), pair.acceptor().requests_in_flight()), (0, 0));
    assert_eq!((pair.poll_event(), pair.dialer().counters().replies_late), (None, 1));
}
