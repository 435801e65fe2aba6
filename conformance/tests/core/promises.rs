//! The table of promises tells the truth: every test that it names exists.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use conformance::suite::PROMISES;

/// The names in backquotes of one cell.
fn names(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The functions that are marked as tests in a folder.
fn tests(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("a readable folder").path()) {
        if path.is_dir() {
            tests(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let mut marked = false;
            for line in text.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                    && marked
                {
                    found.insert(name.to_owned());
                }
                marked = line == "#[test]" || marked && (line.starts_with('#') || line.starts_with("//"));
            }
        }
    }
}

#[test]
fn every_promise_is_tried_by_tests_that_exist() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(here.join("PROMISES.md")).expect("the table is there");
    let mut core = BTreeSet::new();
    for folder in [here.join("tests"), here.join("../proto-core/src")] {
        tests(&folder, &mut core);
    }
    let suite: BTreeSet<&str> = PROMISES.iter().map(|promise| promise.name).collect();
    let mut named = BTreeSet::new();
    let mut rows = 0;
    for line in text.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, number, _, on_core, on_runtimes, _] = cells[..] else { continue };
        let Ok(number) = number.parse::<usize>() else { continue };
        rows += 1;
        assert_eq!(number, rows, "promises are numbered in order");
        assert!(names(on_core).chain(names(on_runtimes)).count() > 0, "nothing tries promise {number}");
        for name in names(on_core) {
            assert!(core.contains(name), "promise {number} names `{name}`, which is no test");
        }
        for name in names(on_runtimes) {
            assert!(
                suite.contains(name),
                "promise {number} names `{name}`, which is no promise of the suite"
            );
            named.insert(name);
        }
    }
    assert_eq!(rows, 20);
    assert_eq!(named, suite, "every promise of the suite has its place in the table");
}
