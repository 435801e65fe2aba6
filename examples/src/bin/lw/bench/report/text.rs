//! The report for a terminal.

use std::fmt::Write;
use std::time::Duration;

use super::super::clock::Nanos;
use super::super::figures::{amount, bytes_per_second, memory, percent, plain, rate, time};
use super::super::plan::{Load, Plan};
use super::{Cost, End, Report, Server};
use crate::args::Arrivals;
use crate::units::grouped;

/// The percentiles that have room in a line.
const SHOWN: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

/// What is to be done, in a line.
pub(in super::super) fn describe(plan: &Plan) -> String {
    let connections = amount(plan.connections as u64, "connection");
    let threads = amount(plan.threads as u64, "thread");
    let load = match plan.load {
        Load::Closed => {
            let each = if plan.connections > 1 { " on each" } else { "" };
            format!("{} in flight{each}", amount(plan.in_flight as u64, "call"))
        }
        Load::Open { rate: calls, arrivals, .. } => {
            let arrivals = if arrivals == Arrivals::Poisson { " (Poisson)" } else { "" };
            format!("{} calls/s{arrivals}", rate(calls))
        }
    };
    let length = match (plan.duration, plan.count) {
        (Some(time), Some(count)) => format!("{} or {}", duration(time), amount(count, "call")),
        (Some(time), None) => duration(time),
        (None, Some(count)) => amount(count, "call"),
        (None, None) => "no end".to_owned(),
    };
    let warm_up = match plan.warm_up {
        0 => String::new(),
        warm_up => format!(" after {} of warm-up", duration(warm_up)),
    };
    let body = amount(plan.bodies[0].len() as u64, "byte");
    plain(&format!(
        "{}, route {}, {body}: {connections}, {load}, {threads}, {length}{warm_up}",
        plan.target,
        plan.message.route()
    ))
}

fn duration(time: Nanos) -> String {
    format!("{:?}", Duration::from_nanos(time))
}

impl Report {
    /// The report, with a newline behind each line.
    pub(in super::super) fn text(&self) -> String {
        let mut text = format!("{}\n\n", describe(&self.plan));
        let mut line = |name: &str, words: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{name:<12} {words}");
        };
        line("calls", &self.calls());
        let Self { rates, totals, .. } = self;
        let (sent, received) = (bytes_per_second(rates.sent_bytes), bytes_per_second(rates.received_bytes));
        line("throughput", &format!("{} calls/s, {sent} sent, {received} received", rate(rates.calls)));
        if totals.answered > 0 {
            let [names, times] = self.latency_rows();
            line("latency", &names);
            line("", &times);
        }
        for (number, error) in self.errors.iter().enumerate() {
            let example = match &error.example {
                Some(example) => format!(" ({})", plain(example)),
                None => String::new(),
            };
            let words = format!("{:>9}  {}{example}", grouped(error.count), error.kind);
            line(if number == 0 { "errors" } else { "" }, &words);
        }
        line("connections", &self.connection_words());
        if let Some(cost) = &self.client {
            line("cpu", &format!("{:<8} {}", "lw bench", self.cost(cost)));
        }
        for Server { process, cost, has_ended } in &self.servers {
            let ended = if *has_ended { ", has ended" } else { "" };
            let Some(cost) = cost else { continue };
            let cost = self.cost(cost);
            line("", &format!("{:<8} {cost}; {}, pid {}{ended}", "server", plain(&process.name), process.id));
        }
        for note in self.notes() {
            line("note", &note);
        }
        text
    }

    fn calls(&self) -> String {
        let Self { due, totals, abandoned, .. } = self;
        let mut text = format!("{} answered", grouped(totals.answered));
        match totals.failed {
            0 => text += ", 0 failed",
            failed => {
                text += &format!(", {} failed ({})", grouped(failed), percent(failed as f64 / *due as f64));
            }
        }
        if *abandoned > 0 {
            text += &format!(", {} not waited for", grouped(*abandoned));
        }
        text += &format!(", in {}", time(self.window));
        match &self.end {
            End::Time | End::Count => {}
            End::Interrupted => text += "; interrupted",
            End::Lost(_) => text += "; ended without a connection",
        }
        text
    }

    /// Names and numbers, one above the other.
    fn latency_rows(&self) -> [String; 2] {
        let mut columns = vec![("mean", self.latencies.mean() as Nanos)];
        columns.extend(SHOWN.map(|(name, quantile)| (name, self.latencies.value_at_quantile(quantile))));
        columns.push(("max", self.latencies.max()));
        let (mut names, mut times) = (String::new(), String::new());
        for (name, nanos) in columns {
            let _ = write!(names, "{name:>10}");
            let _ = write!(times, "{:>10}", time(nanos));
        }
        [names, times]
    }

    fn connection_words(&self) -> String {
        let known = &self.connections;
        let mut text = format!("{} made, {} lost", grouped(known.made), grouped(known.lost));
        for (count, words) in [
            (known.drained, "drained by the server"),
            (known.missed, "attempts in vain"),
            (known.given_up, "given up"),
        ] {
            if count > 0 {
                text += &format!(", {} {words}", grouped(count));
            }
        }
        if let Some(reason) = &known.reason {
            text += &format!(" ({})", plain(reason));
        }
        text
    }

    fn cost(&self, cost: &Cost) -> String {
        let per_call = match cost.micros_per_call(self.rates.calls, self.window) {
            Some(micros) => format!(", {} per call", time((micros * 1e3) as Nanos)),
            None => String::new(),
        };
        let memory = match cost.peak_memory {
            Some(bytes) => format!(", at most {}", memory(bytes)),
            None => String::new(),
        };
        format!(
            "{:>4.0} % (user {:.2} s, system {:.2} s){per_call}{memory}",
            cost.percent(),
            cost.user.as_secs_f64(),
            cost.system.as_secs_f64()
        )
    }
}
