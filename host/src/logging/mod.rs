//! The log, on standard error.
//!
//! No thread waits for the reader of standard error. A line is handed to a writing thread; while
//! that one is blocked, lines wait in a bounded queue, and beyond the bound they are dropped,
//! counted, and reported as soon as there is room again. At exit the last lines get some time. No
//! text in a line can begin another line or control a terminal; see [`crate::base::printable`].
//!
//! # Layout
//!
//! - this file: the log of the process
//! - `queue`: the waiting lines, and the thread that writes them
//! - `format`: the fields of a line
//! - `panics`: the report of an uncaught panic, which ends the process

mod format;
mod panics;
mod queue;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::prelude::*;

use self::format::EscapedFields;
use self::queue::Queue;
use crate::base::printable;

pub use self::panics::die_on_panic;

/// The queue of this process, once it is started.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// Time that the exit waits for a reader that takes no line, and in all.
const STILL: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// Starts the log with this filter, as JSON with one object per line, or for people.
///
/// # Errors
/// If its thread can't be started.
pub fn start(filter: Targets, is_json: bool) -> io::Result<()> {
    queue()?;
    // A line that can't be written is lost: reporting that on the same stream would panic.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(LogWriter { is_json })
        .log_internal_errors(false);
    if is_json {
        tracing_subscriber::registry()
            .with(layer.json().with_filter(filter))
            .init();
    } else {
        let layer = layer.fmt_fields(EscapedFields).with_ansi(is_coloured());
        tracing_subscriber::registry()
            .with(layer.with_filter(filter))
            .init();
    }
    Ok(())
}

/// The queue of this process; starts it if necessary.
fn queue() -> io::Result<&'static Queue> {
    if let Some(queue) = QUEUE.get() {
        return Ok(queue);
    }
    let queue = Queue::start(io::stderr(), |dropped| {
        tracing::warn!(
            dropped,
            "lines of the log were dropped, because nobody read standard error"
        );
    })?;
    Ok(QUEUE.get_or_init(|| queue))
}

/// Number of lines dropped since the process began.
#[must_use]
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Writes an error to standard error, in the order of the log and never dropped. Does not wait for
/// the reader: see [`flush`]. Further lines of the text are indented, so that none can be taken for
/// another message.
pub fn complain(what: &str) {
    let mut text = String::from("saga: ");
    for (number, part) in what.lines().enumerate() {
        if number > 0 {
            text.push_str("\n  ");
        }
        text.push_str(&printable::escaped(part));
    }
    text.push('\n');
    print(text);
}

/// Writes a text of the host's own to standard error unchanged, otherwise like [`complain`].
pub fn print(text: String) {
    match queue() {
        Ok(queue) => queue.push_always(text),
        // No thread could be started. Not `eprintln!`, which panics if standard error is closed.
        Err(_) => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until the logged lines are written; gives up on a reader that takes nothing.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(STILL, LONGEST);
    }
}

/// Ends the process after flushing the log.
pub fn exit(code: i32) -> ! {
    flush();
    std::process::exit(code)
}

/// True if standard error takes colours.
#[must_use]
pub fn is_coloured() -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    let is_wanted = anstyle_query::clicolor().unwrap_or(true) && io::stderr().is_terminal();
    is_wanted || anstyle_query::clicolor_force()
}

/// The subscriber's writer; each call is one whole line.
#[derive(Clone, Copy)]
struct LogWriter {
    is_json: bool,
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

impl io::Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if let Some(queue) = QUEUE.get() {
            let text = String::from_utf8_lossy(line).into_owned();
            queue.push(if self.is_json {
                printable::json(text)
            } else {
                text
            });
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
