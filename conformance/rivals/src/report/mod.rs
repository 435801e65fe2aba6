//! What was found out, for people and for programs.

mod columns;
mod numbers;
mod table;

use self::columns::Column;
use crate::Result;
use crate::command::Plan;
use crate::contender::Contender;
use crate::meter::Figures;
use crate::workload::{Point, Workload};

/// The contender that ratios refer to.
pub(crate) const MEASURE: &str = "raw-epoll";

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

    /// What the rounds say of one figure.
    pub(crate) fn spread(&self, column: &Column) -> Option<Spread> {
        let figures = self.rounds.iter().filter_map(|(_, figures)| figures.get(column.figure));
        Spread::of(figures.map(|value| value * column.scale).collect())
    }

    /// How this figure relates to another contender's in the same round.
    pub(crate) fn ratio(&self, column: &Column, to: &Self) -> Option<Spread> {
        let ratio = |(round, figures): &(u32, Figures)| {
            let (_, other) = to.rounds.iter().find(|(number, _)| number == round)?;
            Some(figures.get(column.figure)? / other.get(column.figure)?)
        };
        Spread::of(self.rounds.iter().filter_map(ratio).filter(|ratio| ratio.is_finite()).collect())
    }
}

/// A median, and how far off the others are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let median = *values.get(values.len() / 2)?;
        Some(Self { least: *values.first()?, median, most: *values.last()? })
    }
}

/// All of one run.
#[derive(Debug)]
pub(crate) struct Results {
    rounds: u32,
    seconds: f64,
    points: Vec<Answer>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) workload: &'static str,
    pub(crate) point: &'static Point,
    pub(crate) measured: Vec<Measured>,
}

impl Results {
    pub(crate) const fn new(plan: &Plan) -> Self {
        Self { rounds: plan.rounds, seconds: plan.seconds, points: Vec::new() }
    }

    pub(crate) fn add(&mut self, workload: &Workload, point: &'static Point, measured: Vec<Measured>) {
        self.points.push(Answer { workload: workload.name, point, measured });
    }

    /// Prints the table of a workload.
    pub(crate) fn show(&self, workload: &Workload) {
        println!(
            "\n{} {}; medians of {} rounds of {} s",
            workload.name, workload.title, self.rounds, self.seconds
        );
        for answer in self.points.iter().filter(|answer| answer.workload == workload.name) {
            print!("{}", table::of(answer));
        }
    }
}

/// Says what there is.
pub(crate) fn list(workloads: &[&Workload], contenders: &[Contender]) -> Result {
    println!("workloads");
    for workload in workloads {
        println!("  {:<4} {}", workload.name, workload.title);
    }
    println!("\ncontenders");
    for contender in contenders {
        println!("  {:<18} {:<9} {}", contender.name, contender.kind.name(), contender.about);
        println!("  {:<18} {:<9} {}", "", "", contender.workloads.join(" "));
    }
    Ok(())
}
