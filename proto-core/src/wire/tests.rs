//! The wire format against `vectors.json`, whose authors read PROTOCOL.md and not this code, and against itself.

mod conversations;
mod fragments;
mod properties;
mod vectors;

use alloc::vec::Vec;

use serde_json::Value;

/// One section of `vectors.json`.
fn section(name: &str) -> Vec<Value> {
    let vectors: Value = serde_json::from_str(include_str!("../../vectors.json")).unwrap();
    let entries = vectors[name].as_array().cloned().unwrap_or_default();
    assert!(!entries.is_empty(), "there are no {name}");
    entries
}

fn text<'a>(entry: &'a Value, key: &str) -> &'a str {
    entry[key].as_str().unwrap_or_else(|| panic!("{entry} has no text {key}"))
}

fn number(entry: &Value, key: &str) -> u64 {
    entry[key].as_u64().unwrap_or_else(|| panic!("{entry} has no number {key}"))
}

fn unhex(digits: &str) -> Vec<u8> {
    let nibble = |digit: u8| char::from(digit).to_digit(16).expect("a hexadecimal digit") as u8;
    assert_eq!(digits.len() % 2, 0, "half a byte in {digits}");
    digits.as_bytes().chunks_exact(2).map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])).collect()
}

fn bytes(entry: &Value, key: &str) -> Vec<u8> {
    unhex(text(entry, key))
}
