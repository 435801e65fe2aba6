//! JSON objects in a line, their fields in the order in which they are added.

use std::fmt::{Display, Write};

/// An object that grows.
#[derive(Debug)]
pub(crate) struct Object(String);

impl Object {
    pub(crate) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A number, `true`, `false`, `null`, or JSON that is ready.
    pub(crate) fn plain(mut self, key: &str, value: impl Display) -> Self {
        let comma = if self.0.len() > 1 { "," } else { "" };
        // Writing to a string does not fail.
        let _ = write!(self.0, "{comma}\"{key}\":{value}");
        self
    }

    pub(crate) fn text(self, key: &str, value: &str) -> Self {
        self.plain(key, serde_json::Value::from(value))
    }

    /// Bytes: as text if they are UTF-8, else as hexadecimal digits under `key_hex`.
    pub(crate) fn bytes(self, key: &str, bytes: &[u8]) -> Self {
        match str::from_utf8(bytes) {
            Ok(text) => self.text(key, text),
            Err(_) => {
                let mut digits = String::with_capacity(2 * bytes.len());
                for byte in bytes {
                    let _ = write!(digits, "{byte:02x}");
                }
                self.text(&format!("{key}_hex"), &digits)
            }
        }
    }

    /// The object, without a newline.
    pub(crate) fn end(self) -> String {
        self.0 + "}"
    }
}

/// An array of JSON values.
pub(crate) fn array(values: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", values.into_iter().collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_whatever_is_in_it() {
        let object = Object::new()
            .plain("line", 7)
            .text("text", "a \"quote\",\n\u{7} and é")
            .bytes("body", b"plain")
            .bytes("other", b"\xff\0")
            .end();
        let expected = "{\"line\":7,\"text\":\"a \\\"quote\\\",\\n\\u0007 and é\",\"body\":\"plain\",\"other_hex\":\"ff00\"}";
        assert_eq!(object, expected);
        assert!(serde_json::from_str::<serde_json::Value>(&object).is_ok());
        assert_eq!(Object::new().end(), "{}");
        assert_eq!(array(["1".to_owned(), Object::new().plain("a", 2).end()]), "[1,{\"a\":2}]");
    }
}
