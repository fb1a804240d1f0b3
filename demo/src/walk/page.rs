//! The page that a walk prints, and its verdict.
//!
//! Owns: layout, colours (only where the caller found a terminal), and the list of what was expected and
//! not found.
//!
//! Must not know: which steps there are.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use saga_testkit::http::Response;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// The page that a walk writes.
#[derive(Debug)]
pub struct Page<W> {
    out: W,
    colour: bool,
    headings: usize,
    wrong: Vec<String>,
}

impl<W: Write> Page<W> {
    /// An empty page; `colour` only for a terminal.
    pub fn new(out: W, colour: bool) -> Self {
        Self {
            out,
            colour,
            headings: 0,
            wrong: Vec::new(),
        }
    }

    /// Starts the next numbered step.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        self.headings += 1;
        let number = self.headings;
        writeln!(self.out)?;
        self.line(BOLD, &format!("{number}. {text}"))
    }

    /// A command that a reader can paste.
    pub fn request(&mut self, command: &str) -> io::Result<()> {
        self.line(DIM, &format!("   $ {command}"))
    }

    /// Where a record was found.
    pub fn record(&mut self, place: &str) -> io::Result<()> {
        self.line(GREEN, &format!("   {place}"))
    }

    /// The answer, and the time that it took if that is of interest.
    pub fn answer(&mut self, answer: &Response, after: Option<Duration>) -> io::Result<()> {
        let after = after.map(|after| format!("   (after {:.1} ms)", after.as_secs_f64() * 1e3));
        let status = answer.status;
        let colour = if answer.is_success() { GREEN } else { RED };
        self.line(
            colour,
            &format!("   {status} {}{}", answer.text(), after.unwrap_or_default()),
        )
    }

    /// A sentence.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        let indent = if self.headings == 0 || text.starts_with('\n') {
            ""
        } else {
            "   "
        };
        self.line("", &format!("{indent}{text}"))
    }

    /// Notes it if an answer is no 2xx or does not read as agreed; otherwise gives what was read.
    pub fn check<T>(
        &mut self,
        what: &str,
        answer: &Response,
        read: Result<T, String>,
    ) -> io::Result<Option<T>> {
        let problem = match read {
            Ok(value) if answer.is_success() => return Ok(Some(value)),
            Ok(_) => "the status is no 2xx".to_owned(),
            Err(problem) => problem,
        };
        let found = format!("{} {}", answer.status, answer.text());
        self.wrong(format!("expected that {what}, found {found} ({problem})"))?;
        Ok(None)
    }

    /// Notes it if a value is not what it must be.
    pub fn must_be<T: PartialEq + Display>(
        &mut self,
        what: &str,
        expected: T,
        found: T,
    ) -> io::Result<()> {
        if expected == found {
            return Ok(());
        }
        self.wrong(format!("{what}: expected {expected}, found {found}"))
    }

    /// Says at the end whether everything was as it must be.
    pub fn verdict(&mut self) -> io::Result<()> {
        // What follows belongs to no step.
        self.headings = 0;
        writeln!(self.out)?;
        if self.right() {
            return self.line(GREEN, "Every answer, state and credit was as it must be.");
        }
        self.line(RED, "Not as it must be:")?;
        for wrong in std::mem::take(&mut self.wrong) {
            self.line(RED, &format!("  {wrong}"))?;
            self.wrong.push(wrong);
        }
        Ok(())
    }

    /// True while everything was as it must be.
    pub fn right(&self) -> bool {
        self.wrong.is_empty()
    }

    fn wrong(&mut self, text: String) -> io::Result<()> {
        self.line(RED, &format!("   WRONG {text}"))?;
        self.wrong.push(format!("step {}: {text}", self.headings));
        Ok(())
    }

    fn line(&mut self, colour: &str, text: &str) -> io::Result<()> {
        if self.colour && !colour.is_empty() {
            writeln!(self.out, "{colour}{text}{PLAIN}")?;
        } else {
            writeln!(self.out, "{text}")?;
        }
        self.out.flush()
    }
}

#[cfg(test)]
impl Page<Vec<u8>> {
    /// Everything written so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn colours_are_for_terminals_only() {
        let mut plain = Page::new(Vec::new(), false);
        plain.heading("x").unwrap();
        assert_eq!(plain.text(), "\n1. x\n");
        let mut coloured = Page::new(Vec::new(), true);
        coloured.heading("x").unwrap();
        assert!(coloured.text().contains(BOLD) && coloured.text().contains(PLAIN));
    }

    #[test]
    fn an_error_status_is_wrong_even_with_a_readable_body() {
        let mut page = Page::new(Vec::new(), false);
        let answer = Response {
            status: 409,
            body: Bytes::from_static(b"{}"),
            ..Response::default()
        };
        assert_eq!(page.check("it works", &answer, Ok(1)).unwrap(), None);
        assert!(!page.right());
        assert!(
            page.text().contains("expected that it works, found 409 {}"),
            "{}",
            page.text()
        );
    }
}
