//! Scenarios that have broken a promise once, or show what a scenario can say: they are played for ever.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::scenario::Scenario;

/// How playing them is called in a report.
pub(super) const NAME: &str = "kept_scenarios";

/// Where the package under test keeps its own: cargo runs tests in the package's directory.
const FOLDER: &str = "scenarios";

macro_rules! bundled {
    ($($name:literal)*) => {
        [$(($name, include_str!(concat!("../../scenarios/", $name, ".scenario")))),*]
    };
}

/// Those that come with this crate.
const BUNDLED: [(&str, &str); 7] = bundled! {
    "a-bad-line"
    "a-close-before-the-handshake-is-over"
    "a-drain-before-there-is-a-connection"
    "a-drain-beside-a-call-back"
    "a-half-close-in-the-middle-of-a-call-back"
    "large-calls-before-there-is-a-connection"
    "nothing-is-held-at-rest"
};

/// All of them, by name. A file that cannot be read is one that cannot be parsed.
pub(super) fn all() -> Vec<(String, String)> {
    let mut all: Vec<_> = BUNDLED.iter().map(|&(name, text)| (name.to_owned(), text.to_owned())).collect();
    for (name, path) in files(Path::new(FOLDER)) {
        if !all.iter().any(|(known, _)| *known == name) {
            all.push((name, fs::read_to_string(path).unwrap_or_else(|error| error.to_string())));
        }
    }
    all
}

fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let scenarios = paths.filter(|path| path.extension().is_some_and(|extension| extension == "scenario"));
    let mut files: Vec<_> =
        scenarios.filter_map(|path| Some((path.file_stem()?.to_str()?.to_owned(), path.clone()))).collect();
    files.sort();
    files
}

/// Writes a scenario to where the next run finds it, and says so.
pub(super) fn keep(runner: &str, promise: &str, scenario: &Scenario, problem: &str) -> String {
    // Another one of the same promise gets a file of its own.
    let mut hasher = DefaultHasher::new();
    scenario.to_string().hash(&mut hasher);
    let number = hasher.finish() as u16;
    let name = format!("{}-{}-{number:04x}.scenario", runner.replace(' ', "-"), promise.replace('_', "-"));
    let path = Path::new(FOLDER).join(name);
    let comment: String = problem.lines().map(|line| format!("# {line}\n")).collect();
    let written = fs::create_dir_all(FOLDER).and_then(|()| fs::write(&path, format!("{comment}{scenario}")));
    let place = match written {
        Ok(()) => {
            let folder = env::current_dir().unwrap_or_default();
            format!("kept for the next runs in {}", folder.join(path).display())
        }
        Err(error) => format!("it could not be kept in {}: {error}", path.display()),
    };
    let text: String = scenario.to_string().lines().map(|line| format!("    {line}\n")).collect();
    format!("{problem}\n\nThe scenario, {place}:\n\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_bundled_and_can_be_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(FOLDER);
        let found: Vec<String> = files(&folder).into_iter().map(|(name, _)| name).collect();
        let bundled: Vec<&str> = BUNDLED.iter().map(|&(name, _)| name).collect();
        assert_eq!(found, bundled, "the list in this file and the folder must agree");
        for (name, text) in BUNDLED {
            let scenario: Scenario = text.parse().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(scenario.to_string().parse(), Ok(scenario), "{name}");
        }
    }
}
