//! Byte layers: what lies between the transport and the protocol, as a machine without I/O.
//!
//! A [`Layer`] turns the bytes of the transport into those of the protocol and back: encryption, compression, another
//! protocol to travel in. It sees every byte and knows nothing of frames. A connection that is made with one
//! ([`Config::layer`](crate::Config::layer)) is driven like any other.
//!
//! What a layer has accepted counts as handed over to the transport, so the protocol never gives it more than one record
//! ahead of what the transport has taken. Any byte of the transport is a sign of life, whether anything comes of it or not.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use crate::connection::Role;

/// A byte layer of one connection.
///
/// Its methods are called in any order and must not wait. It must bound what it keeps: it is part of
/// [`held_bytes`](crate::Connection::held_bytes).
pub trait Layer: fmt::Debug + Send {
    /// Bytes came from the transport; all of them are taken. Those of the protocol go to `plain`, in order, in pieces of any
    /// size; the slice may be used to make them in. An incomplete record is kept until the rest of it comes.
    ///
    /// It is also called with nothing when output has been taken ([`advance`](Self::advance)), for a layer that must write
    /// before it reads on.
    ///
    /// # Errors
    /// If the bytes are not what they should be. The connection ends then; what is in [`output`](Self::output) is still sent.
    fn read(&mut self, raw: &mut [u8], plain: &mut dyn FnMut(&mut [u8])) -> Result<(), LayerError>;

    /// Takes bytes of the protocol to be sent, and says how many: none while it cannot, such as before its own handshake is
    /// over. What it took becomes [`output`](Self::output).
    fn write(&mut self, plain: &[u8]) -> usize;

    /// The bytes to give to the transport, in order. Those that have been lent do not change; more may follow them.
    fn output(&self) -> &[u8];

    /// The transport has taken so many of them.
    fn advance(&mut self, n: usize);

    /// Nothing more will be written: says so to the other end, if the layer has a way to.
    fn shut_down(&mut self);

    /// Whether a record has begun to arrive and is not complete.
    fn is_within_a_record(&self) -> bool;

    /// Whether what has come waits until output has been taken. The end of the stream waits with it.
    fn must_write(&self) -> bool;

    /// Bytes that it holds on the heap beside itself.
    fn held_bytes(&self) -> usize;
}

/// Makes the layers of connections: what a configuration holds, with keys and certificates if there are any.
pub trait MakeLayer: fmt::Debug + Send + Sync + 'static {
    /// The most that one of its layers holds, in bytes: it is part of [`Config::max_held_bytes`](crate::Config::max_held_bytes).
    /// Default 128 KiB.
    fn max_held_bytes(&self) -> usize {
        128 << 10
    }

    /// A layer for a new connection. Chance comes from `seed` alone, unless secrets are made of it.
    fn make(&self, role: Role, seed: u64) -> Box<dyn Layer>;
}

/// A [`MakeLayer`] that connections share. Two are equal if one is a clone of the other.
#[derive(Clone, Debug)]
pub struct Layers(Arc<dyn MakeLayer>);

impl Layers {
    /// Layers made by this.
    pub fn new(make: impl MakeLayer) -> Self {
        Self(Arc::new(make))
    }

    pub(crate) fn max_held_bytes(&self) -> usize {
        self.0.max_held_bytes()
    }

    pub(crate) fn make(&self, role: Role, seed: u64) -> Box<dyn Layer> {
        self.0.make(role, seed)
    }
}

impl PartialEq for Layers {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Layers {}

/// Why a layer failed, in words for people.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
// In a box: all connections have room for it, and hardly any has one.
pub struct LayerError(Box<Cow<'static, str>>);

impl LayerError {
    /// An error that says this.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(why.into()))
    }
}

impl fmt::Display for LayerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for LayerError {}
