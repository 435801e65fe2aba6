//! A byte layer for tests: it hides nothing from anybody, and does all that makes layers difficult.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::connection::Role;
use crate::layer::{Layer, LayerError, MakeLayer};
use crate::rng::Rng;

/// Makes layers that transform every byte, travel in records that are held back until they are complete, have a handshake of
/// their own, and now and then must write before they read on. There is no secrecy in it.
///
/// ```
/// use proto_core::Config;
/// use proto_core::layer::Layers;
/// use proto_core::simulation::Veil;
///
/// let config = Config { layer: Some(Layers::new(Veil)), ..Config::default() };
/// assert_eq!(config.validate(), Ok(()));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Veil;

impl MakeLayer for Veil {
    fn max_held_bytes(&self) -> usize {
        // Vectors grow by doubling.
        2 * MOST_HELD + (16 << 10)
    }

    fn make(&self, _: Role, seed: u64) -> Box<dyn Layer> {
        let nonce = Rng::new(seed).next_u64();
        Box::new(Veiled {
            writing: Mask::new(nonce),
            reading: None,
            input: Vec::new(),
            output: nonce.to_be_bytes().to_vec(),
            records: 0,
            must_write: true,
            shut_down: false,
        })
    }
}

/// How many records are read before one has to be written.
const RECORDS: u32 = 7;
/// The most that is kept while that one waits.
const MOST_HELD: usize = 1 << 20;

#[derive(Debug)]
struct Veiled {
    writing: Mask,
    /// Once the other end's nonce is here.
    reading: Option<Mask>,
    /// What has come and was not read.
    input: Vec<u8>,
    output: Vec<u8>,
    records: u32,
    /// Nothing is read before the output has been taken.
    must_write: bool,
    shut_down: bool,
}

/// A stream of bytes that both ends know.
#[derive(Debug)]
struct Mask(Rng);

impl Mask {
    const fn new(nonce: u64) -> Self {
        Self(Rng::new(nonce))
    }

    fn apply(&mut self, bytes: &mut [u8]) {
        bytes.iter_mut().for_each(|byte| *byte ^= self.0.next_u64() as u8);
    }
}

/// What a record is for; its first byte.
const DATA: u8 = 1;
const WORD: u8 = 2;
const END: u8 = 3;
const FRONT: usize = 3;

impl Veiled {
    /// A record, at the end of the output.
    fn put(&mut self, what: u8, body: &[u8]) {
        self.output.push(what);
        self.output.extend_from_slice(&(body.len() as u16).to_be_bytes());
        let at = self.output.len();
        self.output.extend_from_slice(body);
        self.writing.apply(&mut self.output[at..]);
    }

    /// The length of the first record in the input, its front included, once that can be told.
    fn record_len(&self) -> Option<usize> {
        let length = self.input.get(1..FRONT)?;
        Some(FRONT + usize::from(u16::from_be_bytes([length[0], length[1]])))
    }
}

impl Layer for Veiled {
    fn read(&mut self, raw: &mut [u8], plain: &mut dyn FnMut(&mut [u8])) -> Result<(), LayerError> {
        self.input.extend_from_slice(raw);
        if self.input.len() > MOST_HELD {
            return Err(LayerError::new("too much came before this end could write"));
        }
        if self.reading.is_none() {
            let Some(nonce) = self.input.first_chunk() else { return Ok(()) };
            self.reading = Some(Mask::new(u64::from_be_bytes(*nonce)));
            self.input.drain(..nonce.len());
        }
        while !self.must_write {
            let Some(length) = self.record_len().filter(|&length| self.input.len() >= length) else { break };
            let mut record: Vec<u8> = self.input.drain(..length).collect();
            let body = &mut record[FRONT..];
            if let Some(mask) = &mut self.reading {
                mask.apply(body);
            }
            match record[0] {
                DATA => plain(&mut record[FRONT..]),
                WORD | END => {}
                _ => return Err(LayerError::new("this is no record")),
            }
            self.records += 1;
            if self.records % RECORDS == 0 && !self.shut_down {
                self.put(WORD, b"go on");
                self.must_write = true;
            }
        }
        if self.input.is_empty() {
            self.input = Vec::new();
        }
        Ok(())
    }

    fn write(&mut self, plain: &[u8]) -> usize {
        if self.reading.is_none() || self.shut_down {
            return 0;
        }
        let taken = plain.len().min(1000);
        self.put(DATA, &plain[..taken]);
        taken
    }

    fn output(&self) -> &[u8] {
        &self.output
    }

    fn advance(&mut self, n: usize) {
        self.output.drain(..n.min(self.output.len()));
        if self.output.is_empty() {
            self.output = Vec::new();
            self.must_write = false;
        }
    }

    fn shut_down(&mut self) {
        self.shut_down = true;
        if self.reading.is_some() {
            self.put(END, &[]);
        }
    }

    fn is_within_a_record(&self) -> bool {
        !self.input.is_empty() && !self.must_write
    }

    fn must_write(&self) -> bool {
        self.must_write && !self.input.is_empty()
    }

    fn held_bytes(&self) -> usize {
        self.input.capacity() + self.output.capacity()
    }
}
