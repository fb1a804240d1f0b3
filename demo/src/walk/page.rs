//! The page that a walk prints, and its verdict.
//!
//! Owns: layout, colours (only on a terminal), and the list of deviations.
//!
//! Must not know: the steps.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::{Context, Result};
use saga_testkit::http::{RequestError, Response};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Most characters of an answer on the page; a swap's report on its checks may be longer.
const SHOWN: usize = 600;

/// The printed page.
#[derive(Debug)]
pub struct WalkPage<W> {
    out: W,
    colour: bool,
    headings: usize,
    wrong: Vec<String>,
}

impl<W: Write> WalkPage<W> {
    /// An empty page, with colours if it goes to a terminal.
    pub fn new(out: W, colour: bool) -> Self {
        Self {
            out,
            colour,
            headings: 0,
            wrong: Vec::new(),
        }
    }

    /// Begins the next numbered step.
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

    /// The position of a record.
    pub fn record(&mut self, place: &str) -> io::Result<()> {
        self.line(GREEN, &format!("   {place}"))
    }

    /// An answer, optionally with its time.
    pub fn answer(&mut self, answer: &Response, after: Option<Duration>) -> io::Result<()> {
        let after = after.map(|after| format!("   (after {:.1} ms)", after.as_secs_f64() * 1e3));
        let status = answer.status;
        let colour = if answer.is_success() { GREEN } else { RED };
        let mut text = answer.text();
        if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
            text.truncate(cut);
            text.push_str(" ...");
        }
        self.line(
            colour,
            &format!("   {status} {text}{}", after.unwrap_or_default()),
        )
    }

    /// An answer that there must be: without it the walk ends.
    ///
    /// # Errors
    /// There is none.
    pub fn answered(&mut self, answer: Result<Response, RequestError>) -> Result<Response> {
        let answer = answer.context("the walk can't go on")?;
        self.answer(&answer, None)?;
        Ok(answer)
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

    /// Returns the result of a call; notes a deviation if it has none.
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

    /// Notes a deviation if a value is not the expected one.
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

    /// Prints the verdict at the end.
    pub fn verdict(&mut self) -> io::Result<()> {
        // The verdict belongs to no step.
        self.headings = 0;
        writeln!(self.out)?;
        if self.right() {
            return self.line(GREEN, "Every answer, state and amount was as it must be.");
        }
        self.line(RED, "Not as it must be:")?;
        for wrong in std::mem::take(&mut self.wrong) {
            self.line(RED, &format!("  {wrong}"))?;
            self.wrong.push(wrong);
        }
        Ok(())
    }

    /// True if there are no deviations so far.
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
impl WalkPage<Vec<u8>> {
    /// The text so far.
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
        let mut plain = WalkPage::new(Vec::new(), false);
        plain.heading("x").unwrap();
        assert_eq!(plain.text(), "\n1. x\n");
        let mut coloured = WalkPage::new(Vec::new(), true);
        coloured.heading("x").unwrap();
        assert!(coloured.text().contains(BOLD) && coloured.text().contains(PLAIN));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let mut page = WalkPage::new(Vec::new(), false);
        let answer = |length| Response {
            status: 200,
            body: Bytes::from("é".repeat(length)),
            ..Response::default()
        };
        page.answer(&answer(SHOWN), None).unwrap();
        page.answer(&answer(SHOWN + 1), None).unwrap();
        let whole = "é".repeat(SHOWN);
        assert_eq!(page.text(), format!("   200 {whole}\n   200 {whole} ...\n"));
    }

    #[test]
    fn an_error_status_is_wrong_even_with_a_readable_body() {
        let mut page = WalkPage::new(Vec::new(), false);
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
