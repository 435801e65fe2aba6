//! Tables on a terminal.

use std::fmt::Write as _;

use super::columns::Aim;
use super::{Answer, Measured};

pub(crate) fn of(answer: &Answer) -> String {
    let mut text = String::new();
    let (aim, columns) = (answer.point.job.aim(), answer.point.job.columns());
    let measure = answer.measure();
    let names = answer.measured.iter().map(|measured| measured.contender.name.len());
    let width = names.max().unwrap_or(0).max(answer.point.title.len());
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "{:<width$} {:>14} {:>22} {:>6}",
        answer.point.title, aim.column.title, "least..most", "ratio"
    );
    for column in columns {
        let _ = write!(text, " {:>13}", column.title);
    }
    text.push('\n');
    for measured in &answer.measured {
        let _ = write!(text, "{:<width$}", measured.contender.name);
        let Some(row) = row(measured, measure, aim) else {
            let problem = measured.problems.last().map_or("never asked", String::as_str);
            let _ = writeln!(text, " FAILED: {problem}");
            continue;
        };
        text.push_str(&row);
        for column in columns {
            let value =
                measured.spread(column.figure, column.scale).map(|spread| column.unit.write(spread.median));
            let _ = write!(text, " {:>13}", value.unwrap_or_default());
        }
        text.push('\n');
    }
    let others = answer.measured.iter().filter_map(|measured| measured.spread("others", 100.0));
    let most = others.map(|others| others.median).fold(0.0, f64::max);
    if most >= DISTURBED {
        let _ = writeln!(text, "DISTURBED: others used up to {most:.0} % of the two cores meanwhile");
    }
    text
}

/// Above how many percent it is said what others used of the cores.
const DISTURBED: f64 = 5.0;

fn row(measured: &Measured, measure: Option<&Measured>, aim: Aim) -> Option<String> {
    let found = measured.spread(aim.column.figure, aim.column.scale)?;
    let write = |value| aim.column.unit.write(value);
    let spread = format!("{}..{}", write(found.least), write(found.most));
    let ratio = measure.and_then(|measure| measured.ratio(aim.column.figure, measure));
    let ratio = ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median));
    Some(format!(" {:>14} {spread:>22} {ratio:>6}", write(found.median)))
}
