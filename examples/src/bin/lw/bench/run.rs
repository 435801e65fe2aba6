//! The one that looks on: it begins a run, adds up what the threads tell, and ends it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::clock::{Clock, Nanos};
use super::live::{Live, PERIOD, Phase, Seen};
use super::plan::Plan;
use super::report::{Busy, Connections, End, Rates, Report};
use super::sample::{Errors, Totals, histogram, merge};
use super::threads::Threads;
use super::timeline::Timeline;
use super::watched::Watched;
use super::word::{Order, Part, Word};
use crate::exit::{Exit, Failure, say};
use crate::signals::Signals;
use crate::units::grouped;

/// How long calls in flight are waited for when somebody has seen enough.
const GRACE: Duration = Duration::from_secs(1);
/// From the word to begin until the beginning, so that all threads have heard it.
const LEAD: Nanos = 2_000_000;
/// Losses of connections that are told while it runs, if they are told at all.
const TOLD: u64 = 10;

/// A run as far as it is.
pub(super) struct Run {
    plan: Arc<Plan>,
    clock: Clock,
    threads: Threads,
    words: UnboundedReceiver<Word>,
    signals: Signals,
    live: Live,
    /// Whether to say when connections are lost and made again.
    tells: bool,

    /// When the measurement began; `None` before it is known.
    from: Option<Nanos>,
    began: SystemTime,
    /// Connections that are open, and where they go.
    open: u64,
    remotes: BTreeSet<SocketAddr>,
    connections: Connections,
    /// What has ended, and what of it before the measurement.
    totals: Totals,
    warm_up: Totals,
    latencies: Histogram<u64>,
    timeline: Timeline,
    parts: Vec<Part>,
    end: Option<End>,
    /// No further calls are made.
    is_stopped: bool,
    watched: Watched,
}

/// How a run ended, beside what it measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hurry {
    No,
    /// Nobody wants to wait any longer.
    Yes,
}

impl Run {
    pub(super) fn start(plan: Arc<Plan>, live: Live, tells: bool) -> Result<Self, Failure> {
        let system = |error| Failure::new(Exit::System, format_args!("cannot start: {error}"));
        let signals = Signals::new().map_err(system)?;
        let clock = Clock::start();
        let (threads, words) = Threads::start(&plan, clock).map_err(system)?;
        Ok(Self {
            plan,
            clock,
            threads,
            words,
            signals,
            live,
            tells,
            from: None,
            began: SystemTime::now(),
            open: 0,
            remotes: BTreeSet::new(),
            connections: Connections::default(),
            totals: Totals::default(),
            warm_up: Totals::default(),
            latencies: histogram(3),
            timeline: Timeline::default(),
            parts: Vec::new(),
            end: None,
            is_stopped: false,
            watched: Watched::default(),
        })
    }

    /// Runs to the end.
    pub(super) async fn run(mut self) -> Result<(Report, Hurry), Failure> {
        self.connect().await?;
        // What it looks for takes a moment, so it is before the beginning.
        self.watched = Watched::find(self.remotes.clone());
        let begin = self.clock.now() + LEAD;
        self.from = Some(begin + self.plan.warm_up);
        self.threads.order(|| Order::Begin(begin));
        let hurry = self.measure().await?;
        crate::progress::clear();
        let report = self.report();
        if hurry == Hurry::No {
            // They have told all. What is left is to part with the server.
            let threads = self.threads;
            let _ = tokio::task::spawn_blocking(|| threads.join()).await;
        }
        Ok((report, hurry))
    }

    /// Waits until all connections are open.
    async fn connect(&mut self) -> Result<(), Failure> {
        let mut ticks = interval(PERIOD);
        while self.open < self.plan.connections as u64 {
            tokio::select! {
                biased;
                () = self.signals.next() => return Err(Failure::new(Exit::Interrupted, "interrupted before it began")),
                word = self.words.recv() => self.hear(word)?,
                _ = ticks.tick() => self.show(),
            }
        }
        Ok(())
    }

    async fn measure(&mut self) -> Result<Hurry, Failure> {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut hurry = Hurry::No;
        let mut grace = None;
        while self.parts.len() < self.plan.threads {
            let next = self.watched_at().map(|at| self.clock.at(at));
            tokio::select! {
                biased;
                () = self.signals.next() => {
                    if self.is_stopped && self.end == Some(End::Interrupted) {
                        self.threads.order(|| Order::Abandon);
                        hurry = Hurry::Yes;
                    }
                    self.stop(End::Interrupted);
                    grace.get_or_insert_with(|| Instant::now() + GRACE);
                }
                word = self.words.recv() => self.hear(word)?,
                () = at(next) => self.watched.look(self.clock.now()),
                () = at(grace) => {
                    self.threads.order(|| Order::Abandon);
                    grace = None;
                }
                _ = ticks.tick() => self.show(),
            }
        }
        Ok(hurry)
    }

    /// When to look at what processes use: at both ends of the measurement, and now and then in between, as one of them may
    /// not live to its end.
    fn watched_at(&self) -> Option<Nanos> {
        let from = self.from?;
        let until = self.plan.duration.map(|duration| from.saturating_add(duration));
        self.watched.next(from, until)
    }

    fn hear(&mut self, word: Option<Word>) -> Result<(), Failure> {
        let Some(word) = word else {
            return Err(Failure::new(Exit::System, "a thread that called has ended before its time"));
        };
        match word {
            Word::Made(remote) => {
                self.connections.made += 1;
                self.open += 1;
                self.remotes.extend(remote);
                let losses = self.connections.lost + self.connections.drained;
                if self.tells && losses > 0 && losses <= TOLD && self.from.is_some() {
                    say(format_args!("connected again ({} of {})", self.open, self.plan.connections));
                }
            }
            Word::Missed(reason) => {
                self.connections.missed += 1;
                if self.tells && self.connections.missed <= TOLD {
                    say(format_args!("{reason}; trying again"));
                }
                self.connections.reason = Some(reason);
            }
            Word::Lost(reason) => {
                self.connections.lost += 1;
                self.open -= 1;
                if self.tells && self.connections.lost <= TOLD {
                    say(&reason);
                }
                self.connections.reason = Some(reason);
            }
            Word::Drained => {
                self.connections.drained += 1;
                self.open -= 1;
            }
            Word::GivenUp(reason) => self.give_up(reason)?,
            Word::Chunk(chunk) => {
                self.totals.add(&chunk.totals);
                if chunk.tick.is_none() {
                    self.warm_up.add(&chunk.totals);
                }
                merge(&mut self.latencies, &chunk.latencies);
                self.timeline.add(&chunk);
            }
            Word::Impossible(reason) => return Err(Failure::new(Exit::CallFailed, reason)),
            Word::Ended(part) => self.parts.push(*part),
            Word::Broken(error) => {
                return Err(Failure::new(Exit::System, format_args!("cannot go on: {error}")));
            }
        }
        Ok(())
    }

    /// One connection will not be made any more. Without any there is nothing to measure.
    fn give_up(&mut self, reason: String) -> Result<(), Failure> {
        if self.from.is_none() {
            let made = match self.plan.connections {
                1 => String::new(),
                all => format!("; {} of {} connections were made", grouped(self.open), grouped(all as u64)),
            };
            return Err(Failure::new(Exit::Unreachable, format_args!("{reason}{made}")));
        }
        self.connections.given_up += 1;
        if self.connections.given_up == self.plan.connections as u64 {
            self.stop(End::Lost(reason));
            self.threads.order(|| Order::Abandon);
        } else {
            self.connections.reason = Some(reason);
        }
        Ok(())
    }

    /// Ends it before its time, for this reason. Only the first one counts.
    fn stop(&mut self, end: End) {
        if !std::mem::replace(&mut self.is_stopped, true) {
            self.end = Some(end);
            self.watched.look(self.clock.now());
            self.watched.end();
            self.threads.order(|| Order::Stop);
        }
    }

    /// Puts together what all threads have told.
    fn report(&mut self) -> Report {
        let now = self.clock.now();
        let from = self.from.unwrap_or(now);
        self.watched.look_last(now, self.plan.duration.map(|duration| from + duration));
        let summaries = || self.parts.iter().map(|part| &part.summary);
        let last = summaries().map(|summary| summary.last).max().unwrap_or(from);
        // A count ends with the last call, all else when no further ones are made.
        let until = summaries().filter_map(|summary| summary.window).map(|(at, _)| at).max();
        let (mut totals, mut errors, mut rates) = (Totals::default(), Errors::default(), Rates::default());
        for summary in summaries() {
            totals.add(&summary.totals);
            errors.merge(&summary.errors);
            let (at, within) = summary.window.unwrap_or((last, summary.totals));
            rates.add(&Rates::of(&within, at.saturating_sub(from)));
        }
        let busy = self.parts.iter().filter_map(|part| part.busy);
        let busy = busy.map(|(thread, over)| Busy::of(&thread, over)).fold(Busy::default(), Busy::max);
        let end = if until.is_some() { End::Time } else { End::Count };
        let window = until.unwrap_or(last).saturating_sub(from);
        Report {
            plan: Arc::clone(&self.plan),
            began: self.began,
            end: self.end.take().unwrap_or(end),
            window,
            total: window.max(last.saturating_sub(from)),
            due: summaries().map(|summary| summary.due).sum(),
            totals,
            abandoned: self.parts.iter().map(|part| part.abandoned).sum(),
            rates,
            latencies: std::mem::replace(&mut self.latencies, histogram(3)),
            errors: errors.sorted(),
            connections: self.connections.clone(),
            client: self.watched.own(),
            servers: self.watched.servers(),
            busy,
            timeline: std::mem::take(&mut self.timeline),
        }
    }

    fn show(&mut self) {
        let now = self.clock.now();
        let seen = Seen {
            ended: self.totals.ended(),
            measured: self.totals.ended() - self.warm_up.ended(),
            failed: self.totals.failed - if self.from > Some(now) { 0 } else { self.warm_up.failed },
            open: self.open,
            latencies: &self.latencies,
        };
        let phase = match self.from {
            None => Phase::Connecting { open: self.open },
            Some(from) if now < from => Phase::WarmingUp((now + self.plan.warm_up).saturating_sub(from)),
            Some(from) => match self.plan.duration {
                _ if self.is_stopped => Phase::Waiting,
                Some(duration) if now - from >= duration => Phase::Waiting,
                _ => Phase::Measuring(now - from),
            },
        };
        self.live.show(&self.plan, now, phase, seen);
    }
}

/// Waits until then, or for ever.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
