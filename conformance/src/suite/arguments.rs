//! What the suite is told by its command line and its environment.

use std::env;
use std::hash::{BuildHasher, RandomState};

/// What is wanted.
#[derive(Clone, Debug)]
pub(super) struct Arguments {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    pub(super) list: bool,
    pub(super) cases: Option<u32>,
    pub(super) minutes: Option<u64>,
    pub(super) seed: u64,
}

impl Arguments {
    pub(super) fn read() -> Result<Self, String> {
        let mut read = Self {
            filters: Vec::new(),
            skipped: Vec::new(),
            exact: false,
            list: false,
            cases: positive("CONFORMANCE_CASES")?,
            minutes: positive("CONFORMANCE_MINUTES")?,
            seed: number("CONFORMANCE_SEED")?.unwrap_or_else(|| RandomState::new().hash_one(0)),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => read.exact = true,
                "--list" => read.list = true,
                // None of these tests is one of those.
                "--ignored" => read.skipped.push(String::new()),
                "--skip" => read.skipped.extend(arguments.next()),
                // Those of other harnesses that are followed by a value.
                "--color" | "--format" | "--logfile" | "--test-threads" | "--shuffle-seed" | "-Z" => {
                    drop(arguments.next());
                }
                other if other.starts_with('-') => {}
                _ => read.filters.push(argument),
            }
        }
        Ok(read)
    }

    /// The same with other scenarios.
    pub(super) fn with_seed(&self, seed: u64) -> Self {
        Self { seed, ..self.clone() }
    }

    pub(super) fn selects(&self, name: &str) -> bool {
        let matches =
            |filter: &String| if self.exact { name == filter } else { name.contains(filter.as_str()) };
        (self.filters.is_empty() || self.filters.iter().any(matches)) && !self.skipped.iter().any(matches)
    }

    /// The chance of one promise, which does not depend on which others are selected.
    pub(super) fn seed_of(&self, name: &str) -> [u8; 32] {
        let mut seed = [0; 32];
        let (number, text) = seed.split_at_mut(8);
        number.copy_from_slice(&self.seed.to_be_bytes());
        for (at, byte) in name.bytes().enumerate() {
            text[at % 24] = text[at % 24].wrapping_mul(31).wrapping_add(byte);
        }
        seed
    }
}

fn positive<T: std::str::FromStr + Default + PartialEq>(variable: &str) -> Result<Option<T>, String> {
    match number(variable)? {
        Some(number) if number == T::default() => Err(format!("{variable} must be at least 1")),
        number => Ok(number),
    }
}

fn number<T: std::str::FromStr>(variable: &str) -> Result<Option<T>, String> {
    match env::var(variable) {
        Ok(text) => {
            text.parse().map(Some).map_err(|_| format!("{variable} is `{text}`, and must be a number"))
        }
        Err(_) => Ok(None),
    }
}
