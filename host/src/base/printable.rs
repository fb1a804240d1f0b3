//! Escaping of foreign texts: in the log, on a terminal, in the detail of a problem.
//!
//! Records, requests, components and other programs may send characters that forge a log line,
//! control a terminal, or reverse the reading direction of the rest. All code that shows such a
//! text passes it through here; what is stored and published stays as it came.

use std::borrow::Cow;
use std::fmt::{self, Write};

pub use saga_contract::printable::{escaped, is_escaped, write_escaped};

/// Escapes all text written through it.
pub struct Escaping<W>(pub W);

impl<W: Write> Write for Escaping<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_escaped(&mut self.0, text)
    }
}

/// Escapes these characters inside the strings of a JSON text as `\u`; its value stays the same.
/// Serializers escape C0 only; raw C0 characters stand between values.
#[must_use]
pub fn json(text: String) -> String {
    let is_raw = |c: char| !c.is_ascii_control() && is_escaped(c) || c == '\u{7f}';
    if !text.contains(is_raw) {
        return text;
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_raw(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

/// A text of at most so many characters: a longer one is cut, and ends with `…`.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.chars().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let begin = text.chars().take(most.saturating_sub(1));
    Cow::Owned(begin.chain(['…']).collect())
}

/// Text for people, line by line. Each line is escaped as a whole, so that no value in it can end
/// it.
#[derive(Debug, Default)]
pub struct Lines(String);

impl Lines {
    /// Adds a line.
    pub fn add(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a `String` does not fail.
        let _ = Escaping(&mut self.0).write_fmt(line);
        self.0.push('\n');
    }

    /// Adds the lines of another text.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Adds an empty line.
    pub fn space(&mut self) {
        self.0.push('\n');
    }

    /// The text.
    #[must_use]
    pub fn text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A newline, ESC, BEL, DEL, C1 (CSI), a line separator, bidi, a zero-width space, a tag.
    const STEERS: &str =
        "a\nb\r\u{1b}[2J\u{7}\u{7f}\u{9b}2J\u{2028}\u{202e}\u{2066}\u{200b}\u{e0041}z";

    #[test]
    fn control_characters_are_escaped_on_one_line() {
        assert_eq!(
            escaped(STEERS),
            "a\\nb\\r\\u{1b}[2J\\u{7}\\u{7f}\\u{9b}2J\\u{2028}\\u{202e}\\u{2066}\\u{200b}\\u{e0041}z"
        );
        assert!(!escaped(STEERS).contains(is_escaped));
    }

    #[test]
    fn ordinary_text_is_not_escaped() {
        let text = "Zoë Öztürk, \u{5e9}\u{5dc}\u{5d5}\u{5dd}, \u{645}\u{6cc}\u{200c}\u{62e}, \u{1f468}\u{200d}\u{1f469}, C:\\new {\"a\": 1}";
        assert!(matches!(escaped(text), Cow::Borrowed(same) if same == text));
        assert_eq!(json(text.to_owned()), text);
    }

    #[test]
    fn json_keeps_its_value_and_its_own_lines() {
        let value = serde_json::json!({"said": STEERS});
        for text in [
            serde_json::to_string(&value),
            serde_json::to_string_pretty(&value),
        ] {
            let text = text.unwrap_or_default() + "\n";
            let shown = json(text.clone());
            let is_structure = |c: char| c == '\n';
            assert!(
                !shown.replace(is_structure, "").contains(is_escaped),
                "{shown}"
            );
            assert_eq!(shown.lines().count(), text.lines().count());
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).ok(),
                Some(value.clone())
            );
        }
    }

    #[test]
    fn a_long_text_is_cut_between_two_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("a", 0), "…");
    }

    #[test]
    fn a_value_does_not_end_its_line() {
        let mut lines = Lines::default();
        lines.add(format_args!("key {}: {}", "1\n* forged", "\u{1b}c"));
        lines.add(format_args!("end"));
        assert_eq!(lines.text(), "key 1\\n* forged: \\u{1b}c\nend\n");
    }
}
