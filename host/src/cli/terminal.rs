//! What is otherwise where a person watches: a line that says what takes its time.

use std::io::{IsTerminal as _, Write};

use crate::base::printable::escaped;

/// A line on standard error that says what is being done; it is gone when this is dropped. Where no person watches,
/// nothing is said.
pub(super) struct Progress<W: Write = std::io::Stderr>(Option<W>);

impl Progress {
    /// Says what is being done from now on.
    pub(super) fn of(what: &str) -> Self {
        let is_watched =
            std::io::stderr().is_terminal() && anstyle_query::term_supports_ansi_color();
        Self::on(is_watched.then(std::io::stderr), what)
    }
}

impl<W: Write> Progress<W> {
    fn on(mut out: Option<W>, what: &str) -> Self {
        if let Some(out) = &mut out {
            let what = escaped(what);
            let _ = write!(out, "{what} \u{2026}").and_then(|()| out.flush());
        }
        Self(out)
    }
}

impl<W: Write> Drop for Progress<W> {
    fn drop(&mut self) {
        if let Some(out) = &mut self.0 {
            // To the beginning of the line, and what is in it erased.
            let _ = write!(out, "\r\u{1b}[K").and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_done_is_said_and_taken_back() {
        let mut out = Vec::new();
        let progress = Progress::on(Some(&mut out), "checking a.wasm");
        drop(progress);
        assert_eq!(out, "checking a.wasm \u{2026}\r\u{1b}[K".as_bytes());
    }

    #[test]
    fn where_nobody_watches_nothing_is_said() {
        drop(Progress::<Vec<u8>>::on(None, "checking a.wasm"));
    }
}
