//! What was found out, for people and for programs.

mod columns;
mod json;
mod numbers;
mod svg;
mod table;

use std::collections::BTreeSet;
use std::fs;

use serde::Serialize;

use crate::Result;
use crate::command::Plan;
use crate::contender::Contender;
use crate::meter::Figures;
use crate::workload::{Point, WORKLOADS, Workload};

/// The contender that ratios refer to.
const MEASURE: &str = "raw-epoll";

/// What was measured of one contender at one point.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) contender: Contender,
    /// The rounds that went well, with their numbers.
    pub(crate) rounds: Vec<(u32, Figures)>,
    /// Why others did not.
    pub(crate) problems: Vec<String>,
}

impl Measured {
    pub(crate) const fn new(contender: Contender) -> Self {
        Self { contender, rounds: Vec::new(), problems: Vec::new() }
    }

    /// Which figures there are.
    fn figures(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> =
            self.rounds.iter().flat_map(|(_, figures)| figures.keys().map(String::as_str)).collect();
        names.into_iter()
    }

    /// What the rounds say of one figure, multiplied by `scale`.
    fn spread(&self, figure: &str, scale: f64) -> Option<Spread> {
        let found = self.rounds.iter().filter_map(|(_, figures)| figures.get(figure));
        Spread::of(found.map(|value| value * scale).collect())
    }

    /// How this figure relates to another contender's in the same round.
    fn ratio(&self, figure: &str, to: &Self) -> Option<Spread> {
        let ratio = |(round, figures): &(u32, Figures)| {
            let (_, other) = to.rounds.iter().find(|(number, _)| number == round)?;
            Some(figures.get(figure)? / other.get(figure)?)
        };
        Spread::of(self.rounds.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()).collect())
    }
}

/// A median, and how far off the others are.
#[derive(Clone, Copy, Debug)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        // Between the two in the middle, if there are two.
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Self { least, median, most })
    }
}

/// All of one run.
#[derive(Debug)]
pub(crate) struct Results {
    machine: Facts,
    rounds: u32,
    seconds: f64,
    answers: Vec<Answer>,
}

/// Where it was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Facts {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) server_core: usize,
    pub(crate) client_core: usize,
    pub(crate) kernel: String,
    pub(crate) congestion_control: String,
    pub(crate) rustc: &'static str,
}

/// What was measured at one point.
#[derive(Debug)]
struct Answer {
    workload: &'static str,
    point: &'static Point,
    measured: Vec<Measured>,
}

impl Answer {
    fn measure(&self) -> Option<&Measured> {
        self.measured.iter().find(|measured| measured.contender.name == MEASURE)
    }
}

impl Results {
    pub(crate) const fn new(plan: &Plan, machine: Facts) -> Self {
        Self { machine, rounds: plan.rounds, seconds: plan.seconds, answers: Vec::new() }
    }

    pub(crate) fn add(&mut self, workload: &Workload, point: &'static Point, measured: Vec<Measured>) {
        self.answers.push(Answer { workload: workload.name, point, measured });
    }

    fn answers(&self, workload: &Workload) -> impl Iterator<Item = &Answer> {
        self.answers.iter().filter(|answer| answer.workload == workload.name)
    }

    /// Prints the table of a workload.
    pub(crate) fn show(&self, workload: &Workload) {
        let Self { rounds, seconds, .. } = self;
        println!("\n{} {}; medians of {rounds} rounds of {seconds} s", workload.name, workload.title);
        for answer in self.answers(workload) {
            print!("{}", table::of(answer));
        }
    }

    /// Writes what there is so far, so that a run that is ended early has not been in vain.
    pub(crate) fn write(&self, plan: &Plan) -> Result {
        if let Some(path) = &plan.json {
            let text = serde_json::to_string_pretty(&json::of(self))?;
            fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))?;
        }
        if let Some(folder) = &plan.plots {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
            for workload in WORKLOADS {
                if let Some(picture) = svg::of(self, workload) {
                    fs::write(folder.join(format!("{}.svg", workload.name.to_lowercase())), picture)?;
                }
            }
        }
        Ok(())
    }
}

/// Says what there is.
pub(crate) fn list(workloads: &[&Workload], contenders: &[Contender]) {
    println!("workloads");
    for workload in workloads {
        println!("  {:<4} {}", workload.name, workload.title);
    }
    println!("\ncontenders");
    for contender in contenders {
        println!("  {:<18} {:<9} {}", contender.name, contender.kind.name(), contender.about);
        println!("  {:<18} {:<9} {}", "", "", contender.workloads.join(" "));
    }
}
