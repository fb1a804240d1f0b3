//! The log, on standard error.
//!
//! Nothing waits for whoever reads it. A line is handed to a thread that writes; while that can't, lines wait in a bounded queue, and
//! beyond the bound they are dropped, counted, and said as soon as there is room again. At the end of the process the last
//! lines are given some time. No text in a line can begin another line or steer a terminal; see [`crate::base::printable`].
//!
//! # Layout
//!
//! - this file: the log of the process
//! - `queue`: the lines that wait, and the thread that writes them
//! - `format`: how the fields of a line are written
//! - `panics`: a panic that nobody catches is told, and ends the process

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

/// The lines of this process, once there is one.
static QUEUE: OnceLock<Queue> = OnceLock::new();

/// How long the end of the process waits while nobody takes a line, and in all.
const STILL: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(5);

/// Starts the log with this filter; as JSON, one object for each line, or for people.
///
/// # Errors
/// When its thread can't be made.
pub fn start(filter: Targets, is_json: bool) -> io::Result<()> {
    queue()?;
    // A line that can't be written is lost: to complain of it on the same stream would panic.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(Lines { is_json })
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

/// The queue of this process, started where it is not.
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

/// Lines that were dropped since the process began.
#[must_use]
pub fn dropped() -> u64 {
    QUEUE.get().map_or(0, Queue::dropped)
}

/// Writes what is wrong to standard error, in the order of the log and never dropped. Does not wait for its reader: see
/// [`flush`]. Further lines of the text are indented, so that none passes for another message.
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

/// Writes a text of our own to standard error as it is, as [`complain`] does.
pub fn print(text: String) {
    match queue() {
        Ok(queue) => queue.push_always(text),
        // The machine has no thread for it. Not `eprintln!`, which panics when nobody reads.
        Err(_) => drop(io::stderr().write_all(text.as_bytes())),
    }
}

/// Waits until what was logged is written; not for a reader that takes nothing.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(STILL, LONGEST);
    }
}

/// Ends the process, after the last lines.
pub fn exit(code: i32) -> ! {
    flush();
    std::process::exit(code)
}

/// Whether standard error takes colours.
#[must_use]
pub fn is_coloured() -> bool {
    if anstyle_query::no_color() {
        return false;
    }
    let is_wanted = anstyle_query::clicolor().unwrap_or(true) && io::stderr().is_terminal();
    is_wanted || anstyle_query::clicolor_force()
}

/// Where the subscriber writes: each line comes as a whole.
#[derive(Clone, Copy)]
struct Lines {
    is_json: bool,
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        *self
    }
}

impl io::Write for Lines {
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
