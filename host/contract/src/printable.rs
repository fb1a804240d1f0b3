//! Escaping of foreign texts: in the log, on a terminal, in the detail of a problem.
//!
//! Records, requests, components and other programs may send characters that forge a log line,
//! control a terminal, or reverse the reading direction of the rest. All code that shows such a
//! text passes it through here; what is stored and published stays as it came.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// True for characters that are shown escaped: control characters (C0, DEL, C1), line separators,
/// marks of the reading direction, and invisible characters other than the two joiners that scripts
/// need.
#[must_use]
pub fn is_escaped(c: char) -> bool {
    c.is_control() || is_hidden(c)
}

/// The same without control characters.
fn is_hidden(c: char) -> bool {
    matches!(
        c,
        '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

/// The text on one line without control characters: `a\nb` shows its newline as two characters,
/// `\u{1b}` its escape as six.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    // Writing to a `String` does not fail.
    let _ = write_escaped(&mut shown, text);
    Cow::Owned(shown)
}

/// Writes a text as [`escaped`] shows it.
///
/// # Errors
/// Those of the writer.
pub fn write_escaped(to: &mut impl Write, text: &str) -> fmt::Result {
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        let (plain, from) = rest.split_at(at);
        to.write_str(plain)?;
        let mut characters = from.chars();
        if let Some(c) = characters.next() {
            write!(to, "{}", c.escape_default())?;
        }
        rest = characters.as_str();
    }
    to.write_str(rest)
}
