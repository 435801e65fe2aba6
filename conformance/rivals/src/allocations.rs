//! Counts heap allocations, for everybody in the same way: one thread-local pointer, one load and one store
//! for each.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::page;

/// The system's allocator, counted.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Threads that have allocated.
static THREADS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Where this thread counts. It needs no destructor and no allocation, so an allocator may use it.
    static COUNTER: Cell<Option<&'static AtomicU64>> = const { Cell::new(None) };
}

fn count() {
    match COUNTER.get() {
        // Nobody else writes to it, so no costlier operation is needed.
        Some(counter) => counter.store(counter.load(Ordering::Relaxed) + 1, Ordering::Relaxed),
        None => begin(),
    }
}

#[cold]
fn begin() {
    // What is allocated before there is a page is not of interest.
    if page::counter(0).is_some() {
        COUNTER.set(page::counter(THREADS.fetch_add(1, Ordering::Relaxed)));
    }
}

// SAFETY: all of it is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the same contract.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the same contract.
        unsafe { System.dealloc(pointer, layout) }
    }
}
