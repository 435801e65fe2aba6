//! The report as a page that needs nothing else: no script, no font, no style and no image from anywhere.

use std::time::{SystemTime, UNIX_EPOCH};

use super::super::clock::{Nanos, seconds};
use super::super::figures::{bytes_per_second, memory, rate, time};
use super::chart::{Axis, Chart, Line, Point};
use super::markup::Markup;
use super::scale::{Scale, quantile_place, quantile_ticks};
use super::text::describe;
use super::{Cost, PERCENTILES, Report};
use crate::units::grouped;

const HEAD: &str = "<meta charset=\"utf-8\"/>\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
    <meta name=\"color-scheme\" content=\"light dark\"/>\
    <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>";

const STYLE: &str = include_str!("style.css");

/// Steps of the distribution for each tenth of what lies above.
const STEPS: u32 = 8;

impl Report {
    /// The report as a page.
    pub(in super::super) fn html(&self) -> String {
        let mut page = Markup::default();
        page.raw("<!DOCTYPE html>\n");
        page.open("html", &[("lang", &"en")]);
        page.open("head", &[]);
        page.raw(HEAD);
        page.leaf("title", &[], format_args!("lw bench {}", self.plan.target));
        page.open("style", &[]);
        page.raw(STYLE);
        page.close();
        page.close();
        page.open("body", &[]);
        page.open("header", &[]);
        page.leaf("h1", &[], "lw bench");
        page.leaf("p", &[], describe(&self.plan));
        page.leaf("p", &[("class", &"when")], utc(self.began));
        page.close();
        self.tiles(&mut page);
        for note in self.notes() {
            page.leaf("p", &[("class", &"note")], note);
        }
        if !self.latencies.is_empty() {
            self.distribution_chart().draw(&mut page);
        }
        self.latency_chart().draw(&mut page);
        self.throughput_chart().draw(&mut page);
        page.open("div", &[("class", &"tables")]);
        table(&mut page, "Latency", self.latency_table());
        table(&mut page, "Calls", self.call_table());
        table(&mut page, "Errors", self.error_table());
        table(&mut page, "Connections", self.connection_table());
        table(&mut page, "Cost", self.cost_table());
        table(&mut page, "Settings", self.settings_table());
        page.end() + "\n"
    }

    fn tiles(&self, page: &mut Markup) {
        let at = |quantile| {
            let is_known = !self.latencies.is_empty();
            if is_known { time(self.latencies.value_at_quantile(quantile)) } else { "–".to_owned() }
        };
        page.open("div", &[("class", &"tiles")]);
        for (name, words) in [
            ("calls/s", rate(self.rates.calls)),
            ("p50", at(0.5)),
            ("p99", at(0.99)),
            ("max", at(1.0)),
            ("failed", grouped(self.totals.failed)),
        ] {
            let is_bad = name == "failed" && self.totals.failed > 0;
            page.open("div", &[("class", if is_bad { &"tile bad" } else { &"tile" })]);
            page.leaf("b", &[], words);
            page.leaf("span", &[], name);
            page.close();
        }
        page.close();
    }

    /// Latency by percentile, with the axis of HdrHistogram's charts.
    fn distribution_chart(&self) -> Chart {
        let count = self.latencies.len();
        let steps = self.latencies.iter_quantiles(STEPS);
        let values: Vec<(f64, Nanos)> =
            steps.map(|step| (step.quantile(), step.value_iterated_to())).collect();
        let scale = Scale::fitting(values.iter().map(|&(_, value)| value as f64));
        let points = values.iter().map(|&(quantile, value)| Point {
            place: Some((quantile_place(quantile, count), scale.place(value as f64))),
            words: format!("{:.5} %: {}", 100.0 * quantile, time(value)),
        });
        Chart {
            title: "Latency by percentile",
            x: Axis { name: "percentile of answered calls".to_owned(), ticks: quantile_ticks(count) },
            y: latency_axis(&scale),
            lines: vec![Line { name: "latency", class: "first", points: points.collect() }],
            ..Chart::default()
        }
    }

    fn latency_chart(&self) -> Chart {
        const SHOWN: [(&str, &str, f64); 3] =
            [("max", "third", 1.0), ("p99", "second", 0.99), ("p50", "first", 0.5)];
        let spans = self.timeline.spans(self.total);
        let value = |number: usize, quantile| -> Option<Nanos> {
            let times = &spans[number].interval.latencies;
            (!times.is_empty()).then(|| times.value_at_quantile(quantile))
        };
        let numbers = 0..spans.len();
        let all =
            SHOWN.iter().flat_map(|(_, _, quantile)| numbers.clone().filter_map(|n| value(n, *quantile)));
        let scale = Scale::fitting(all.map(|value| value as f64));
        let clock = self.time_scale();
        let line = |(name, class, quantile): (&'static str, &'static str, f64)| {
            let point = |number: usize| {
                let span = &spans[number];
                let x = clock.place(seconds(span.begin + span.length / 2));
                let value = value(number, quantile);
                Point {
                    place: value.map(|value| (x, scale.place(value as f64))),
                    words: format!(
                        "{:.1} s, {name}: {}",
                        seconds(span.begin),
                        time(value.unwrap_or_default())
                    ),
                }
            };
            Line { name, class, points: numbers.clone().map(point).collect() }
        };
        Chart {
            title: "Latency over time, by when answers came",
            x: self.time_axis(),
            y: latency_axis(&scale),
            lines: SHOWN.map(line).into(),
            mark: self.end_of_calls(),
            ..Chart::default()
        }
    }

    fn throughput_chart(&self) -> Chart {
        let spans = self.timeline.spans(self.total);
        let full = spans.first().map_or(0, |span| span.length);
        // A last moment is too short to speak of calls per second.
        let spans: Vec<_> = spans.into_iter().filter(|span| span.length * 2 >= full).collect();
        let per_second = |count: u64, length: Nanos| count as f64 / seconds(length);
        let target = self.target_rate();
        let rates = spans.iter().map(|span| per_second(span.interval.totals.ended(), span.length));
        let scale = Scale::linear(rates.chain(target).fold(0.0, f64::max));
        let clock = self.time_scale();
        let line = |name: &'static str, class, count: fn(&super::Totals) -> u64| {
            let point = |span: &super::super::timeline::Span<'_>| {
                let value = per_second(count(&span.interval.totals), span.length);
                let x = clock.place(seconds(span.begin + span.length / 2));
                Point {
                    place: Some((x, scale.place(value))),
                    words: format!("{:.1} s: {} calls/s {name}", seconds(span.begin), rate(value)),
                }
            };
            Line { name, class, points: spans.iter().map(point).collect() }
        };
        let mut lines = vec![line("answered", "first", |totals| totals.answered)];
        if self.totals.failed > 0 {
            lines.push(line("failed", "failed", |totals| totals.failed));
        }
        let ticks = scale.ticks().into_iter().map(|tick| (scale.place(tick), short(&rate(tick))));
        Chart {
            title: "Throughput over time",
            x: self.time_axis(),
            y: Axis { name: "calls per second".to_owned(), ticks: ticks.collect() },
            lines,
            level: target.map(|target| (scale.place(target), format!("due: {} calls/s", rate(target)))),
            mark: self.end_of_calls(),
        }
    }

    fn time_scale(&self) -> Scale {
        Scale::linear(seconds(self.total)).cut(seconds(self.total))
    }

    fn time_axis(&self) -> Axis {
        let total = seconds(self.total);
        let (name, unit) = match total {
            10_800.0.. => ("hours", 3600.0),
            300.0.. => ("minutes", 60.0),
            _ => ("seconds", 1.0),
        };
        let scale = Scale::linear(total / unit).cut(total / unit);
        let ticks = scale.ticks().into_iter().map(|tick| (scale.place(tick), short(&format!("{tick:.3}"))));
        Axis { name: name.to_owned(), ticks: ticks.collect() }
    }

    /// If answers came for a time after it that can be seen.
    fn end_of_calls(&self) -> Option<(f64, String)> {
        let place = self.time_scale().place(seconds(self.window));
        (place < 0.99).then(|| (place, format!("{:.2} s: no further calls", seconds(self.window))))
    }

    fn latency_table(&self) -> Vec<[String; 2]> {
        let times = &self.latencies;
        if times.is_empty() {
            return Vec::new();
        }
        let mut rows = vec![
            ["min".to_owned(), time(times.min())],
            ["mean".to_owned(), time(times.mean() as Nanos)],
            ["standard deviation".to_owned(), time(times.stdev() as Nanos)],
        ];
        rows.extend(
            PERCENTILES.map(|(name, quantile)| [name.to_owned(), time(times.value_at_quantile(quantile))]),
        );
        rows.push(["max".to_owned(), time(times.max())]);
        rows
    }

    fn call_table(&self) -> Vec<[String; 2]> {
        let mut rows = vec![
            ["due".to_owned(), grouped(self.due)],
            ["answered".to_owned(), grouped(self.totals.answered)],
            ["failed".to_owned(), grouped(self.totals.failed)],
        ];
        if self.abandoned > 0 {
            rows.push(["not waited for".to_owned(), grouped(self.abandoned)]);
        }
        rows.extend([
            ["measured".to_owned(), format!("{:.2} s", seconds(self.window))],
            ["bodies sent".to_owned(), bytes_per_second(self.rates.sent_bytes)],
            ["bodies received".to_owned(), bytes_per_second(self.rates.received_bytes)],
        ]);
        rows
    }

    fn error_table(&self) -> Vec<[String; 2]> {
        let row = |error: &super::ErrorCount| {
            let example = error.example.iter().map(|example| format!(" ({example})")).collect::<String>();
            [format!("{}{example}", error.kind), grouped(error.count)]
        };
        self.errors.iter().map(row).collect()
    }

    fn connection_table(&self) -> Vec<[String; 2]> {
        let known = &self.connections;
        let mut rows = vec![
            ["made".to_owned(), grouped(known.made)],
            ["lost".to_owned(), grouped(known.lost)],
            ["drained by the server".to_owned(), grouped(known.drained)],
            ["attempts in vain".to_owned(), grouped(known.missed)],
            ["given up".to_owned(), grouped(known.given_up)],
        ];
        rows.extend(known.reason.iter().map(|reason| ["last reason".to_owned(), reason.clone()]));
        rows
    }

    fn cost_table(&self) -> Vec<[String; 2]> {
        let client = self.client.iter().map(|cost| ("lw bench".to_owned(), Some(*cost)));
        let servers = self.servers.iter().map(|server| {
            (format!("server ({}, pid {})", server.process.name, server.process.id), server.cost)
        });
        client.chain(servers).map(|(name, cost)| [name, self.cost_words(cost)]).collect()
    }

    fn cost_words(&self, cost: Option<Cost>) -> String {
        let Some(cost) = cost else { return "not known".to_owned() };
        let mut words = format!("{:.0} % of a processor", cost.percent());
        if let Some(micros) = cost.micros_per_call(self.rates.calls, self.window) {
            words += &format!(", {} per call", time((micros * 1e3) as Nanos));
        }
        if let Some(bytes) = cost.peak_memory {
            words += &format!(", at most {}", memory(bytes));
        }
        words
    }

    fn settings_table(&self) -> Vec<[String; 2]> {
        let plan = &self.plan;
        let yes = |yes| if yes { "yes" } else { "no" }.to_owned();
        vec![
            ["address".to_owned(), plan.target.clone()],
            ["route".to_owned(), plan.message.route().to_string()],
            ["bytes of each body".to_owned(), grouped(plan.bodies[0].len() as u64)],
            ["connections".to_owned(), grouped(plan.connections as u64)],
            ["most calls in flight on each".to_owned(), grouped(plan.in_flight as u64)],
            ["threads".to_owned(), grouped(plan.threads as u64)],
            [
                "rate".to_owned(),
                self.target_rate().map_or_else(
                    || "as answers come".to_owned(),
                    |target| format!("{} calls/s", rate(target)),
                ),
            ],
            ["timeout".to_owned(), plan.timeout.map_or_else(|| "never".to_owned(), time)],
            ["answers compared with what was sent".to_owned(), yes(plan.check)],
            ["version".to_owned(), concat!("lw ", env!("CARGO_PKG_VERSION")).to_owned()],
        ]
    }
}

/// Two columns; nothing at all without a row.
fn table(page: &mut Markup, title: &'static str, rows: Vec<[String; 2]>) {
    if rows.is_empty() {
        return;
    }
    page.open("section", &[]);
    page.leaf("h2", &[], title);
    page.open("table", &[]);
    for [name, value] in rows {
        page.open("tr", &[]);
        page.leaf("th", &[("scope", &"row")], name);
        page.leaf("td", &[], value);
        page.close();
    }
    page.close();
    page.close();
}

fn latency_axis(scale: &Scale) -> Axis {
    let name = if scale.is_logarithmic() { "latency (logarithmic)" } else { "latency" };
    let tick = |tick: f64| {
        (scale.place(tick), if tick == 0.0 { "0".to_owned() } else { short(&time(tick as Nanos)) })
    };
    Axis { name: name.to_owned(), ticks: scale.ticks().into_iter().map(tick).collect() }
}

/// Without zeros that say nothing: `2.00 ms` is `2 ms`.
fn short(figure: &str) -> String {
    let (number, unit) = figure.split_at(figure.find(' ').unwrap_or(figure.len()));
    if !number.contains('.') {
        return figure.to_owned();
    }
    format!("{}{unit}", number.trim_end_matches('0').trim_end_matches('.'))
}

/// A time as the calendar says it (Howard Hinnant, "chrono-compatible low-level date algorithms").
fn utc(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (days, second) = ((since / 86_400) as i64 + 719_468, since % 86_400);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_are_those_of_the_calendar() {
        let cases = [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ];
        for (seconds, text) in cases {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn names_on_axes_are_short() {
        let found = ["2.00 ms", "2.50 ms", "100 µs", "20,000", "0.500", "3.000"].map(short);
        assert_eq!(found, ["2 ms", "2.5 ms", "100 µs", "20,000", "0.5", "3"]);
    }
}
