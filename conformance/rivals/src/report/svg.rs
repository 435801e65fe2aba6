//! Plots: bars with their values, one picture for each workload. They have no background and follow the
//! reader's choice of light or dark.

use std::fmt::Write as _;

use super::numbers::Unit;
use super::{Answer, Measured, Results};
use crate::contender::Kind;
use crate::workload::Workload;

const WIDTH: usize = 860;
/// Where bars begin.
const LEFT: usize = 150;
/// How long the longest is; what is right of it is for its value.
const LONGEST: f64 = 520.0;
const ROW: usize = 22;
const BAR: usize = 14;

const STYLE: &str = "\
text { font: 13px system-ui, sans-serif; fill: #1f2328 } \
.title { font-size: 15px; font-weight: 600 } .note, .ratio { fill: #59636e } .ours { font-weight: 600 } \
.Longwire { fill: #d4500c } .limit { fill: #8c959f } .hand { fill: #afb8c1 } .rival { fill: #6e8fb5 } \
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .note, .ratio { fill: #9198a1 } \
.Longwire { fill: #f0803c } .limit { fill: #6e7681 } .hand { fill: #484f58 } .rival { fill: #4a6d96 } }";

/// The picture of a workload; `None` if nothing was measured.
pub(crate) fn of(results: &Results, workload: &Workload) -> Option<String> {
    let mut picture = Picture { body: String::new(), y: 20 };
    picture.text(0, "title", &format!("{} {}", workload.name, workload.title));
    let mut is_empty = true;
    for answer in results.answers(workload) {
        is_empty &= answer.measured.iter().all(|measured| measured.rounds.is_empty());
        picture.answer(answer);
    }
    picture.y += ROW + 4;
    let ratios = "in brackets, the ratio to raw epoll in the same round";
    let facts = &results.machine;
    picture.text(0, "note", &format!("medians of {} rounds; {ratios}", results.rounds));
    picture.y += ROW - 4;
    picture.text(0, "note", &format!("{}, {} cores, Linux {}", facts.processor, facts.cores, facts.kernel));
    (!is_empty).then(|| picture.finish())
}

struct Picture {
    body: String,
    y: usize,
}

impl Picture {
    fn answer(&mut self, answer: &Answer) {
        let aim = answer.point.job.aim();
        let measure = answer.measure();
        let value = |measured: &Measured| Some(measured.spread(aim.column.figure, aim.column.scale)?.median);
        let mut found: Vec<(&Measured, f64)> =
            answer.measured.iter().filter_map(|measured| Some((measured, value(measured)?))).collect();
        found.sort_by(
            |(_, one), (_, other)| if aim.more { other.total_cmp(one) } else { one.total_cmp(other) },
        );
        let most = found.iter().map(|(_, value)| *value).fold(0.0, f64::max);

        self.y += ROW;
        let direction = if aim.more { "more is better" } else { "less is better" };
        let words = [answer.point.title, aim.column.title, direction];
        let words: Vec<&str> = words.into_iter().filter(|words| !words.is_empty()).collect();
        self.text(0, "note", &words.join(", "));
        self.y += 8;
        for (measured, value) in found {
            let ratio = measure.and_then(|measure| measured.ratio(aim.column.figure, measure));
            self.bar(measured, value / most, &aim.column.unit, value, ratio.map(|ratio| ratio.median));
        }
    }

    fn bar(&mut self, measured: &Measured, share: f64, unit: &Unit, value: f64, ratio: Option<f64>) {
        let (class, ours) = match measured.contender.kind {
            Kind::Limit => ("limit", ""),
            Kind::ByHand => ("hand", ""),
            Kind::Longwire => ("Longwire", "ours"),
            Kind::Rival => ("rival", ""),
        };
        let length = (share * LONGEST).max(1.0);
        let (top, base) = (self.y, self.y + BAR - 3);
        let ratio =
            ratio.map_or_else(String::new, |ratio| format!("<tspan class=\"ratio\"> ({ratio:.2})</tspan>"));
        // Writing to a string does not fail.
        let _ = writeln!(
            self.body,
            "<text class=\"{ours}\" x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <text class=\"{ours}\" x=\"{:.1}\" y=\"{base}\">{}{ratio}</text>",
            LEFT - 8,
            measured.contender.name,
            LEFT as f64 + length + 6.0,
            unit.write(value),
        );
        self.y += ROW;
    }

    fn text(&mut self, x: usize, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(self.body, "<text class=\"{class}\" x=\"{x}\" y=\"{}\">{text}</text>", self.y);
    }

    fn finish(self) -> String {
        let Self { body, y } = self;
        let height = y + 10;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
             viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n<style>{STYLE}</style>\n{body}</svg>\n"
        )
    }
}
