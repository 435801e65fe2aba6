//! The specification and its proofs are one: every clause of PROTOCOL.md is cited by a test, and by nothing but tests
//! that exist.
//!
//! A citation counts in the doc comment of a test function, since there a reader finds what is proved next to how. A
//! clause that is marked as later must not be cited: who proves it takes the mark away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

type Clause = (u32, u32);

/// What PROTOCOL.md says about its clauses.
#[derive(Debug, Default)]
struct Specification {
    /// Each clause, and whether it is marked as later.
    clauses: BTreeMap<Clause, bool>,
    twice: Vec<Clause>,
}

impl Specification {
    fn parse(text: &str) -> Self {
        let mut specification = Self::default();
        for line in text.lines() {
            let Some((number, rest)) = line.strip_prefix("- **").and_then(|bullet| bullet.split_once("**"))
            else {
                continue;
            };
            let [clause] = cited(number)[..] else { continue };
            let mark = rest.trim_start().strip_prefix("*(").and_then(|mark| mark.split_once(")*"));
            let later = mark.is_some_and(|(mark, _)| mark.split([',', ' ']).any(|word| word == "later"));
            if specification.clauses.insert(clause, later).is_some() {
                specification.twice.push(clause);
            }
        }
        specification
    }
}

/// The clauses that a text names.
fn cited(text: &str) -> Vec<Clause> {
    let number = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        Some((text[..end].parse().ok()?, end))
    };
    let clause = |rest: &str| {
        let (section, end) = number(rest)?;
        let (clause, _) = number(rest[end..].strip_prefix('.')?)?;
        Some((section, clause))
    };
    text.split("LW-").skip(1).filter_map(clause).collect()
}

/// The clauses that the doc comments of test functions cite, with the name of the function.
fn proofs(source: &str) -> Vec<(Clause, String)> {
    let mut proofs = Vec::new();
    let mut docs = String::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim_start) {
        if let Some(doc) = line.strip_prefix("///") {
            docs.push_str(doc);
            docs.push('\n');
        } else if line.starts_with("#[") {
            is_test |= line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
        } else {
            let name = line.split_once("fn ").map(|(_, rest)| rest.split(['(', '<']).next().unwrap_or(rest));
            if let (Some(name), true) = (name, is_test) {
                proofs.extend(cited(&docs).into_iter().map(|clause| (clause, name.to_owned())));
            }
            docs.clear();
            is_test = false;
        }
    }
    proofs
}

/// All Rust files below `folder`; none if it does not exist.
fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

/// What is wrong, one line each.
fn complaints(specification: &Specification, proofs: &[(Clause, String)]) -> Vec<String> {
    let proved: BTreeSet<Clause> = proofs.iter().map(|(clause, _)| *clause).collect();
    let name = |(section, number): &Clause| format!("LW-{section}.{number}");
    let twice = specification.twice.iter().map(|clause| format!("{} is numbered twice", name(clause)));
    let unproved =
        specification.clauses.iter().filter(|(clause, later)| !**later && !proved.contains(clause));
    let unproved = unproved.map(|(clause, _)| format!("{} is cited by no test", name(clause)));
    let wrong = proofs.iter().filter_map(|(clause, by)| match specification.clauses.get(clause) {
        None => Some(format!("{} does not exist, and `{by}` cites it", name(clause))),
        Some(true) => Some(format!("{} is marked as later, and `{by}` proves it already", name(clause))),
        Some(false) => None,
    });
    twice.chain(unproved).chain(wrong).collect()
}

#[test]
fn every_clause_has_a_test() -> io::Result<()> {
    let conformance = Path::new(env!("CARGO_MANIFEST_DIR"));
    let core = conformance.join("../proto-core");
    let specification = Specification::parse(&fs::read_to_string(core.join("PROTOCOL.md"))?);
    assert!(specification.clauses.len() > 50, "the clauses were not found");

    let mut files = Vec::new();
    for folder in [core.join("src"), core.join("tests"), conformance.join("src"), conformance.join("tests")] {
        rust_files(&folder, &mut files)?;
    }
    let mut all = Vec::new();
    for file in files {
        all.extend(proofs(&fs::read_to_string(file)?));
    }
    let complaints = complaints(&specification, &all);
    assert!(complaints.is_empty(), "PROTOCOL.md and the tests disagree:\n  {}", complaints.join("\n  "));
    Ok(())
}

#[test]
fn vectors_rest_on_clauses_that_exist() -> io::Result<()> {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto-core");
    let specification = Specification::parse(&fs::read_to_string(core.join("PROTOCOL.md"))?);
    let vectors = cited(&fs::read_to_string(core.join("vectors.json"))?);
    assert!(vectors.len() > 200, "the vectors were not found");
    let unknown: BTreeSet<_> =
        vectors.into_iter().filter(|clause| !specification.clauses.contains_key(clause)).collect();
    assert!(unknown.is_empty(), "vectors rest on clauses that do not exist: {unknown:?}");
    Ok(())
}

#[test]
fn each_kind_of_disagreement_is_found() {
    let text = "- **LW-1.1** One.\n- **LW-1.2** *(capability X, later)* Two.\n- **LW-1.3** Three, see LW-1.2.\n\
                - **LW-1.1** One again.\n**LW-1.9** is no bullet.\n- **Bold** is no clause.\n";
    let specification = Specification::parse(text);
    assert_eq!(specification.clauses, BTreeMap::from([((1, 1), false), ((1, 2), true), ((1, 3), false)]));
    let source = "/// LW-1.1 and\n/// LW-1.2: doc.\n#[test]\n#[ignore]\nfn one() {\n    // LW-1.3\n}\n\
                  /// LW-1.3: of no test.\nfn two() {}\nproptest! {\n    /// LW-8.10.\n    #[test]\n    fn three(x in 0..1) {}\n}";
    let proofs = proofs(source);
    let named = |clause, name: &str| (clause, name.to_owned());
    assert_eq!(proofs, [named((1, 1), "one"), named((1, 2), "one"), named((8, 10), "three")]);
    let expected = [
        "LW-1.1 is numbered twice",
        "LW-1.3 is cited by no test",
        "LW-1.2 is marked as later, and `one` proves it already",
        "LW-8.10 does not exist, and `three` cites it",
    ];
    assert_eq!(complaints(&specification, &proofs), expected);
}
