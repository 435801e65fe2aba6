//! The report for programs: one object, whose schema `lw help bench` tells.

use std::time::UNIX_EPOCH;

use super::super::clock::{Nanos, seconds};
use super::super::plan::Load;
use super::super::timeline::Span;
use super::{Cost, End, PERCENTILES, Report, Server};
use crate::args::Arrivals;
use crate::json::{Object, array};

/// Steps of the distribution for each halving of what lies above.
const STEPS: u32 = 4;

impl Report {
    /// The report as an object in a line, without a newline.
    pub(in super::super) fn json(&self) -> String {
        let began = self.began.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (end, reason) = match &self.end {
            End::Time => ("duration", None),
            End::Count => ("count", None),
            End::Interrupted => ("interrupted", None),
            End::Lost(reason) => ("connection lost", Some(reason)),
        };
        let object = Object::new()
            .text("tool", concat!("lw bench ", env!("CARGO_PKG_VERSION")))
            .plain("began_unix_s", format_args!("{:.3}", began.as_secs_f64()))
            .plain("settings", self.settings())
            .text("end", end);
        let object = match reason {
            Some(reason) => object.text("end_reason", reason),
            None => object,
        };
        object
            .plain("measured_s", s(self.window))
            .plain("total_s", s(self.total))
            .plain("calls", self.call_counts())
            .plain("throughput", self.throughput())
            .plain("latency", self.latency())
            .plain("distribution", self.distribution())
            .plain("errors", self.error_counts())
            .plain("connections", self.connection_counts())
            .plain(
                "client",
                self.client.as_ref().map_or_else(|| "null".to_owned(), |cost| self.cost_object(cost).end()),
            )
            .plain("servers", self.server_objects())
            .plain("intervals", array(self.timeline.spans(self.total).iter().map(interval)))
            .plain(
                "notes",
                array(self.notes().iter().map(|note| serde_json::Value::from(&**note).to_string())),
            )
            .end()
    }

    fn settings(&self) -> String {
        let plan = &self.plan;
        let object = Object::new()
            .text("address", &plan.target)
            .text("route", &plan.message.route().to_string())
            .plain("body_bytes", plan.bodies[0].len())
            .plain("connections", plan.connections)
            .plain("in_flight_per_connection", plan.in_flight)
            .plain("threads", plan.threads);
        let object = match plan.load {
            Load::Closed => object.text("load", "closed").plain("rate_per_s", "null"),
            Load::Open { rate, arrivals, max_backlog } => {
                let arrivals = if arrivals == Arrivals::Poisson { "poisson" } else { "constant" };
                object
                    .text("load", "open")
                    .plain("rate_per_s", rate)
                    .text("arrivals", arrivals)
                    .plain("max_backlog", max_backlog)
            }
        };
        object
            .plain("duration_s", optional(plan.duration.map(s)))
            .plain("count", optional(plan.count))
            .plain("warm_up_s", s(plan.warm_up))
            .plain("timeout_s", optional(plan.timeout.map(s)))
            .plain("check", plan.check)
            .end()
    }

    fn call_counts(&self) -> String {
        Object::new()
            .plain("due", self.due)
            .plain("answered", self.totals.answered)
            .plain("failed", self.totals.failed)
            .plain("abandoned", self.abandoned)
            .end()
    }

    fn throughput(&self) -> String {
        Object::new()
            .plain("calls_per_s", format_args!("{:.3}", self.rates.calls))
            .plain("sent_bytes_per_s", format_args!("{:.0}", self.rates.sent_bytes))
            .plain("received_bytes_per_s", format_args!("{:.0}", self.rates.received_bytes))
            .end()
    }

    /// Without an answer there is none.
    fn latency(&self) -> String {
        let times = &self.latencies;
        if times.is_empty() {
            return "null".to_owned();
        }
        let object = Object::new()
            .plain("min_us", us(times.min() as f64))
            .plain("mean_us", us(times.mean()))
            .plain("stdev_us", us(times.stdev()));
        let percentiles = PERCENTILES.into_iter().fold(object, |object, (name, quantile)| {
            let key = format!("{}_us", name.replace('.', "_"));
            object.plain(&key, us(times.value_at_quantile(quantile) as f64))
        });
        percentiles.plain("max_us", us(times.max() as f64)).end()
    }

    fn distribution(&self) -> String {
        let step = |step: hdrhistogram::iterators::IterationValue<u64>| {
            Object::new()
                .plain("us", us(step.value_iterated_to() as f64))
                .plain("percentile", format_args!("{:.6}", 100.0 * step.quantile()))
                .plain("calls_up_to", self.latencies.count_between(0, step.value_iterated_to()))
                .end()
        };
        array(self.latencies.iter_quantiles(STEPS).map(step))
    }

    fn error_counts(&self) -> String {
        array(self.errors.iter().map(|error| {
            let object = Object::new().text("kind", &error.kind.to_string()).plain("count", error.count);
            match &error.example {
                Some(example) => object.text("example", example),
                None => object,
            }
            .end()
        }))
    }

    fn connection_counts(&self) -> String {
        let known = &self.connections;
        let object = Object::new()
            .plain("made", known.made)
            .plain("lost", known.lost)
            .plain("drained", known.drained)
            .plain("attempts_in_vain", known.missed)
            .plain("given_up", known.given_up);
        match &known.reason {
            Some(reason) => object.text("last_reason", reason),
            None => object,
        }
        .end()
    }

    fn cost_object(&self, cost: &Cost) -> Object {
        let per_call = cost.micros_per_call(self.rates.calls, self.window);
        Object::new()
            .plain("cpu_user_s", format_args!("{:.2}", cost.user.as_secs_f64()))
            .plain("cpu_system_s", format_args!("{:.2}", cost.system.as_secs_f64()))
            .plain("cpu_percent", format_args!("{:.1}", cost.percent()))
            .plain("cpu_us_per_call", optional(per_call.map(|micros| format!("{micros:.3}"))))
            .plain("peak_memory_bytes", optional(cost.peak_memory))
    }

    fn server_objects(&self) -> String {
        array(self.servers.iter().map(|Server { process, cost, has_ended }| {
            let cost = cost.map_or_else(Object::new, |cost| self.cost_object(&cost));
            cost.plain("pid", process.id).text("name", &process.name).plain("has_ended", has_ended).end()
        }))
    }
}

fn interval(span: &Span<'_>) -> String {
    let times = &span.interval.latencies;
    let at = |quantile| optional((!times.is_empty()).then(|| us(times.value_at_quantile(quantile) as f64)));
    let totals = &span.interval.totals;
    Object::new()
        .plain("begin_s", s(span.begin))
        .plain("length_s", s(span.length))
        .plain("answered", totals.answered)
        .plain("failed", totals.failed)
        .plain("p50_us", at(0.5))
        .plain("p99_us", at(0.99))
        .plain("max_us", at(1.0))
        .end()
}

fn s(time: Nanos) -> String {
    format!("{:.6}", seconds(time))
}

fn us(nanos: f64) -> String {
    format!("{:.3}", nanos / 1e3)
}

fn optional(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}
