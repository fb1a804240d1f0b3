//! `saga migrate` and `saga quarantine`: the stored states of a running host.

use std::time::Duration;

use bytes::Bytes;
use clap::Subcommand;
use hyper::Method;
use serde::Serialize;
use serde_json::json;

use super::client::AdminClient;
use super::dead_letters::user;
use super::operate::{HostAddress, find, token};
use super::reply::{CommandFailure, json_line, shown, understand};
use super::terminal::ProgressLine;
use super::{exit, say};
use crate::admin::states::{MigrationStep, QuarantineList, Release, UnreadState};
use crate::apidocs::problems::percent_encode;
use crate::base::clock::rfc3339_seconds;
use crate::base::printable::Lines;

/// Longest wait for one answer.
const TIME: Duration = Duration::from_secs(120);

/// Most unreadable states that a report names.
const UNREADABLE: usize = 100;

/// A command for quarantined aggregates.
#[derive(Debug, Subcommand)]
pub(crate) enum QuarantineCommand {
    /// List the aggregates whose states the active rules can't read
    List {
        /// The participant
        #[arg(value_name = "NAME")]
        participant: String,
    },
    /// Let the active rules read the state of an aggregate again; its messages go on if they can
    Release {
        /// The participant
        #[arg(value_name = "NAME")]
        participant: String,
        /// Key of the aggregate
        #[arg(value_name = "KEY")]
        key: String,
    },
}

/// A request about stored states.
#[derive(Debug)]
pub(crate) enum StatesCommand {
    Migrate(String),
    Quarantine(QuarantineCommand),
}

/// The request, and where the host is.
#[derive(Debug)]
pub(crate) struct StatesOperation {
    pub(crate) command: StatesCommand,
    pub(crate) host: HostAddress,
    pub(crate) token_file: Option<std::path::PathBuf>,
    pub(crate) json: bool,
}

/// Sends the request, prints the result and returns the exit code.
pub(crate) fn operate(operation: &StatesOperation) -> u8 {
    run(operation).unwrap_or_else(CommandFailure::report)
}

fn run(operation: &StatesOperation) -> Result<u8, CommandFailure> {
    let token = token(operation.token_file.as_deref())?;
    let client = find(&operation.host, token)?;
    match &operation.command {
        StatesCommand::Migrate(participant) => migrate(&client, participant, operation.json),
        StatesCommand::Quarantine(QuarantineCommand::List { participant }) => {
            let path = format!("/participants/{}/quarantine", percent_encode(participant));
            let reply = client.ask(Method::GET, &path, Bytes::new(), TIME);
            say(&shown(reply, operation.json, list)?);
            Ok(exit::DONE)
        }
        StatesCommand::Quarantine(QuarantineCommand::Release { participant, key }) => {
            release(&client, participant, key, operation.json)
        }
    }
}

/// The result of an eager migration.
#[derive(Serialize)]
struct Migrated {
    participant: String,
    state_version: u32,
    migrated: u64,
    unreadable: Vec<UnreadState>,
    /// Unreadable states beyond those that are named.
    unnamed: u64,
    left: u64,
}

impl Migrated {
    fn start(step: &MigrationStep) -> Self {
        Self {
            participant: step.participant.clone(),
            state_version: step.state_version,
            migrated: 0,
            unreadable: Vec::new(),
            unnamed: 0,
            left: 0,
        }
    }

    fn add(mut self, step: MigrationStep) -> Self {
        self.migrated += step.migrated;
        self.left = step.left;
        for unread in step.unreadable {
            if self.unreadable.len() < UNREADABLE {
                self.unreadable.push(unread);
            } else {
                self.unnamed += 1;
            }
        }
        self
    }

    fn progress(&self) -> String {
        format!("{} states migrated, {} are left", self.migrated, self.left)
    }

    fn text(&self) -> String {
        let mut text = Lines::default();
        text.add(format_args!(
            "{}: {} states migrated to version {}, {} of older versions are left",
            self.participant, self.migrated, self.state_version, self.left
        ));
        for unread in &self.unreadable {
            text.add(format_args!(
                "  {} can't be read: {}",
                unread.key, unread.reason
            ));
        }
        if self.unnamed > 0 {
            text.add(format_args!(
                "  and {} more; `saga quarantine list {}` has them",
                self.unnamed, self.participant
            ));
        }
        text.text()
    }
}

fn migrate(client: &AdminClient, participant: &str, json: bool) -> Result<u8, CommandFailure> {
    let sum = migrate_all(client, participant, json)?;
    say(&if json { json_line(&sum)? } else { sum.text() });
    Ok(match sum.left {
        0 => exit::DONE,
        _ => exit::COMPONENT,
    })
}

/// Asks for one step after the other, so that a client that ends stops the migration.
fn migrate_all(
    client: &AdminClient,
    participant: &str,
    json: bool,
) -> Result<Migrated, CommandFailure> {
    let first = format!("/participants/{}/migration", percent_encode(participant));
    let mut path = first.clone();
    let mut sum: Option<Migrated> = None;
    loop {
        let done = sum.as_ref().map_or("starting".into(), Migrated::progress);
        let progress = ProgressLine::of(&format!("{participant}: {done}"));
        let reply = client.ask(Method::POST, &path, Bytes::new(), TIME);
        drop(progress);
        let (step, _) = understand::<MigrationStep>(reply, json)?;
        let next = step.next.clone();
        let so_far = sum.unwrap_or_else(|| Migrated::start(&step)).add(step);
        let Some(next) = next else {
            return Ok(so_far);
        };
        sum = Some(so_far);
        path = format!("{first}?after={}", percent_encode(&next));
    }
}

fn list(list: &QuarantineList) -> String {
    let mut text = Lines::default();
    text.add(format_args!(
        "{}: {} quarantined",
        list.participant, list.count
    ));
    for aggregate in &list.aggregates {
        text.add(format_args!(
            "  {} since {}: {}",
            aggregate.key,
            rfc3339_seconds(aggregate.since),
            aggregate.reason
        ));
    }
    let unnamed = list.count.saturating_sub(list.aggregates.len() as u64);
    if unnamed > 0 {
        text.add(format_args!("  and {unnamed} more"));
    }
    for request in &list.requests {
        let outcome = match (request.released, &request.reason) {
            (Some(true), _) => "released".to_owned(),
            (Some(false), reason) => {
                format!("not released: {}", reason.as_deref().unwrap_or_default())
            }
            (None, _) => "the outcome is not known".to_owned(),
        };
        text.add(format_args!(
            "{}: {} asked for the release of {}: {outcome}",
            rfc3339_seconds(request.time),
            request.by,
            request.key
        ));
    }
    text.text()
}

fn release(
    client: &AdminClient,
    participant: &str,
    key: &str,
    json: bool,
) -> Result<u8, CommandFailure> {
    let path = format!(
        "/participants/{}/quarantine/release",
        percent_encode(participant)
    );
    let body = json!({"key": key, "by": user()}).to_string();
    let reply = client.ask(Method::POST, &path, body.into(), TIME);
    let (release, _) = understand::<Release>(reply, json)?;
    if json {
        say(&json_line(&release)?);
    } else {
        let mut text = Lines::default();
        match &release.reason {
            None => text.add(format_args!("{key}: released; its messages go on")),
            Some(reason) => text.add(format_args!("{key}: stays quarantined: {reason}")),
        }
        say(&text.text());
    }
    Ok(match release.released {
        true => exit::DONE,
        false => exit::COMPONENT,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::states::{PastRelease, QuarantinedAggregate};

    #[test]
    fn a_report_names_100_unreadable_states_and_counts_the_others() {
        let step = |keys: std::ops::Range<u64>| MigrationStep {
            participant: "order".into(),
            state_version: 2,
            migrated: 5,
            unreadable: keys
                .map(|key| UnreadState {
                    key: key.to_string(),
                    reason: "no number".into(),
                })
                .collect(),
            left: 103,
            next: None,
        };
        let sum = Migrated::start(&step(0..0)).add(step(0..60));
        assert!(!sum.text().contains("more"), "{}", sum.text());
        let sum = sum.add(step(60..103));
        let text = sum.text();
        assert!(
            text.starts_with(
                "order: 10 states migrated to version 2, 103 of older versions are left\n"
            ),
            "{text}"
        );
        assert!(text.contains("  99 can't be read: no number\n"), "{text}");
        assert!(!text.contains("  100 can't"), "{text}");
        assert!(
            text.contains("and 3 more; `saga quarantine list order`"),
            "{text}"
        );
        assert_eq!((sum.unreadable.len(), sum.unnamed), (100, 3));
    }

    #[test]
    fn a_list_counts_the_aggregates_that_it_does_not_name() {
        let mut quarantine = QuarantineList {
            participant: "order".into(),
            count: 1,
            aggregates: vec![QuarantinedAggregate {
                key: "7".into(),
                reason: "no number".into(),
                since: 0,
            }],
            requests: vec![PastRelease {
                key: "7".into(),
                by: "ann".into(),
                time: 0,
                released: None,
                reason: None,
            }],
        };
        let text = list(&quarantine);
        assert!(!text.contains("more"), "{text}");
        let says = "Z: ann asked for the release of 7: the outcome is not known";
        assert!(text.contains(says), "{text}");
        quarantine.count = 1_001;
        let text = list(&quarantine);
        assert!(text.contains("  and 1000 more\n"), "{text}");
    }
}
