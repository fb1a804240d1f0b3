//! The page that a walk prints, and its verdict.
//!
//! Owns: layout, colours (only on a terminal), and the list of deviations.
//!
//! Must not know: the steps.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use saga_testkit::http::{RequestError, Response};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const RED: &str = "\x1b[31m";
const PLAIN: &str = "\x1b[0m";

/// Most characters of an answer on the page; a swap's report on its checks may be longer.
const SHOWN: usize = 600;

/// The page of one walk.
#[derive(Debug, Default)]
pub struct WalkPage {
    is_printed: bool,
    has_colours: bool,
    text: String,
    headings: usize,
    wrong: Vec<String>,
}

impl WalkPage {
    /// An empty page that goes to standard output, with colours if asked.
    pub fn printed(has_colours: bool) -> Self {
        Self {
            is_printed: true,
            has_colours,
            ..Self::default()
        }
    }

    /// An empty page for a test, which reads its text.
    pub fn kept() -> Self {
        Self::default()
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Begins the next numbered step.
    pub fn heading(&mut self, text: &str) -> io::Result<()> {
        self.headings += 1;
        let number = self.headings;
        self.line("", "")?;
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
        let (status, after) = (answer.status, after.unwrap_or_default());
        let colour = if answer.is_success() { GREEN } else { RED };
        let mut text = answer.text();
        if let Some((cut, _)) = text.char_indices().nth(SHOWN) {
            text.truncate(cut);
            text.push_str(" ...");
        }
        self.line(colour, &format!("   {status} {text}{after}"))
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
        let is_in_step = self.headings > 0 && !text.starts_with('\n');
        let indent = if is_in_step { "   " } else { "" };
        self.line("", &format!("{indent}{text}"))
    }

    /// The result of a call; without it the walk ends.
    ///
    /// # Errors
    /// The call failed, or its answer can't be read.
    pub fn need<T>(&mut self, what: &str, answer: &Response, read: Result<T, String>) -> Result<T> {
        let problem = match read {
            Ok(value) if answer.is_success() => return Ok(value),
            Ok(_) => "the status is no 2xx".to_owned(),
            Err(problem) => problem,
        };
        let found = format!("{} {}", answer.status, answer.text());
        let wrong = format!("expected that {what}, found {found} ({problem})");
        self.wrong(&wrong)?;
        bail!("the walk can't go on: {wrong}");
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
        self.wrong(&format!("{what}: expected {expected}, found {found}"))
    }

    /// Prints the verdict at the end.
    pub fn verdict(&mut self) -> io::Result<()> {
        // The verdict belongs to no step.
        self.headings = 0;
        self.line("", "")?;
        if self.wrong.is_empty() {
            return self.line(GREEN, "Every answer, state and amount was as it must be.");
        }
        let wrong = self.wrong.join("\n  ");
        self.line(RED, &format!("Not as it must be:\n  {wrong}"))
    }

    /// True if there are no deviations so far.
    pub fn right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// The exit code of the walk.
    pub fn exit_code(&self) -> ExitCode {
        match self.right() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }
    }

    fn wrong(&mut self, text: &str) -> io::Result<()> {
        self.wrong.push(format!("step {}: {text}", self.headings));
        self.line(RED, &format!("   WRONG {text}"))
    }

    fn line(&mut self, colour: &str, text: &str) -> io::Result<()> {
        let line = match self.has_colours && !colour.is_empty() {
            true => format!("{colour}{text}{PLAIN}\n"),
            false => format!("{text}\n"),
        };
        self.text.push_str(&line);
        if self.is_printed {
            io::stdout().write_all(line.as_bytes())?;
            io::stdout().flush()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: String) -> Response {
        Response {
            status,
            body: body.into(),
            ..Response::default()
        }
    }

    #[test]
    fn colours_are_for_terminals_only() {
        let mut plain = WalkPage::kept();
        plain.heading("x").unwrap();
        assert_eq!(plain.text(), "\n1. x\n");
        let mut coloured = WalkPage {
            has_colours: true,
            ..WalkPage::kept()
        };
        coloured.heading("x").unwrap();
        assert_eq!(coloured.text(), format!("\n{BOLD}1. x{PLAIN}\n"));
    }

    #[test]
    fn a_long_answer_is_cut() {
        let mut page = WalkPage::kept();
        let whole = "é".repeat(SHOWN);
        page.answer(&answer(200, whole.clone()), None).unwrap();
        page.answer(&answer(200, whole.clone() + "é"), None)
            .unwrap();
        assert_eq!(page.text(), format!("   200 {whole}\n   200 {whole} ...\n"));
    }

    #[test]
    fn an_error_status_is_wrong_even_with_a_readable_body() {
        let mut page = WalkPage::kept();
        let failed = page.need("it works", &answer(409, "{}".to_owned()), Ok(1));
        let error = failed.unwrap_err().to_string();
        for said in [page.text(), &error] {
            assert!(
                said.contains("expected that it works, found 409 {}"),
                "{said}"
            );
        }
        assert!(!page.right());
    }
}
