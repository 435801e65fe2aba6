//! A connection with a byte layer below it.

use alloc::boxed::Box;

use super::close::Closing;
use super::outbox::Outbox;
use super::whole::{Nobody, ReplyTaker};
use super::{Connection, State};
use crate::error::CloseReason;
use crate::layer::{Layer, LayerError};

/// The most that a layer is given at once.
const RECORD: usize = 16 << 10;

/// The layer of a connection.
#[derive(Debug)]
pub(super) struct Layered {
    layer: Box<dyn Layer>,
    /// It knows that nothing more will be written.
    shut_down: bool,
    /// The transport's stream has ended, but the layer has not handed out all that came before.
    ended: bool,
}

impl Layered {
    pub(super) fn new(layer: Box<dyn Layer>) -> Box<Self> {
        Box::new(Self { layer, shut_down: false, ended: false })
    }

    pub(super) fn output(&self) -> &[u8] {
        self.layer.output()
    }

    pub(super) fn is_within_a_record(&self) -> bool {
        self.layer.is_within_a_record()
    }

    pub(super) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The transport's stream has ended. Says whether the protocol's has to wait.
    pub(super) fn end(&mut self) -> bool {
        self.ended = self.layer.must_write();
        self.ended
    }

    pub(super) fn held_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.layer) + self.layer.held_bytes()
    }
}

impl Connection {
    /// Bytes that have been committed and are not written, whoever has them.
    pub(super) fn unsent(&self) -> usize {
        self.outbox.pending() + self.layer.as_ref().map_or(0, |layered| layered.output().len())
    }

    /// Takes what came from the transport, through the layer if there is one.
    pub(super) fn receive_raw(
        &mut self,
        raw: &mut [u8],
        taker: &mut impl ReplyTaker,
    ) -> Result<(), CloseReason> {
        // It is out of the way meanwhile, so that what it makes can be received.
        let Some(mut layered) = self.layer.take() else {
            return self.receive(raw, taker).map_err(CloseReason::Protocol);
        };
        let mut received = Ok(());
        let read = layered.layer.read(raw, &mut |plain| {
            if received.is_ok() {
                received = self.receive(plain, taker);
            }
        });
        if !self.is_closed() {
            self.layer = Some(layered);
        }
        received.map_err(CloseReason::Protocol)?;
        read.map_err(CloseReason::Layer)
    }

    /// Gives the layer what is next to be written, when the transport has taken what it had. Says whether it took any.
    pub(super) fn pull(&mut self) -> bool {
        let Some(layered) = &mut self.layer else { return false };
        let mut moved = false;
        while layered.output().is_empty() {
            let Some(chunk) = self.outbox.chunks().next() else { break };
            let taken = layered.layer.write(&chunk[..chunk.len().min(RECORD)]);
            if taken == 0 {
                break;
            }
            self.outbox.advance(taken);
            moved = true;
        }
        let is_last = matches!(&self.state, State::Closing(closing) if closing.committed);
        if is_last && self.outbox.pending() == 0 && !core::mem::replace(&mut layered.shut_down, true) {
            layered.layer.shut_down();
        }
        moved
    }

    /// The transport has taken so much of the layer's output. One that had to write first may read on now.
    pub(super) fn advance_layer(&mut self, n: usize) {
        if let Some(layered) = &mut self.layer {
            layered.layer.advance(n);
            let frames = self.counters.frames();
            match self.receive_raw(&mut [], &mut Nobody) {
                Ok(()) => self.judge_progress(0, frames),
                Err(reason) => self.fail(reason),
            }
            if self.layer.as_ref().is_some_and(|layered| layered.has_ended()) {
                self.handle_eof(self.now);
            }
        }
    }

    /// The layer cannot go on: its last words are sent, the protocol's cannot be.
    pub(super) fn fail_layer(&mut self, error: LayerError) {
        self.lose_calls(self.outbox.handed());
        self.outbox = Outbox::new();
        let mut closing = Closing::failure(CloseReason::Layer(error));
        closing.committed = true;
        self.start_closing(closing);
    }
}
