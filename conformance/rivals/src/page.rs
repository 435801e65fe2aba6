//! A page of counters that server and client share while they run, so that the client can read what the
//! server has counted without asking it: a question would be work that nobody else has.
//!
//! The orchestrator makes a file that lies in memory alone; both processes map it.
#![allow(unsafe_code, reason = "memory that two processes share is beyond what the compiler can judge")]

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::MmapMut;

use crate::Result;

/// Bytes of it.
pub(crate) const LEN: usize = 16 << 10;
/// Threads of one process that count apart. Those beyond count together with the last of them.
pub(crate) const THREADS: usize = 64;
/// Words between the counters of two threads, so that no two share a cache line.
const STRIDE: usize = 8;
/// Where the words begin that are not counters of allocations.
const WORDS: usize = 2 * THREADS * STRIDE;

static PAGE: OnceLock<Page> = OnceLock::new();

struct Page {
    words: &'static [AtomicU64],
    side: Side,
}

/// Which of the two processes this is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    Server,
    Client,
}

/// What the two tell each other beside allocations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Word {
    /// How many frames the server has encoded for broadcasts.
    Encodes,
}

/// Maps the page for good.
pub(crate) fn open(path: &Path, side: Side) -> Result {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    // SAFETY: the file has no name that others could open by chance, nobody cuts it, and all that is done
    // with the mapping is done by atomic operations.
    let map = unsafe { MmapMut::map_mut(&file)? };
    let map: &'static mut MmapMut = Box::leak(Box::new(map));
    if map.len() < LEN {
        return Err("the shared page is too short".into());
    }
    // SAFETY: a mapping begins at a page's boundary, so it is aligned; it lives for ever, is as long as was
    // just checked, any bytes are a valid number, and this was its only reference.
    let words = unsafe { std::slice::from_raw_parts(map.as_ptr().cast::<AtomicU64>(), LEN / 8) };
    PAGE.set(Page { words, side }).map_err(|_| "the shared page is mapped already")?;
    Ok(())
}

/// The counter of a thread of this process; `None` before the page is mapped.
pub(crate) fn counter(thread: usize) -> Option<&'static AtomicU64> {
    let page = PAGE.get()?;
    page.words.get(place(page.side, thread.min(THREADS - 1)))
}

/// What all threads of a process have counted.
pub(crate) fn counted(side: Side) -> u64 {
    let Some(page) = PAGE.get() else { return 0 };
    (0..THREADS).map(|thread| page.words[place(side, thread)].load(Ordering::Relaxed)).sum()
}

/// A word that both can read and add to; `None` before the page is mapped.
pub(crate) fn word(word: Word) -> Option<&'static AtomicU64> {
    PAGE.get().and_then(|page| page.words.get(WORDS + word as usize * STRIDE))
}

const fn place(side: Side, thread: usize) -> usize {
    (side as usize * THREADS + thread) * STRIDE
}
