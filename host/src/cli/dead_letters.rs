//! `saga dead-letters`: lists, shows, redrives and discards dead letters.
//!
//! With `--json` each letter that is redriven or discarded is one line, printed when it is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use clap::{Args, Subcommand};
use hyper::Method;
use serde_json::json;

use super::client::{AdminClient, AdminReply};
use super::letter_table;
use super::operate::{
    HostAddress, ask_or_read, find, read_component, stored_at, token, unreadable,
};
use super::reply::{CommandFailure, json_line, shown, understand};
use super::{complain, exit, named_file, say};
use crate::admin::dead_letters::{LetterQuery, one, page};
use crate::admin::letter_report::{AllLetters, Letter, LetterDetail, LetterPage, LetterState};
use crate::apidocs::problems::percent_encode;
use crate::base::printable;
use crate::rollout::letter_trial::LetterTrial;
use crate::store::dead_letters::LetterFilter;
use crate::store::{ReadStore, StoreLocation};

/// Longest wait for an answer. A host tries a redrive for ten seconds before it answers.
const TIME: Duration = Duration::from_secs(60);

/// Letters of one page when all are wanted; no host gives more.
const PAGE: usize = 1_000;

/// The commands on dead letters.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum LettersCommand {
    /// List the dead letters of a participant or of all, the oldest first
    List {
        /// The participant [default: all]
        #[arg(value_name = "NAME")]
        participant: Option<String>,
        #[command(flatten)]
        which: LetterFilters,
        /// Include those that were decided or discarded
        #[arg(long)]
        ended: bool,
        /// Begin after this number
        #[arg(long, value_name = "NUMBER", default_value_t = 0)]
        after: i64,
        /// The most to list, 1 to 1,000
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = limit)]
        limit: usize,
    },
    /// Show a dead letter: its record and its history
    Show {
        /// The participant
        #[arg(value_name = "NAME")]
        participant: String,
        /// The number of the letter
        #[arg(value_name = "NUMBER")]
        letter: i64,
    },
    /// Decide dead letters again, and then the messages that wait behind them, in order
    Redrive {
        /// The participant
        #[arg(value_name = "NAME")]
        participant: String,
        #[command(flatten)]
        chosen: ChosenLetters,
        /// A file with the value to decide instead of the record's own; - for standard input
        #[arg(long, value_name = "FILE", conflicts_with = "all")]
        edit: Option<PathBuf>,
        /// With --dry-run: show what this component would decide on them
        #[arg(
            long,
            value_name = "PATH",
            requires = "dry_run",
            conflicts_with = "edit"
        )]
        through: Option<PathBuf>,
        /// Decide nothing; with --through
        #[arg(long, requires = "through")]
        dry_run: bool,
    },
    /// Drop dead letters, and decide the messages that wait behind them
    Discard {
        /// The participant
        #[arg(value_name = "NAME")]
        participant: String,
        #[command(flatten)]
        chosen: ChosenLetters,
    },
}

/// A command on dead letters, and the host that carries it out.
#[derive(Debug)]
pub(crate) struct LettersOperation {
    pub(crate) command: LettersCommand,
    pub(crate) host: HostAddress,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) json: bool,
}

/// The filters of a list.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LetterFilters {
    /// Those of this aggregate
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Those with this reason: malformed, retries-exhausted, trap, …
    #[arg(long, value_name = "WORD")]
    reason: Option<String>,
    /// Those that were given up longer ago than this
    #[arg(long, value_name = "SECONDS")]
    older_than: Option<u64>,
}

/// Dead letters by their numbers, or all that match the filters.
#[derive(Debug, Clone, Args)]
pub(crate) struct ChosenLetters {
    /// The numbers of the letters
    #[arg(
        value_name = "NUMBER",
        required_unless_present = "all",
        conflicts_with = "all"
    )]
    letters: Vec<i64>,
    /// All open letters; --key, --reason and --older-than narrow them
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    which: LetterFilters,
}

/// Runs the command, prints its result and returns the exit code.
pub(crate) fn operate(operation: &LettersOperation) -> u8 {
    run(operation).unwrap_or_else(CommandFailure::report)
}

fn run(operation: &LettersOperation) -> Result<u8, CommandFailure> {
    let LettersOperation { host, json, .. } = operation;
    let (token, json) = (token(operation.token_file.as_deref())?, *json);
    match &operation.command {
        LettersCommand::List {
            participant,
            which,
            ended,
            after,
            limit,
        } => {
            let (page, ended) = ((*after, *limit), *ended);
            let participant = participant.as_deref();
            let path = which.path(participant, page, ended);
            let of_host = |reply| match participant {
                Some(_) => shown(reply, json, letter_table::page),
                None => shown(reply, json, letter_table::all),
            };
            let query = which.query(page, ended);
            let of_store = |data: &StoreLocation| match participant {
                Some(participant) => stored_list(data, participant, &query, json),
                None => stored_lists(data, &query, json),
            };
            say(&ask_or_read((host, token), &path, of_host, of_store)?);
            Ok(exit::DONE)
        }
        LettersCommand::Show {
            participant,
            letter,
        } => {
            let path = letter_path(participant, *letter);
            let of_host = |reply| shown(reply, json, letter_table::detail);
            let of_store = |data: &StoreLocation| stored_letter(data, participant, *letter, json);
            say(&ask_or_read((host, token), &path, of_host, of_store)?);
            Ok(exit::DONE)
        }
        LettersCommand::Redrive {
            participant,
            chosen,
            edit,
            through,
            dry_run: _,
        } => {
            if let Some(path) = through {
                let component = read_component(path)?;
                let client = find(host, token)?;
                return try_on(&client, participant, chosen, &component, json);
            }
            let value = edit.as_deref().map(read_value).transpose()?;
            if value.is_some() && chosen.letters.len() != 1 {
                let said = "--edit goes with one dead letter";
                return Err(CommandFailure::new(exit::USAGE, said));
            }
            let client = find(host, token)?;
            each(&client, participant, chosen, ("redrive", value), json)
        }
        LettersCommand::Discard {
            participant,
            chosen,
        } => {
            let client = find(host, token)?;
            each(&client, participant, chosen, ("discard", None), json)
        }
    }
}

/// The numbers of these letters.
fn chosen_letters(
    client: &AdminClient,
    participant: &str,
    chosen: &ChosenLetters,
    json: bool,
) -> Result<Vec<i64>, CommandFailure> {
    let letters = match (chosen.all, chosen.which.is_any()) {
        (true, _) => open_letters(client, participant, &chosen.which)?,
        (false, false) => chosen.letters.clone(),
        (false, true) => {
            let said = "--key, --reason and --older-than go with --all, not with numbers";
            return Err(CommandFailure::new(exit::USAGE, said));
        }
    };
    if letters.is_empty() && !json {
        say("no open dead letter matches\n");
    }
    Ok(letters)
}

/// Shows what a component would decide on each of these letters; returns the exit code for a
/// component if it would not decide on one.
fn try_on(
    client: &AdminClient,
    participant: &str,
    chosen: &ChosenLetters,
    component: &Bytes,
    json: bool,
) -> Result<u8, CommandFailure> {
    let mut worst = exit::DONE;
    for letter in chosen_letters(client, participant, chosen, json)? {
        let path = format!("{}/trial", letter_path(participant, letter));
        let reply = client.ask(Method::POST, &path, component.clone(), TIME);
        let (trial, body) = understand::<LetterTrial>(reply, json)?;
        match json {
            true => say(&format!("{}\n", printable::json(body))),
            false => say(&letter_table::trial(&trial)),
        }
        if trial.would_decide.is_none() {
            worst = exit::COMPONENT;
        }
    }
    Ok(worst)
}

/// Redrives or discards each of these letters. A letter that fails does not hold up the others;
/// returns the highest exit code of all.
fn each(
    client: &AdminClient,
    participant: &str,
    chosen: &ChosenLetters,
    (what, value): (&str, Option<String>),
    json: bool,
) -> Result<u8, CommandFailure> {
    let letters = chosen_letters(client, participant, chosen, json)?;
    let by = user();
    let is_one = letters.len() == 1;
    let mut worst = exit::DONE;
    for letter in letters {
        let path = format!("{}/{what}", letter_path(participant, letter));
        let wish = match &value {
            Some(value) => json!({"by": by, "value": value}),
            None => json!({"by": by}),
        };
        let reply = client.ask(Method::POST, &path, wish.to_string().into(), TIME);
        let reply = reply.map(|reply| numbered(reply, letter));
        match understand::<LetterDetail>(reply, json) {
            Ok((detail, body)) => {
                match json {
                    true => say(&format!("{}\n", printable::json(body))),
                    false => say(&letter_table::outcome(&detail.letter)),
                }
                worst = worst.max(code(&detail.letter));
            }
            Err(failure) if is_one || !may_go_on(failure.code) => return Err(failure),
            // Another operator was faster.
            Err(failure) if chosen.all && failure.code == exit::USAGE => {}
            Err(failure) => {
                for line in &failure.said {
                    complain(&format!("{letter}: {line}"));
                }
                worst = worst.max(failure.code);
            }
        }
    }
    Ok(worst)
}

/// The reply with the number of its letter as `id`, which problem details lack.
fn numbered(reply: AdminReply, letter: i64) -> AdminReply {
    if reply.status.is_success() {
        return reply;
    }
    let Ok(mut problem) = serde_json::from_slice::<serde_json::Map<_, _>>(&reply.body) else {
        return reply;
    };
    problem.insert("id".into(), letter.into());
    let body = serde_json::Value::Object(problem).to_string().into();
    AdminReply { body, ..reply }
}

/// True if the next letter can be tried after this exit code.
fn may_go_on(code: u8) -> bool {
    matches!(code, exit::USAGE | exit::COMPONENT | exit::TRY_AGAIN)
}

/// The exit code for a letter in this state after a request.
fn code(letter: &Letter) -> u8 {
    match letter.state {
        LetterState::Decided | LetterState::Discarded => exit::DONE,
        LetterState::Open => exit::COMPONENT,
        LetterState::Redriving | LetterState::Discarding => exit::TRY_AGAIN,
    }
}

/// The numbers of the open letters that match, the oldest first.
fn open_letters(
    client: &AdminClient,
    participant: &str,
    which: &LetterFilters,
) -> Result<Vec<i64>, CommandFailure> {
    let mut letters = Vec::new();
    let mut after = 0;
    loop {
        let path = which.path(Some(participant), (after, PAGE), false);
        let reply = client.ask(Method::GET, &path, Bytes::new(), TIME);
        let (page, _) = understand::<LetterPage>(reply, false)?;
        letters.extend(page.letters.iter().map(|letter| letter.id));
        match page.next {
            Some(next) => after = next,
            None => return Ok(letters),
        }
    }
}

impl LetterFilters {
    fn is_any(&self) -> bool {
        self.key.is_some() || self.reason.is_some() || self.older_than.is_some()
    }

    /// The path of their list.
    fn path(&self, participant: Option<&str>, (after, limit): (i64, usize), ended: bool) -> String {
        let mut path = match participant {
            Some(name) => format!("/participants/{}", percent_encode(name)),
            None => String::new(),
        };
        path.push_str(&format!(
            "/dead-letters?after={after}&limit={limit}&ended={ended}"
        ));
        let texts = [("key", &self.key), ("reason", &self.reason)];
        for (name, value) in texts {
            if let Some(value) = value {
                path.push_str(&format!("&{name}={}", percent_encode(value)));
            }
        }
        if let Some(seconds) = self.older_than {
            path.push_str(&format!("&older-than={seconds}"));
        }
        path
    }

    fn query(&self, (after, limit): (i64, usize), with_ended: bool) -> LetterQuery {
        LetterQuery {
            filter: LetterFilter {
                aggregate: self.key.clone(),
                reason: self.reason.clone(),
                before: self.older_than.map(LetterFilter::before),
                with_ended,
            },
            after,
            limit,
        }
    }
}

fn letter_path(participant: &str, letter: i64) -> String {
    let participant = percent_encode(participant);
    format!("/participants/{participant}/dead-letters/{letter}")
}

/// The limit of a list.
fn limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=PAGE) => Ok(limit),
        _ => Err(format!("give a number from 1 to {PAGE}")),
    }
}

/// The author of a request: the user that the environment names, or else the user's number.
pub(super) fn user() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok());
    user.filter(|user| !user.is_empty())
        .unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()))
}

/// The value in a file.
fn read_value(path: &Path) -> Result<String, CommandFailure> {
    named_file::read_value(path).map_err(|reason| {
        CommandFailure::new(exit::USAGE, format!("--edit {}: {reason}", path.display()))
    })
}

fn stored_list(
    data: &StoreLocation,
    participant: &str,
    query: &LetterQuery,
    json: bool,
) -> Result<String, CommandFailure> {
    let (reading, row) = stored(data, participant)?;
    let page = page(&*reading, (participant, row), query).map_err(unreadable)?;
    match json {
        true => json_line(&page),
        false => Ok(letter_table::page(&page)),
    }
}

/// The dead letters of all participants in a store.
fn stored_lists(
    data: &StoreLocation,
    query: &LetterQuery,
    json: bool,
) -> Result<String, CommandFailure> {
    let reading = stored_at(data)?;
    let mut pages = Vec::new();
    for name in reading.participants().map_err(unreadable)? {
        if let Some(row) = reading.participant(&name).map_err(unreadable)? {
            pages.push(page(&*reading, (&name, row), query).map_err(unreadable)?);
        }
    }
    let all = AllLetters::of(pages, query.limit);
    match json {
        true => json_line(&all),
        false => Ok(letter_table::all(&all)),
    }
}

fn stored_letter(
    data: &StoreLocation,
    participant: &str,
    letter: i64,
    json: bool,
) -> Result<String, CommandFailure> {
    let (reading, row) = stored(data, participant)?;
    let detail = one(&*reading, row, letter).map_err(unreadable)?;
    let detail = detail.ok_or_else(|| {
        let said = format!("{participant} has no dead letter {letter}");
        CommandFailure::new(exit::USAGE, said)
    })?;
    match json {
        true => json_line(&detail),
        false => Ok(letter_table::detail(&detail)),
    }
}

/// The store of a data directory without a reachable host, and the row of the participant.
fn stored(
    data: &StoreLocation,
    participant: &str,
) -> Result<(Box<dyn ReadStore>, i64), CommandFailure> {
    let reading = stored_at(data)?;
    let row = reading.participant(participant).map_err(unreadable)?;
    let row = row.ok_or_else(|| {
        let said = format!("no participant `{participant}` has run on {}", data);
        CommandFailure::new(exit::USAGE, said)
    })?;
    Ok((reading, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_has_1_to_1_000_letters() {
        assert_eq!((limit("1"), limit("1000")), (Ok(1), Ok(1_000)));
        for out_of_range in ["0", "1001", "-1", "ten"] {
            let refused = limit(out_of_range).unwrap_err();
            assert_eq!(refused, "give a number from 1 to 1000");
        }
    }
}
