//! The threads that call, each with a runtime of its own: they share nothing but the machine.

use std::io;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use adapter_tokio::Tokio;
use adapter_tokio::proto_core::endpoint::Runtime;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::clock::Clock;
use super::connection::{ATTEMPTS, Keeper};
use super::plan::Plan;
use super::word::{Order, Part, Word};
use super::worker::Worker;

/// All threads of a run, as whoever looks on sees them.
#[derive(Debug)]
pub(super) struct Threads {
    orders: Vec<UnboundedSender<Order>>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts them. They connect at once, and wait for the word to begin.
    pub(super) fn start(plan: &Arc<Plan>, clock: Clock) -> io::Result<(Self, UnboundedReceiver<Word>)> {
        let (words, heard) = unbounded_channel();
        let mut threads = Self { orders: Vec::new(), handles: Vec::new() };
        for thread in 0..plan.threads {
            let (orders, obeyed) = unbounded_channel();
            let own = Thread {
                plan: Arc::clone(plan),
                thread,
                clock,
                orders: orders.clone(),
                words: words.clone(),
            };
            threads.orders.push(orders);
            threads.handles.push(Builder::new().name(format!("calls-{thread}")).spawn(|| own.run(obeyed))?);
        }
        Ok((threads, heard))
    }

    /// Gives all of them the same order.
    pub(super) fn order(&self, order: impl Fn() -> Order) {
        for orders in &self.orders {
            // Who has ended needs no orders.
            let _ = orders.send(order());
        }
    }

    /// Waits until they have parted with the server.
    pub(super) fn join(self) {
        for handle in self.handles {
            // Who panicked has been missed already.
            let _ = handle.join();
        }
    }
}

struct Thread {
    plan: Arc<Plan>,
    thread: usize,
    clock: Clock,
    orders: UnboundedSender<Order>,
    words: UnboundedSender<Word>,
}

impl Thread {
    fn run(self, obeyed: UnboundedReceiver<Order>) {
        let words = self.words.clone();
        let _witness = Witness(self.words.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let ended = runtime.and_then(|runtime| {
            let ended = runtime.block_on(self.call(obeyed));
            // What still runs then (such as a look-up of a name) is not waited for.
            runtime.shutdown_background();
            ended
        });
        if let Err(error) = ended {
            let _ = words.send(Word::Broken(error.to_string()));
        }
    }

    async fn call(self, obeyed: UnboundedReceiver<Order>) -> io::Result<()> {
        let Self { plan, thread, clock, orders, words } = self;
        let worker = Worker::new((Arc::clone(&plan), thread), clock, obeyed, words.clone())?;
        let (ends, end) = watch::channel(false);
        let attempts = Arc::new(Semaphore::new(ATTEMPTS));
        let time = Tokio::default().clock();
        let mut keepers = JoinSet::new();
        for number in 0..plan.share(plan.connections as u64, thread) as usize {
            let mut addresses = plan.addresses.clone();
            let first = number * plan.threads + thread;
            addresses.rotate_left(first % plan.addresses.len());
            let keeper = Keeper {
                number,
                addresses,
                config: plan.config.clone(),
                patience_at_start: plan.patience_at_start,
                patience: plan.patience,
                orders: orders.clone(),
                words: words.clone(),
                clock: time.clone(),
                end: end.clone(),
            };
            let attempts = Arc::clone(&attempts);
            keepers.spawn(async move { keeper.run(&attempts).await });
        }
        let part: Part = worker.run().await?;
        // Who listens no more has heard enough.
        let _ = words.send(Word::Ended(Box::new(part)));
        let _ = ends.send(true);
        while keepers.join_next().await.is_some() {}
        Ok(())
    }
}

/// Says so when its thread panics: nobody else would, as long as there are other threads.
struct Witness(UnboundedSender<Word>);

impl Drop for Witness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(Word::Broken("a thread that calls has panicked".to_owned()));
        }
    }
}
