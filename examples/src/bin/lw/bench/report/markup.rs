//! Writes HTML and SVG so that nothing that comes from outside can become markup: what is not text is known at compile
//! time, all else is escaped, and what was opened is closed.

use std::fmt::{self, Display, Write};

#[derive(Debug, Default)]
pub(super) struct Markup {
    text: String,
    open: Vec<&'static str>,
}

/// The attributes of an element.
pub(super) type Attributes<'a> = &'a [(&'static str, &'a dyn Display)];

impl Markup {
    /// An element that holds what is written next, until it is closed.
    pub(super) fn open(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.tag(name, attributes);
        self.text.push('>');
        self.open.push(name);
    }

    /// Closes what was opened last.
    pub(super) fn close(&mut self) {
        if let Some(name) = self.open.pop() {
            self.write(format_args!("</{name}>"));
        }
    }

    /// An element with text.
    pub(super) fn leaf(&mut self, name: &'static str, attributes: Attributes<'_>, text: impl Display) {
        self.open(name, attributes);
        self.text(text);
        self.close();
    }

    /// An element without content.
    pub(super) fn empty(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.tag(name, attributes);
        self.text.push_str("/>");
    }

    pub(super) fn text(&mut self, text: impl Display) {
        // Writing to a string does not fail.
        let _ = write!(Escaped(&mut self.text), "{text}");
    }

    /// Markup that is known at compile time.
    pub(super) fn raw(&mut self, markup: &'static str) {
        self.text.push_str(markup);
    }

    /// All of it, with everything closed.
    pub(super) fn end(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn tag(&mut self, name: &'static str, attributes: Attributes<'_>) {
        self.write(format_args!("<{name}"));
        for (name, value) in attributes {
            self.write(format_args!(" {name}=\""));
            self.text(value);
            self.text.push('"');
        }
    }

    fn write(&mut self, words: fmt::Arguments<'_>) {
        let _ = self.text.write_fmt(words);
    }
}

/// Escapes what is written, for the content of elements and of attributes in quotes.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                c if c.is_control() && c != '\n' => self.0.push(char::REPLACEMENT_CHARACTER),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let mut markup = Markup::default();
        markup.open("p", &[("title", &"a\" onclick='x")]);
        markup.leaf("b", &[], "<script>&\u{1b}");
        markup.empty("br", &[]);
        markup.open("i", &[]);
        markup.raw("&nbsp;");
        let expected =
            "<p title=\"a&quot; onclick=&#39;x\"><b>&lt;script&gt;&amp;\u{fffd}</b><br/><i>&nbsp;</i></p>";
        assert_eq!(markup.end(), expected);
    }
}
