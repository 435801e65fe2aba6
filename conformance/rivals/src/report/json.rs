//! Everything, for programs.

use serde_json::{Map, Value, json};

use super::columns::Aim;
use super::{Answer, MEASURE, Measured, Results, Spread};
use crate::workload::{WORKLOADS, Workload};

pub(crate) fn of(results: &Results) -> Value {
    let workloads: Vec<Value> =
        WORKLOADS.iter().filter_map(|workload| self::workload(results, workload)).collect();
    json!({
        "machine": results.machine,
        "rounds": results.rounds,
        "seconds": results.seconds,
        "ratios_to": MEASURE,
        "workloads": workloads,
    })
}

fn workload(results: &Results, workload: &Workload) -> Option<Value> {
    let answers: Vec<&Answer> = results.answers(workload).collect();
    let points: Vec<Value> = answers.iter().map(|answer| point(answer)).collect();
    (!points.is_empty()).then(|| json!({ "name": workload.name, "title": workload.title, "points": points }))
}

fn point(answer: &Answer) -> Value {
    let aim = answer.point.job.aim();
    let measure = answer.measure();
    let contenders: Vec<Value> =
        answer.measured.iter().map(|measured| contender(measured, measure, aim)).collect();
    json!({
        "id": answer.point.id,
        "title": answer.point.title,
        "aim": { "figure": aim.column.figure, "times": aim.column.scale, "more_is_better": aim.more },
        "contenders": contenders,
    })
}

fn contender(measured: &Measured, measure: Option<&Measured>, aim: Aim) -> Value {
    let figures: Map<String, Value> = measured
        .figures()
        .filter_map(|figure| Some((figure.to_owned(), spread(measured.spread(figure, 1.0)?))))
        .collect();
    let rounds: Vec<Value> = measured
        .rounds
        .iter()
        .map(|(round, figures)| json!({ "round": round, "figures": figures }))
        .collect();
    json!({
        "name": measured.contender.name,
        "kind": measured.contender.kind.name(),
        "about": measured.contender.about,
        "aim": measured.spread(aim.column.figure, aim.column.scale).map(spread),
        "ratio": measure.and_then(|measure| measured.ratio(aim.column.figure, measure)).map(spread),
        "figures": figures,
        "rounds": rounds,
        "problems": measured.problems,
    })
}

fn spread(Spread { least, median, most }: Spread) -> Value {
    json!({ "least": least, "median": median, "most": most })
}
