use super::super::plan::tests::plan;
use super::super::sample::{Chunk, Kind, histogram, record};
use super::*;
use adapter_tokio::StatusCode;
use serde_json::Value;

const SECOND: Nanos = 1_000_000_000;
/// What a server or a process may call itself.
const HOSTILE: &str = "</style>\"'><img onerror=x>\u{1b}[2J\n";

/// A report of a run in which nothing has happened.
fn nothing(options: &str) -> Report {
    Report {
        plan: Arc::new(plan(options).expect("the arguments make sense")),
        began: SystemTime::UNIX_EPOCH,
        end: End::Interrupted,
        window: 0,
        total: 0,
        due: 0,
        totals: Totals::default(),
        abandoned: 0,
        rates: Rates::default(),
        latencies: histogram(3),
        errors: Vec::new(),
        connections: Connections::default(),
        client: None,
        servers: Vec::new(),
        busy: Busy::default(),
        timeline: Timeline::default(),
    }
}

/// A run with a bit of everything, in which a tenth of what was due was answered in time.
fn something() -> Report {
    let mut chunk = Chunk::new(Some(12));
    chunk.totals = Totals { answered: 2, failed: 3, sent_bytes: 128, received_bytes: 128 };
    let mut report = nothing("--rate 10 --duration 2s");
    for latency in [400_000, 3 * SECOND] {
        record(&mut chunk.latencies, latency);
    }
    report.timeline.add(&chunk);
    let usage = |user: u64| Usage { user: Duration::from_millis(user), ..Usage::default() };
    let mut process = Process::default();
    process.name = HOSTILE.to_owned();
    Report {
        end: End::Lost(HOSTILE.to_owned()),
        window: 2 * SECOND,
        total: 4 * SECOND,
        due: 6,
        totals: chunk.totals,
        abandoned: 1,
        rates: Rates::of(&chunk.totals, 2 * SECOND),
        latencies: chunk.latencies,
        errors: vec![ErrorCount {
            kind: Kind::Status(StatusCode::OVERLOADED),
            count: 3,
            example: Some(HOSTILE.to_owned()),
        }],
        connections: Connections {
            made: 1,
            lost: 1,
            reason: Some(HOSTILE.to_owned()),
            ..Connections::default()
        },
        client: Some(Cost::between(&usage(500), &usage(1500), Duration::from_secs(2))),
        servers: vec![Server { process, cost: Some(Cost::default()), has_ended: true }],
        busy: Busy { ran: 0.7, waited: 0.26, wait: 2_000_000 },
        ..report
    }
}

#[test]
fn a_run_in_which_nothing_happened_can_be_told() {
    for options in ["", "--rate 5 --timeout never", "--count 3 --warm-up 1s"] {
        let report = nothing(options);
        let json: Value = serde_json::from_str(&report.json()).unwrap();
        assert!(json["latency"].is_null() && json["client"].is_null());
        assert!(
            report.text().contains("0 answered, 0 failed, in 0.00 µs; interrupted\n"),
            "{}",
            report.text()
        );
        assert!(report.html().ends_with("</html>\n"));
    }
}

#[test]
fn what_others_say_does_no_harm() {
    let report = something();
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!((&json["errors"][0]["example"], &json["end_reason"]), (&HOSTILE.into(), &HOSTILE.into()));
    let text = report.text();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text}");
    // Each in a line of its own, behind a name or in its place.
    assert_eq!(
        text.lines().filter(|line| line.contains("onerror") && !line.starts_with('[')).count(),
        3,
        "{text}"
    );
    let html = report.html();
    assert_eq!(html.matches("onerror").count(), 3);
    assert!(!html.contains("<img") && !html.contains('\u{1b}') && html.matches("</style>").count() == 1);
}

#[test]
fn numbers_are_the_same_everywhere() {
    let report = something();
    let json: Value = serde_json::from_str(&report.json()).unwrap();
    assert_eq!(json["throughput"]["calls_per_s"], 1.0);
    assert_eq!(json["client"]["cpu_percent"], 50.0);
    assert_eq!(json["client"]["cpu_us_per_call"], 500_000.0);
    assert_eq!(
        (&json["intervals"][12]["answered"], &json["intervals"][12]["failed"]),
        (&2.into(), &3.into())
    );
    assert!((json["latency"]["max_us"].as_f64().unwrap() / 3e6 - 1.0).abs() < 0.001);
    let (text, html) = (report.text(), report.html());
    for part in ["3.00 s", "500 ms per call", "50 %"] {
        assert!(text.contains(part) && html.contains(part), "{part} is not in {text} and {html}");
    }
    let calls = "2 answered, 3 failed (50.0 %), 1 not waited for, in 2.00 s; ended without a connection";
    assert!(text.contains(calls), "{text}");
}

#[test]
fn whoever_reads_the_numbers_is_told_what_they_are_worth() {
    let notes = something().notes();
    for (note, part) in notes.iter().zip([
        "latencies may be its own",
        "26.0 % of the time, 2.00 ms at a time",
        "10.0 %",
        "failed ones",
    ]) {
        assert!(note.contains(part), "{part} is not in {note}");
    }
    assert_eq!(notes.len(), 4);
    assert!(nothing("").notes().is_empty());
}
