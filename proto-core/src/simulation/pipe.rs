//! One direction of a virtual byte stream.
//!
//! A pipe keeps every byte in order, as a stream transport does, and is unkind in every way in which one may be: it
//! takes less than is offered, gives less than is there, joins what was written apart, is slow, is late, stands still,
//! ends and breaks. It knows bytes and times, and never what they mean.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::num::NonZeroU32;
use core::ops::RangeInclusive;
use core::time::Duration;

use bytes::{Buf, Bytes};

use super::rate::Rate;
use crate::error::TransportError;
use crate::rng::Rng;
use crate::time::Instant;

/// How a [`Pipe`] treats its bytes. The default is a fast local network.
///
/// ```
/// use core::time::Duration;
/// use proto_core::simulation::PipeConfig;
///
/// // A slow link that dribbles.
/// let config = PipeConfig {
///     capacity: 100,
///     read_size: 1..=3,
///     latency: Duration::from_millis(200),
///     ..PipeConfig::default()
/// };
/// assert_eq!(config.cut, None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PipeConfig {
    /// Bytes under way before a write is only taken in part; at least 1. Default 64 KiB.
    pub capacity: usize,
    /// How many bytes one read gets if so many have arrived: drawn anew for each read; at least 1.
    /// Default 1 to 16 KiB.
    pub read_size: RangeInclusive<usize>,
    /// From write to arrival, or from when the bytes have left if there is a rate. Default 1 ms.
    pub latency: Duration,
    /// How many bytes leave per second, one packet after another; what waits to leave counts as under way. Default `None`:
    /// all at once.
    pub bytes_per_second: Option<NonZeroU32>,
    /// Nothing arrives before this instant. Default none.
    pub stalled_until: Option<Instant>,
    /// Where the pipe breaks. Default nowhere.
    pub cut: Option<Cut>,
}

impl Default for PipeConfig {
    fn default() -> Self {
        Self {
            capacity: 64 << 10,
            read_size: 1..=16 << 10,
            latency: Duration::from_millis(1),
            bytes_per_second: None,
            stalled_until: None,
            cut: None,
        }
    }
}

/// Where a pipe breaks, and what its two ends see of that. Bytes behind it are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Behind which byte, or at what time.
    pub place: CutPlace,
    /// What is seen.
    pub kind: CutKind,
}

/// Where a pipe breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutPlace {
    /// As soon as so many bytes have been read.
    Bytes(u64),
    /// At this instant.
    Time(Instant),
}

/// What the ends of a broken pipe see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutKind {
    /// The reader sees the end of the stream. The writer sees nothing: what it writes is lost.
    Eof,
    /// Both see a reset.
    Reset,
}

/// What a read found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// These bytes, at least one.
    Bytes(Vec<u8>),
    /// The end of the stream.
    Eof,
    /// Nothing now; [`Pipe::next_arrival`] says when that may change.
    Pending,
}

/// One direction of a byte stream in virtual time.
///
/// ```
/// use proto_core::Instant;
/// use proto_core::simulation::{Pipe, PipeConfig, Read};
///
/// let mut pipe = Pipe::new(PipeConfig { capacity: 4, read_size: 3..=3, ..PipeConfig::default() }, 7);
/// assert_eq!(pipe.write(Instant::EPOCH, b"hello"), Ok(4));
/// assert_eq!(pipe.read(Instant::EPOCH), Ok(Read::Pending));
///
/// let arrival = pipe.next_arrival(Instant::EPOCH).expect("four bytes are under way");
/// assert_eq!(pipe.read(arrival), Ok(Read::Bytes(b"hel".to_vec())));
/// ```
#[derive(Clone, Debug)]
pub struct Pipe {
    config: PipeConfig,
    rng: Rng,
    /// What is under way, with the instant of its arrival.
    under_way: VecDeque<(Instant, Bytes)>,
    rate: Rate,
    used: usize,
    delivered: u64,
    /// When the end of the stream arrives, once the writer has shut down.
    end: Option<Instant>,
    broken: Option<CutKind>,
    reader_gone: bool,
}

impl Pipe {
    /// An empty pipe, whose reads are drawn from `seed`.
    pub fn new(config: PipeConfig, seed: u64) -> Self {
        Self {
            rate: Rate::new(config.bytes_per_second),
            config,
            rng: Rng::new(seed),
            under_way: VecDeque::new(),
            used: 0,
            delivered: 0,
            end: None,
            broken: None,
            reader_gone: false,
        }
    }

    /// Takes as much of `bytes` as there is room for, perhaps nothing; says how much.
    ///
    /// # Errors
    /// `Reset` if the pipe broke that way, `BrokenPipe` if the reader is gone or this end was shut down.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> Result<usize, TransportError> {
        self.cut_if_due(now);
        match self.broken {
            Some(CutKind::Reset) => return Err(TransportError::Reset),
            Some(CutKind::Eof) => return Ok(bytes.len()),
            None => {}
        }
        if self.reader_gone || self.end.is_some() {
            return Err(TransportError::BrokenPipe);
        }
        let taken = bytes.len().min(self.room());
        let mut rest = &bytes[..taken];
        while !rest.is_empty() {
            let (packet, left) = self.rate.send(now, rest.len());
            let arrival = left + self.config.latency;
            self.under_way.push_back((arrival, Bytes::copy_from_slice(&rest[..packet])));
            rest = &rest[packet..];
        }
        self.used += taken;
        Ok(taken)
    }

    /// How much a write would take.
    pub fn room(&self) -> usize {
        self.config.capacity.max(1).saturating_sub(self.used)
    }

    /// The writer says that nothing follows. What is under way still arrives, and the end of the stream behind it.
    pub fn shut_down(&mut self, now: Instant) {
        let left = self.rate.free(now);
        self.end.get_or_insert(left + self.config.latency);
    }

    /// Takes some of what has arrived.
    ///
    /// # Errors
    /// `Reset` if the pipe broke that way.
    pub fn read(&mut self, now: Instant) -> Result<Read, TransportError> {
        self.read_up_to(now, usize::MAX)
    }

    /// [`read`](Self::read), but no more than `limit` bytes.
    ///
    /// # Errors
    /// If the stream was reset.
    pub fn read_up_to(&mut self, now: Instant, limit: usize) -> Result<Read, TransportError> {
        self.cut_if_due(now);
        match self.broken {
            Some(CutKind::Reset) => return Err(TransportError::Reset),
            Some(CutKind::Eof) => return Ok(Read::Eof),
            None => {}
        }
        if self.config.stalled_until.is_some_and(|until| now < until) {
            return Ok(Read::Pending);
        }
        let mut bytes = Vec::new();
        let most = self.draw_read_size().min(limit);
        while let Some((arrival, first)) = self.under_way.front_mut() {
            if *arrival > now || bytes.len() == most {
                break;
            }
            let taken = first.len().min(most - bytes.len());
            bytes.extend_from_slice(&first[..taken]);
            first.advance(taken);
            if first.is_empty() {
                self.under_way.pop_front();
            }
        }
        self.used -= bytes.len();
        self.delivered += bytes.len() as u64;
        let ended = self.under_way.is_empty() && self.end.is_some_and(|end| end <= now);
        match bytes.len() {
            0 if ended => Ok(Read::Eof),
            0 => Ok(Read::Pending),
            _ => Ok(Read::Bytes(bytes)),
        }
    }

    /// The reader closes its end: what is under way is lost, and the writer will see a broken pipe.
    pub fn close_reader(&mut self) {
        self.reader_gone = true;
        self.under_way.clear();
        self.used = 0;
    }

    /// When a read may find what it does not find at `now`; `None` if it will not without a further write.
    pub fn next_arrival(&self, now: Instant) -> Option<Instant> {
        if self.broken.is_some() || self.reader_gone {
            return None;
        }
        let first = self.under_way.front().map(|&(arrival, _)| arrival).or(self.end);
        let first = first.map(|at| self.config.stalled_until.map_or(at, |until| at.max(until)));
        let cut = match self.config.cut {
            Some(Cut { place: CutPlace::Time(at), .. }) => Some(at),
            Some(Cut { place: CutPlace::Bytes(_), .. }) | None => None,
        };
        first.into_iter().chain(cut).filter(|&at| at > now).min()
    }

    /// Bytes that have been read.
    pub const fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Bytes that have been written and not read.
    pub const fn under_way(&self) -> usize {
        self.used
    }

    /// Nothing arrives before `until`.
    pub const fn stall(&mut self, until: Instant) {
        self.config.stalled_until = Some(until);
    }

    /// Breaks the pipe now.
    pub fn cut(&mut self, kind: CutKind) {
        self.broken.get_or_insert(kind);
        self.under_way.clear();
        self.used = 0;
    }

    /// How the pipe broke, if it has by `now`.
    pub fn broken(&mut self, now: Instant) -> Option<CutKind> {
        self.cut_if_due(now);
        self.broken
    }

    fn cut_if_due(&mut self, now: Instant) {
        let Some(Cut { place, kind }) = self.config.cut else { return };
        let due = match place {
            CutPlace::Bytes(most) => self.delivered >= most,
            CutPlace::Time(at) => at <= now,
        };
        if due {
            self.cut(kind);
        }
    }

    /// How much the next read may take: what was drawn, and nothing beyond a cut.
    fn draw_read_size(&mut self) -> usize {
        let (least, most) = (*self.config.read_size.start(), *self.config.read_size.end());
        let span = most.saturating_sub(least) as u64;
        let drawn = (least + self.rng.below(span + 1) as usize).max(1);
        match self.config.cut {
            Some(Cut { place: CutPlace::Bytes(most), .. }) => {
                drawn.min(usize::try_from(most - self.delivered).unwrap_or(usize::MAX))
            }
            Some(Cut { place: CutPlace::Time(_), .. }) | None => drawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Instant = Instant::EPOCH;

    fn arrived(pipe: &mut Pipe, now: Instant) -> Vec<u8> {
        let mut all = Vec::new();
        while let Ok(Read::Bytes(bytes)) = pipe.read(now) {
            all.extend(bytes);
        }
        all
    }

    #[test]
    fn the_end_of_the_stream_comes_behind_the_last_byte() {
        let mut pipe = Pipe::new(PipeConfig::default(), 1);
        assert_eq!(pipe.write(NOW, b"last words"), Ok(10));
        pipe.shut_down(NOW);
        assert_eq!(pipe.write(NOW, b"more"), Err(TransportError::BrokenPipe));
        let later = pipe.next_arrival(NOW).unwrap();
        assert_eq!(arrived(&mut pipe, later), b"last words");
        assert_eq!(pipe.read(later), Ok(Read::Eof));
        assert_eq!(pipe.next_arrival(later), None);
    }

    #[test]
    fn a_stalled_pipe_gives_nothing_until_then() {
        let until = NOW + Duration::from_secs(9);
        let mut pipe = Pipe::new(PipeConfig { stalled_until: Some(until), ..PipeConfig::default() }, 1);
        assert_eq!(pipe.write(NOW, b"x"), Ok(1));
        assert_eq!(pipe.next_arrival(NOW), Some(until));
        assert_eq!(pipe.read(NOW + Duration::from_secs(8)), Ok(Read::Pending));
        assert_eq!(arrived(&mut pipe, until), b"x");
    }

    #[test]
    fn a_slow_pipe_gives_as_much_as_its_rate_says() {
        let bytes_per_second = NonZeroU32::new(1000);
        let latency = Duration::from_millis(30);
        let mut pipe = Pipe::new(PipeConfig { bytes_per_second, latency, ..PipeConfig::default() }, 1);
        assert_eq!(pipe.write(NOW, &[1; 4000]), Ok(4000));
        pipe.shut_down(NOW);
        let mut came = Vec::new();
        let mut now = NOW;
        while let Some(next) = pipe.next_arrival(now) {
            now = next;
            came.push((now.as_nanos() / 1_000_000, arrived(&mut pipe, now).len()));
        }
        assert_eq!(came, [(1530, 1500), (3030, 1500), (4030, 1000)]);
        assert_eq!(pipe.read(now), Ok(Read::Eof));
    }

    #[test]
    fn a_cut_lets_through_exactly_the_bytes_before_it() {
        for kind in [CutKind::Eof, CutKind::Reset] {
            let cut = Some(Cut { place: CutPlace::Bytes(4), kind });
            let mut pipe = Pipe::new(PipeConfig { cut, latency: Duration::ZERO, ..PipeConfig::default() }, 1);
            assert_eq!(pipe.write(NOW, b"abcdef"), Ok(6));
            assert_eq!(arrived(&mut pipe, NOW), b"abcd");
            let (read, written) = match kind {
                CutKind::Eof => (Ok(Read::Eof), Ok(1)),
                CutKind::Reset => (Err(TransportError::Reset), Err(TransportError::Reset)),
            };
            assert_eq!((pipe.read(NOW), pipe.write(NOW, b"g")), (read, written));
        }
    }

    #[test]
    fn a_reader_that_is_gone_breaks_the_pipe_for_the_writer() {
        let mut pipe = Pipe::new(PipeConfig::default(), 1);
        pipe.close_reader();
        assert_eq!(pipe.write(NOW, b"x"), Err(TransportError::BrokenPipe));
    }

    proptest! {
        #[test]
        fn every_byte_arrives_once_and_in_order(
            bytes in prop::collection::vec(any::<u8>(), 0..2000),
            capacity in 1usize..300,
            read_size in 1usize..50,
            seed: u64,
        ) {
            let config = PipeConfig { capacity, read_size: 1..=read_size, ..PipeConfig::default() };
            let (mut pipe, mut now, mut written, mut read) = (Pipe::new(config, seed), NOW, 0, Vec::new());
            while read.len() < bytes.len() {
                written += pipe.write(now, &bytes[written..]).unwrap();
                prop_assert!(pipe.under_way() <= capacity);
                match pipe.read(now).unwrap() {
                    Read::Bytes(some) => read.extend(some),
                    Read::Eof => prop_assert!(false, "nobody shut the pipe down"),
                    Read::Pending => now = pipe.next_arrival(now).unwrap(),
                }
            }
            prop_assert_eq!(read, bytes);
        }
    }
}
