//! Tables on a terminal.

use std::fmt::Write as _;

use super::numbers::Unit;
use super::{Answer, Measured};

/// The contender that ratios refer to.
const MEASURE: &str = "raw-epoll";

const COLUMNS: [(&str, &str, Unit); 7] = [
    ("p50", "p50_ns", Unit::Time),
    ("p99", "p99_ns", Unit::Time),
    ("p99.9", "p99_9_ns", Unit::Time),
    ("CPU server", "server_cpu_ns", Unit::Time),
    ("CPU client", "client_cpu_ns", Unit::Time),
    ("alloc. server", "server_allocations", Unit::Few),
    ("alloc. client", "client_allocations", Unit::Few),
];

pub(crate) fn of(answer: &Answer) -> String {
    let mut text = String::new();
    let measure = answer.measured.iter().find(|measured| measured.contender.name == MEASURE);
    let _ = write!(text, "{:<18} {:>10} {:>17} {:>6}", "", "calls/s", "spread", "ratio");
    for (title, _, _) in COLUMNS {
        let _ = write!(text, " {title:>13}");
    }
    text.push('\n');
    for measured in &answer.measured {
        row(&mut text, measured, measure);
    }
    text
}

fn row(text: &mut String, measured: &Measured, measure: Option<&Measured>) {
    let _ = write!(text, "{:<18}", measured.contender.name);
    let Some(rate) = measured.spread("rate") else {
        let _ = writeln!(text, " FAILED: {}", measured.problems.last().map_or("never asked", String::as_str));
        return;
    };
    let count = |value| Unit::Count.write(value);
    let spread = format!("{}..{}", count(rate.least), count(rate.most));
    let ratio = measure.and_then(|measure| measured.ratio("rate", measure));
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median));
    let _ = write!(text, " {:>10} {spread:>17} {ratio:>6}", count(rate.median));
    for (_, figure, unit) in COLUMNS {
        let value = measured.spread(figure).map_or_else(String::new, |spread| unit.write(spread.median));
        let _ = write!(text, " {value:>13}");
    }
    text.push('\n');
}
