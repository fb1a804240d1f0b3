//! The progress line on a terminal.

use std::io::{IsTerminal as _, Write};

use crate::base::printable::escaped;

/// A line on standard error that names the work in progress; it is erased on drop. Prints nothing
/// if standard error is not a terminal.
pub(super) struct ProgressLine<W: Write = std::io::Stderr>(Option<W>);

impl ProgressLine {
    /// Shows the line.
    pub(super) fn of(what: &str) -> Self {
        let is_watched =
            std::io::stderr().is_terminal() && anstyle_query::term_supports_ansi_color();
        Self::on(is_watched.then(std::io::stderr), what)
    }
}

impl<W: Write> ProgressLine<W> {
    fn on(mut out: Option<W>, what: &str) -> Self {
        if let Some(out) = &mut out {
            let what = escaped(what);
            let _ = write!(out, "{what} \u{2026}").and_then(|()| out.flush());
        }
        Self(out)
    }
}

impl<W: Write> ProgressLine<W> {
    /// Shows another line in its place.
    pub(super) fn show(&mut self, what: &str) {
        if let Some(out) = &mut self.0 {
            let what = escaped(what);
            let _ = write!(out, "\r\u{1b}[K{what} \u{2026}").and_then(|()| out.flush());
        }
    }
}

impl<W: Write> Drop for ProgressLine<W> {
    fn drop(&mut self) {
        if let Some(out) = &mut self.0 {
            // Moves to the beginning of the line and erases it.
            let _ = write!(out, "\r\u{1b}[K").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_line_is_written_and_erased() {
        let mut out = Vec::new();
        let progress = ProgressLine::on(Some(&mut out), "checking a.wasm");
        drop(progress);
        assert_eq!(out, "checking a.wasm \u{2026}\r\u{1b}[K".as_bytes());
    }

    #[test]
    fn another_line_takes_the_place_of_the_one_before() {
        let mut out = Vec::new();
        let mut progress = ProgressLine::on(Some(&mut out), "1 of 2");
        progress.show("2 of 2");
        drop(progress);
        let expected = "1 of 2 \u{2026}\r\u{1b}[K2 of 2 \u{2026}\r\u{1b}[K";
        assert_eq!(out, expected.as_bytes());
    }

    #[test]
    fn without_a_terminal_there_is_no_progress_line() {
        drop(ProgressLine::<Vec<u8>>::on(None, "checking a.wasm"));
    }
}
