//! What is otherwise where a person watches: colours of the log, and a line that says what takes its time.
//!
//! Colours follow NO_COLOR, CLICOLOR and CLICOLOR_FORCE, as those of the command line do.

use std::io::{IsTerminal as _, Write};

use tracing_subscriber::prelude::*;

use crate::config::LogSettings;

/// Starts the log, on standard error.
pub(super) fn start_log(settings: &LogSettings) {
    // The filter was checked with the other settings.
    let filter: tracing_subscriber::filter::Targets = settings.level.parse().unwrap_or_default();
    // A line that can't be written is lost: to complain of it on the same stream would panic.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    if settings.format == "json" {
        tracing_subscriber::registry()
            .with(layer.json().with_filter(filter))
            .init();
    } else {
        tracing_subscriber::registry()
            .with(layer.with_ansi(is_coloured()).with_filter(filter))
            .init();
    }
}

fn is_coloured() -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    let is_wanted = anstyle_query::clicolor().unwrap_or(true) && std::io::stderr().is_terminal();
    is_wanted || anstyle_query::clicolor_force()
}

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
