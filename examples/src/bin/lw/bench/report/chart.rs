//! A chart with lines, as SVG that needs nothing else.

use std::fmt::Write;

use super::markup::Markup;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 280.0;
/// Room for the names on the axes.
const LEFT: f64 = 74.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 44.0;

/// Lines over two axes. All places are from 0 to 1.
#[derive(Clone, Debug, Default)]
pub(super) struct Chart {
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
    /// A level to compare with, and what it is.
    pub(super) level: Option<(f64, String)>,
    /// A time at which something happened, and what.
    pub(super) mark: Option<(f64, String)>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Axis {
    pub(super) name: String,
    /// What stands where.
    pub(super) ticks: Vec<(f64, String)>,
}

#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    /// The class that gives it its colour.
    pub(super) class: &'static str,
    pub(super) points: Vec<Point>,
}

/// A point, with what is said of it. Without a place it is a gap.
#[derive(Clone, Debug)]
pub(super) struct Point {
    pub(super) place: Option<(f64, f64)>,
    pub(super) words: String,
}

impl Chart {
    pub(super) fn draw(&self, page: &mut Markup) {
        page.open("figure", &[]);
        page.open("figcaption", &[]);
        page.leaf("h2", &[], self.title);
        if self.lines.len() > 1 {
            page.open("ul", &[("class", &"key")]);
            for line in &self.lines {
                page.leaf("li", &[("class", &line.class)], line.name);
            }
            page.close();
        }
        page.close();
        let size = format!("0 0 {WIDTH} {HEIGHT}");
        page.open("svg", &[("viewBox", &size), ("role", &"img"), ("aria-label", &self.title)]);
        self.draw_axes(page);
        if let Some((y, words)) = &self.level {
            self.draw_rule(page, (0.0, *y), (1.0, *y), words);
        }
        if let Some((x, words)) = &self.mark {
            self.draw_rule(page, (*x, 0.0), (*x, 1.0), words);
        }
        for line in &self.lines {
            line.draw(page);
        }
        page.close();
        page.close();
    }

    fn draw_axes(&self, page: &mut Markup) {
        for (place, name) in &self.y.ticks {
            let ([left, y], [right, _]) = (at(0.0, *place), at(1.0, *place));
            page.empty("line", &[("class", &"grid"), ("x1", &left), ("x2", &right), ("y1", &y), ("y2", &y)]);
            let (x, y) = (Number(LEFT - 8.0), Number(y.0 + 4.0));
            page.leaf("text", &[("x", &x), ("y", &y), ("text-anchor", &"end")], name);
        }
        for (place, name) in &self.x.ticks {
            let [x, bottom] = at(*place, 0.0);
            let end = Number(bottom.0 + 5.0);
            page.empty("line", &[("class", &"axis"), ("x1", &x), ("x2", &x), ("y1", &bottom), ("y2", &end)]);
            let y = Number(bottom.0 + 18.0);
            page.leaf("text", &[("x", &x), ("y", &y), ("text-anchor", &"middle")], name);
        }
        let ([left, bottom], [right, _]) = (at(0.0, 0.0), at(1.0, 0.0));
        page.empty(
            "line",
            &[("class", &"axis"), ("x1", &left), ("x2", &right), ("y1", &bottom), ("y2", &bottom)],
        );
        let (x, y) = (Number((LEFT + WIDTH - RIGHT) / 2.0), Number(HEIGHT - 6.0));
        page.leaf(
            "text",
            &[("class", &"name"), ("x", &x), ("y", &y), ("text-anchor", &"middle")],
            &self.x.name,
        );
        let (x, y) = (12.0, (TOP + HEIGHT - BOTTOM) / 2.0);
        let turned = format!("rotate(-90 {x} {y})");
        page.leaf(
            "text",
            &[("class", &"name"), ("x", &x), ("y", &y), ("text-anchor", &"middle"), ("transform", &turned)],
            &self.y.name,
        );
    }

    fn draw_rule(&self, page: &mut Markup, from: (f64, f64), to: (f64, f64), words: &str) {
        let ([x1, y1], [x2, y2]) = (at(from.0, from.1), at(to.0, to.1));
        page.open("line", &[("class", &"rule"), ("x1", &x1), ("x2", &x2), ("y1", &y1), ("y2", &y2)]);
        page.leaf("title", &[], words);
        page.close();
    }
}

impl Line {
    fn draw(&self, page: &mut Markup) {
        page.open("g", &[("class", &self.class)]);
        page.empty("path", &[("d", &self.path())]);
        for (number, point) in self.points.iter().enumerate() {
            let Some((x, y)) = point.place else { continue };
            let [x, y] = at(x, y);
            let is_gap = |other: Option<&Point>| other.is_none_or(|other| other.place.is_none());
            let before = number.checked_sub(1).and_then(|before| self.points.get(before));
            if is_gap(before) && is_gap(self.points.get(number + 1)) {
                // No line leads to it.
                page.empty("circle", &[("class", &"dot"), ("cx", &x), ("cy", &y), ("r", &2)]);
            }
            page.open("circle", &[("class", &"touch"), ("cx", &x), ("cy", &y), ("r", &6)]);
            page.leaf("title", &[], &point.words);
            page.close();
        }
        page.close();
    }

    /// Lines between neighbours, none across gaps.
    fn path(&self) -> String {
        let mut path = String::new();
        let mut draws = false;
        for point in &self.points {
            if let Some((x, y)) = point.place {
                let [x, y] = at(x, y);
                // Writing to a string does not fail.
                let _ = write!(path, "{}{x} {y}", if draws { "L" } else { "M" });
            }
            draws = point.place.is_some();
        }
        path
    }
}

/// Where a place is in the drawing, whose y goes down.
fn at(x: f64, y: f64) -> [Number; 2] {
    [Number(LEFT + x * (WIDTH - LEFT - RIGHT)), Number(TOP + (1.0 - y) * (HEIGHT - TOP - BOTTOM))]
}

/// A coordinate, as exact as can be seen.
#[derive(Clone, Copy, Debug)]
struct Number(f64);

impl std::fmt::Display for Number {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_not_bridged_and_a_lonely_point_is_seen() {
        let place = |place| Point { place, words: "<here>".to_owned() };
        let points =
            vec![place(Some((0.0, 0.0))), place(Some((0.25, 1.0))), place(None), place(Some((1.0, 0.5)))];
        let line = Line { name: "p50", class: "p50", points };
        assert_eq!(line.path(), "M74.0 236.0L241.0 12.0M742.0 124.0");
        let mut page = Markup::default();
        line.draw(&mut page);
        let svg = page.end();
        assert_eq!(svg.matches("class=\"dot\"").count(), 1, "{svg}");
        assert_eq!(svg.matches("<title>&lt;here&gt;</title>").count(), 3, "{svg}");
    }
}
