//! How many instructions the core takes: `cargo bench -p conformance --bench instructions`, with valgrind installed.
//!
//! The numbers are nearly the same on every machine of one architecture and with every run, so that they can be compared with
//! those in `instructions.txt`: a change that makes an operation more than a tenth dearer fails. `-- --write` writes them anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

mod cases;

use cases::{CASES, Case};

/// How often an operation is done: the instructions of fewer rounds are taken from those of more, so that what comes
/// before and after them does not count.
const ROUNDS: [usize; 2] = [20, 220];
/// How much dearer an operation may be than it was.
const TOLERANCE: f64 = 1.10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [operate, name, rounds] = &arguments[..]
        && operate == "--operate"
    {
        return run(name, rounds);
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --benches` only sees that it works.
        CASES.iter().for_each(|case| (case.make)()());
        return ExitCode::SUCCESS;
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("SKIPPED: valgrind is missing, so that nothing has counted instructions");
        return ExitCode::SUCCESS;
    }
    match compare(arguments.iter().any(|argument| argument == "--write")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// What the counted process does.
fn run(name: &str, rounds: &str) -> ExitCode {
    let (Some(case), Ok(rounds)) = (CASES.iter().find(|case| case.name == name), rounds.parse()) else {
        return ExitCode::FAILURE;
    };
    let mut operate = (case.make)();
    (0..rounds).for_each(|_: usize| operate());
    ExitCode::SUCCESS
}

/// Counts all cases, and says whether none of them has become dearer.
fn compare(write: bool) -> Result<bool, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt");
    let known = read(&path)?;
    let mut fine = true;
    let mut found =
        String::from("# Instructions of each operation, on x86-64. Written by the benchmark itself.\n");
    println!("{:<28} {:>12} {:>12}", "operation", "instructions", "before");
    for case in CASES {
        let count = count(case)?;
        let before = known.get(case.name).copied();
        let dearer = before.is_some_and(|before| count > before * TOLERANCE + 1.0);
        fine &= !dearer;
        let shown = before.map_or_else(|| "-".into(), |before| format!("{before:.0}"));
        println!("{:<28} {count:>12.0} {shown:>12}{}", case.name, if dearer { "  DEARER" } else { "" });
        let _ = writeln!(found, "{} {count:.0}", case.name);
    }
    if write {
        std::fs::write(&path, found).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        return Ok(true);
    }
    if !fine {
        println!("If what has become dearer is worth it, write the new numbers with `-- --write`.");
    }
    Ok(fine || !cfg!(target_arch = "x86_64"))
}

fn read(path: &Path) -> Result<BTreeMap<String, f64>, String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, count) = line.split_once(' ')?;
            Some((name.to_owned(), count.parse().ok()?))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| format!("{} is not a list of names and numbers", path.display()))
}

/// Instructions of one operation.
fn count(case: &Case) -> Result<f64, String> {
    let [fewer, more] = ROUNDS.map(|rounds| instructions(case.name, rounds));
    Ok((more? - fewer?) / ((ROUNDS[1] - ROUNDS[0]) * case.batch) as f64)
}

/// Instructions of a whole process that does an operation so often.
fn instructions(name: &str, rounds: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let counted = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["--operate", name, &rounds.to_string()])
        .output()
        .map_err(|error| format!("valgrind does not start: {error}"))?;
    let said = String::from_utf8_lossy(&counted.stderr);
    let collected = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("valgrind counted nothing for {name}:\n{said}"))
}
