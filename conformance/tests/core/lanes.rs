//! Lanes share the stream as they should, none of them waits for long, and what is urgent waits for nearly nothing.
//!
//! One connection sends to a peer of which only bytes exist, over a transport that takes as much as the test says: so
//! every bound is checked in bytes of the stream, frame by frame.

use std::collections::HashMap;

use conformance::frames::{self, Stream};
use conformance::stepwise::scenario;
use conformance::{LANES, Met, cases};
use proptest::prelude::*;
use proto_core::wire::{Extensions, Flags, HEADER_LEN, HeaderView, Kind, Sequence};
use proto_core::{
    Bytes, Config, Connection, Event, Instant, Lane, Message, PushToken, Refusal, RequestId, Role,
    StatusCode, Timeout,
};

const NOW: Instant = Instant::EPOCH;
/// How many requests of the peer wait for an answer in each lane.
const REQUESTS: u16 = 60;
/// Statuses of replies start here, so that a reply tells by its status which one it is.
const STATUS: u32 = 1024;

/// The largest message here.
const LARGEST: usize = 2 << 20;

/// A body of this length, which costs nothing to make.
fn body(length: usize) -> Bytes {
    static ZEROS: [u8; LARGEST] = [0; LARGEST];
    Bytes::from_static(&ZEROS[..length])
}

/// A connection, what it has sent, and when it accepted what.
struct Sender {
    connection: Connection,
    frame: usize,
    commit_limit: usize,
    /// What the transport has taken.
    stream: Vec<u8>,
    requests: HashMap<Lane, Vec<RequestId>>,
    tokens: Vec<PushToken>,
    /// Where the stream ended, as far as it was committed, when each message was accepted.
    accepted: HashMap<u32, usize>,
    refused: usize,
}

/// A frame of a message in the stream.
#[derive(Clone, Copy, Debug)]
struct Piece {
    kind: u8,
    lane: Lane,
    number: u32,
    start: usize,
    end: usize,
    is_last: bool,
}

impl Sender {
    /// A dialer whose peer takes calls without end, and so many bytes of pushes.
    fn new(frame: usize, commit_limit: usize, push_window: u64) -> Self {
        let config = Config {
            max_frame: frame as u32,
            max_message: 1024,
            // One largest push that has been dealt with is granted anew at once (LW-6.4).
            push_window: 64 + 1024,
            heartbeat: None,
            outbox_limit: 64 << 20,
            reply_limit: 64 << 20,
            commit_limit,
            call_timeout: None,
            ..Config::default()
        };
        let peer = Config {
            max_frame: frame as u32,
            call_slots: 65_536,
            max_message: u32::try_from(push_window - 64).unwrap_or(u32::MAX),
            request_window: u64::MAX,
            push_window,
            ..Config::default()
        };
        let mut opening = Stream::opening(Role::Acceptor, &peer);
        for lane in LANES {
            for number in 0..REQUESTS {
                let id = Sequence::call(1, number + lane as u16 * REQUESTS);
                let flags = Flags::empty().with_lane(lane);
                opening = opening.frame(Kind::Request, flags, id, 1, b"");
            }
        }
        let connection = Connection::new(&config.share().expect("sound limits"), Role::Dialer, NOW, 1);
        let (requests, tokens) = (HashMap::new(), Vec::new());
        let (stream, accepted) = (Vec::new(), HashMap::new());
        let mut sender =
            Self { connection, frame, commit_limit, stream, requests, tokens, accepted, refused: 0 };
        sender.write(usize::MAX);
        sender.input(opening);
        sender
    }

    fn input(&mut self, mut stream: Stream) {
        self.connection.handle_input(NOW, &mut stream.0);
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Request { id, message, .. } => self.requests.entry(message.lane).or_default().push(id),
                Event::Push { token, .. } => self.tokens.push(token),
                Event::Open(_) | Event::Writable => {}
                event => panic!("unexpected: {event:?}"),
            }
        }
    }

    /// The transport takes up to so many bytes, some at a time.
    fn write(&mut self, most: usize) {
        let end = self.stream.len().saturating_add(most);
        while self.stream.len() < end && self.connection.transmit_len() > 0 {
            let before = self.stream.len();
            for chunk in self.connection.transmit() {
                self.stream.extend_from_slice(&chunk[..chunk.len().min(end - self.stream.len())]);
            }
            self.connection.advance_transmit(NOW, self.stream.len() - before);
        }
    }

    /// The end of what is committed.
    fn committed(&self) -> usize {
        self.stream.len() + self.connection.transmit_len()
    }

    /// Sends a call, a push or a reply in this lane, and says which number its frames bear.
    fn send(&mut self, kind: Kind, lane: Lane, length: usize) -> Option<u32> {
        let number = STATUS + self.accepted.len() as u32;
        let (at, message) = (self.committed(), Message::new(number, body(length)).in_lane(lane));
        let sent = match kind {
            Kind::Request => self.connection.call(NOW, message, Timeout::Never).map(drop),
            Kind::Push => self.connection.push(NOW, message),
            _ => {
                let id = self.requests.get_mut(&lane)?.pop()?;
                let sent =
                    self.connection.reply(NOW, id, StatusCode(number), Extensions::none(), body(length));
                assert_eq!(sent, Ok(()));
                Ok(())
            }
        };
        match sent {
            Ok(()) => _ = self.accepted.insert(number, at),
            Err(refused) => {
                assert_eq!(refused.refusal, Refusal::Full);
                self.refused += 1;
                return None;
            }
        }
        Some(number)
    }

    /// How long control frames may have to wait: what is committed when they become due, and the frame that was
    /// committed last may reach beyond the limit.
    fn urgent(&self) -> usize {
        self.commit_limit + HEADER_LEN + self.frame
    }

    /// The frames in the stream that are no messages, by their kind and where they start; and those that are.
    fn frames(&self) -> (Vec<(u8, usize)>, Vec<Piece>) {
        let (mut control, mut pieces, mut start) = (Vec::new(), Vec::new(), 8);
        for frame in frames::parse(&self.stream).expect("whole frames behind a preface") {
            let header = HeaderView::new_checked(&frame.bytes).expect("a frame has a header");
            let (kind, number, end) = (frame.kind, frame.code, start + frame.bytes.len());
            if Kind::from_u8(kind).is_some_and(Kind::is_message) {
                let lane = header.flags().lane().expect("a lane that exists");
                let is_last = !header.flags().contains(Flags::MORE);
                pieces.push(Piece { kind, lane, number, start, end, is_last });
            } else {
                control.push((kind, start));
            }
            start = end;
        }
        (control, pieces)
    }
}

fn limits() -> impl Strategy<Value = (usize, usize)> {
    (4096..9000usize, prop_oneof![Just(1usize), 1..3000usize, 1000..50_000usize])
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Request), Just(Kind::Push), Just(Kind::Reply)]
}

fn lengths() -> impl Strategy<Value = usize> {
    prop_oneof![2 => 0..200usize, 2 => 200..4096usize, 2 => 4096..9000usize, 1 => 9000..60_000usize]
}

/// LW-6.12: as long as all lanes are full, high, normal and bulk get bytes as 8 : 4 : 1, to within two frames, whatever
/// the lengths of their messages and however the transport takes them.
#[test]
fn full_lanes_share_the_stream_by_their_weights() {
    let fragments = Met::default();
    let messages = || prop::collection::vec((kinds(), 64..50_000usize), 1..8);
    let strategy =
        (limits(), [messages(), messages(), messages()], prop::collection::vec(1..20_000usize, 1..20));
    proptest!(cases(80), |(((frame, commit_limit), messages, writes) in strategy)| {
        let mut sender = Sender::new(frame, commit_limit, u64::MAX);
        for ((lane, share), messages) in LANES.into_iter().zip([8, 4, 1]).zip(&messages) {
            let (mut full, mut count) = (0, 0);
            for &(kind, length) in messages.iter().cycle() {
                let kind = if kind == Kind::Reply && count >= REQUESTS { Kind::Push } else { kind };
                sender.send(kind, lane, length).expect("room for all");
                full += HEADER_LEN + length;
                count += 1;
                if full > share * 100_000 {
                    break;
                }
            }
        }
        let start = sender.committed();
        for write in writes.into_iter().cycle() {
            sender.write(write);
            if sender.connection.transmit_len() == 0 {
                break;
            }
        }
        let (_, pieces) = sender.frames();
        fragments.add(pieces.iter().filter(|piece| !piece.is_last).count());
        let last = |lane| pieces.iter().rfind(|piece| piece.lane == lane).map_or(0, |piece| piece.start);
        let end = LANES.into_iter().map(last).min().unwrap_or_default();
        // What each lane was given, as time on a clock that runs slower the more urgent the lane is.
        let mut clocks = [0; 3];
        for piece in pieces.iter().filter(|piece| (start..end).contains(&piece.start)) {
            let lane = LANES.iter().position(|lane| *lane == piece.lane).unwrap_or_default();
            clocks[lane] += (piece.end - piece.start) * [1, 2, 8][lane];
            for (one, other, weight) in [(0, 1, 2), (0, 2, 8), (1, 2, 8)] {
                let difference = usize::abs_diff(clocks[one], clocks[other]);
                prop_assert!(
                    difference <= 2 * weight * (frame + HEADER_LEN),
                    "{:?} and {:?} are {difference} apart at byte {}: {clocks:?}", LANES[one], LANES[other], piece.end
                );
            }
        }
        prop_assert!(clocks[2] > 500_000, "the lanes were not full for long enough: {clocks:?}");
    });
    fragments.assert("a message in fragments");
}

/// One thing that happens to a [`Sender`].
#[derive(Clone, Debug)]
enum Step {
    Send(Kind, Lane, usize),
    Write(usize),
}

/// LW-6.12, LW-6.5, LW-5.2: whatever floods the other lanes, and though credit for pushes runs out, each lane goes on:
/// between two of its frames it waits for no more bytes of others than the weights allow for the first of them, and one
/// frame of each other lane. Order within a lane holds, and all that was accepted leaves (LW-4.6).
#[test]
fn no_lane_waits_beyond_its_bound() {
    let [waited, without_credit, fragments] = <[Met; 3]>::default();
    let step = prop_oneof![
        5 => (kinds(), scenario::lanes(), lengths()).prop_map(|(kind, lane, length)| Step::Send(kind, lane, length)),
        2 => (1..30_000usize).prop_map(Step::Write),
    ];
    let strategy = (
        limits(),
        prop::collection::vec(step, 1..150),
        prop_oneof![2 => 70_000..400_000u64, 1 => Just(u64::MAX)],
    );
    proptest!(cases(600), |(((frame, commit_limit), steps, push_window) in strategy)| {
        let mut sender = Sender::new(frame, commit_limit, push_window);
        for step in steps {
            match step {
                Step::Send(kind, lane, length) => _ = sender.send(kind, lane, length),
                Step::Write(most) => sender.write(most),
            }
            prop_assert!(sender.connection.transmit_len() <= sender.urgent(), "more is committed than may be");
        }
        sender.write(usize::MAX);
        without_credit.add(sender.refused);
        let (_, pieces) = sender.frames();
        fragments.add(pieces.iter().filter(|piece| !piece.is_last).count());
        let whole: Vec<u32> = pieces.iter().filter(|piece| piece.is_last).map(|piece| piece.number).collect();
        prop_assert_eq!(whole.len(), sender.accepted.len(), "not all that was accepted was sent");
        let most = frame + HEADER_LEN;
        for (lane, bound) in LANES.into_iter().zip([most * 5 / 8 + 2 * most, most * 9 / 4 + 2 * most, 14 * most]) {
            let mut free = 0;
            for piece in pieces.iter().filter(|piece| piece.lane == lane) {
                let wait = piece.start - free.max(sender.accepted[&piece.number]).min(piece.start);
                waited.add(usize::from(wait > 3 * most));
                prop_assert!(wait <= bound, "{lane:?} waited for {wait} bytes, {bound} are allowed: {piece:?}");
                free = piece.end;
            }
            for kind in [Kind::Request, Kind::Push] {
                let of_kind = |piece: &&Piece| piece.lane == lane && piece.kind == kind as u8;
                let numbers: Vec<u32> = pieces.iter().filter(of_kind).map(|piece| piece.number).collect();
                prop_assert!(numbers.is_sorted(), "{kind:?}s of lane {lane:?} are out of order: {numbers:?}");
            }
        }
    });
    waited.assert("a lane that waited for several frames of others");
    without_credit.assert("a push that was refused for lack of credit");
    fragments.assert("a message in fragments");
}

/// LW-2.8, LW-6.12: a message in the high lane overtakes a large bulk message that is under way: in front of it goes
/// only what is committed, which is the limit on that and one frame at the most.
#[test]
fn a_high_message_overtakes_bulk_that_is_under_way() {
    let overtaken = Met::default();
    let step = (1..20_000usize, kinds(), 0..4096usize);
    let strategy = (limits(), prop::collection::vec(step, 1..25));
    proptest!(cases(300), |(((frame, commit_limit), steps) in strategy)| {
        let mut sender = Sender::new(frame, commit_limit, u64::MAX);
        let mut sent = Vec::new();
        // It outlasts all that comes.
        prop_assert!(sender.send(Kind::Push, Lane::Bulk, LARGEST).is_some());
        for (write, kind, length) in steps {
            let asked = sender.stream.len();
            sent.extend(sender.send(kind, Lane::High, length).map(|number| (number, asked)));
            // The next one comes when this one has left: here they do not wait for each other.
            sender.write(sender.urgent() + 4096 + HEADER_LEN + write);
        }
        sender.write(usize::MAX);
        let (_, pieces) = sender.frames();
        for (number, asked) in sent {
            let at = pieces.iter().position(|piece| piece.number == number).expect("it was sent");
            let wait = pieces[at].start - asked;
            prop_assert!(wait <= sender.urgent(), "it waited for {wait} bytes, {} are allowed", sender.urgent());
            overtaken.add(usize::from(at > 0 && !pieces[at - 1].is_last));
        }
    });
    overtaken.assert("a message in the middle of another");
}

/// LW-8.1, LW-6.4, LW-6.12: a PONG and a CREDIT wait for no message, whatever fills all the lanes: only for what is
/// committed, which is the limit on that and one frame at the most.
#[test]
fn control_frames_wait_only_for_what_is_committed() {
    let [pongs, credits, behind_much] = <[Met; 3]>::default();
    let step = (any::<bool>(), 1..60_000usize);
    let messages = prop::collection::vec((kinds(), scenario::lanes(), 1000..1usize << 20), 10..25);
    let strategy = (limits(), messages, prop::collection::vec(step, 1..40));
    proptest!(cases(250), |(((frame, commit_limit), messages, steps) in strategy)| {
        let mut sender = Sender::new(frame, commit_limit, u64::MAX);
        for (kind, lane, length) in messages {
            sender.send(kind, lane, length);
        }
        let mut asked = Vec::new();
        for (ping, write) in steps {
            behind_much.add(usize::from(sender.connection.transmit_len() > frame));
            if ping {
                sender.input(Stream::new().control(Kind::Ping, 0, &[7; 8]));
            } else {
                sender.input(Stream::new().push(&[1; 500]));
                let token = sender.tokens.pop().expect("the push came");
                sender.connection.release(NOW, token);
            }
            asked.push((if ping { Kind::Pong } else { Kind::Credit }, sender.stream.len()));
            // The answer is written before the next one is asked for.
            sender.write(sender.urgent() + 100);
            sender.write(write);
        }
        sender.write(usize::MAX);
        let (control, _) = sender.frames();
        let starts = |kind: Kind| control.iter().filter(move |frame| frame.0 == kind as u8).map(|frame| frame.1);
        for kind in [Kind::Pong, Kind::Credit] {
            let asked: Vec<usize> = asked.iter().filter(|asked| asked.0 == kind).map(|asked| asked.1).collect();
            prop_assert_eq!(starts(kind).count(), asked.len(), "not as many {:?}s as were asked for", kind);
            for (start, asked) in starts(kind).zip(asked) {
                let (wait, most) = (start - asked, sender.urgent());
                prop_assert!(wait <= most, "a {kind:?} waited for {wait} bytes, {most} are allowed");
                (if kind == Kind::Pong { &pongs } else { &credits }).add(1);
            }
        }
    });
    pongs.assert("a PONG");
    credits.assert("a CREDIT");
    behind_much.assert("more than a frame in front of what was asked for");
}
