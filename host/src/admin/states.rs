//! Stored states over the admin interface: eager migration, and quarantined aggregates.
//!
//! A state is migrated by a turn of its own, so it may be done under load: turns of the same
//! aggregate come before or after it.

use std::sync::Arc;

use saga_contract::reason::shorten;
use saga_core::rules::Fault;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::access::Operator;
use super::dead_letters::of_store;
use crate::apidocs::problems::Kind;
use crate::http::problem::{Problem, try_later};
use crate::http::reply::store_failed;
use crate::store::history::{self, ReleaseOutcome};
use crate::turn::{Answer, Participant};

/// States that one request migrates at most.
const STEP: usize = 500;

/// States that are migrated at the same time: their commits share a transaction.
const AT_ONCE: usize = 16;

/// Most quarantined aggregates in a list.
const LISTED: usize = 1_000;

/// A step of an eager migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MigrationStep {
    /// The participant.
    pub participant: String,
    /// Version of the shape of states to which it migrates.
    pub state_version: u32,
    /// States that were migrated in this step.
    pub migrated: u64,
    /// Aggregates whose states can't be read. They are quarantined.
    pub unreadable: Vec<UnreadState>,
    /// States of older versions that are left, unreadable ones included.
    pub left: u64,
    /// The key after which the next step begins; `None` after the last step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An aggregate whose state the active rules can't read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnreadState {
    /// Its key.
    pub key: String,
    /// The reason.
    pub reason: String,
}

/// The quarantined aggregates of a participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineList {
    /// The participant.
    pub participant: String,
    /// Their number.
    pub count: u64,
    /// Those that have been quarantined longest.
    pub aggregates: Vec<QuarantinedAggregate>,
    /// The latest requests to release an aggregate, latest first.
    pub requests: Vec<PastRelease>,
}

/// A former request to release an aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRelease {
    /// Key of the aggregate.
    pub key: String,
    /// The operator.
    pub by: String,
    /// Time, in milliseconds since the Unix epoch.
    pub time: u64,
    /// True if the state was read; `None` if the host ended before that was known.
    pub released: Option<bool>,
    /// The reason why its state could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl PastRelease {
    fn of(request: history::ReleaseRequest) -> Self {
        let (released, reason) = match request.outcome {
            ReleaseOutcome::Unknown => (None, None),
            ReleaseOutcome::Released => (Some(true), None),
            ReleaseOutcome::Failed(reason) => (Some(false), Some(reason)),
        };
        Self {
            key: request.key,
            by: request.by,
            time: request.time,
            released,
            reason,
        }
    }
}

/// A quarantined aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantinedAggregate {
    /// Its key.
    pub key: String,
    /// The reason.
    pub reason: String,
    /// Start, in milliseconds since the Unix epoch.
    pub since: u64,
}

/// The result of another attempt at a quarantined aggregate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The participant.
    pub participant: String,
    /// Key of the aggregate.
    pub key: String,
    /// True if its state was read: it is not quarantined any more, and its messages go on.
    pub released: bool,
    /// The reason why its state can't be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The aggregate to release, and the operator: the body of a request.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReleaseBody {
    key: String,
    by: Option<String>,
}

/// Migrates the states of older versions after this key, up to a number of them.
pub(super) async fn migrate(
    participant: Arc<Participant>,
    after: String,
) -> Result<MigrationStep, Problem> {
    let version = participant.active().description().state.version;
    let keys = {
        let (participant, after) = (participant.clone(), after);
        let look = move || {
            let (reader, row) = participant.reading()?;
            reader.older_state_keys(row, version, &after, STEP)
        };
        of_store(look).await?
    };
    let next = keys.last().filter(|_| keys.len() == STEP).cloned();
    let (mut migrated, mut unreadable) = (0, Vec::new());
    let mut keys = keys.into_iter();
    let mut reads = JoinSet::new();
    loop {
        while reads.len() < AT_ONCE
            && let Some(key) = keys.next()
        {
            let participant = participant.clone();
            reads.spawn(async move {
                let read = read_state(&participant, key.clone()).await;
                (key, read)
            });
        }
        let Some(read) = reads.join_next().await else {
            break;
        };
        let (key, read) = read.map_err(|error| try_later(error.to_string()))?;
        match read? {
            StateRead::Read(is_older) => migrated += u64::from(is_older),
            StateRead::Unreadable(fault) => unreadable.push(UnreadState {
                key,
                reason: fault.to_string(),
            }),
        }
    }
    let name = participant.name().to_owned();
    let count = move || {
        let (reader, row) = participant.reading()?;
        reader.older_states(row, version)
    };
    let left = of_store(count).await?;
    Ok(MigrationStep {
        participant: name,
        state_version: version,
        migrated,
        unreadable,
        left,
        next,
    })
}

/// The quarantined aggregates of a participant.
pub(super) async fn quarantine(participant: Arc<Participant>) -> Result<QuarantineList, Problem> {
    let name = participant.name().to_owned();
    let look = move || {
        let (reader, row) = participant.reading()?;
        Ok((reader.quarantined(row, LISTED)?, reader.releases(row)?))
    };
    let ((count, aggregates), requests) = of_store(look).await?;
    Ok(QuarantineList {
        participant: name,
        count,
        aggregates: (aggregates.into_iter())
            .map(|aggregate| QuarantinedAggregate {
                key: aggregate.key,
                reason: aggregate.reason,
                since: aggregate.since,
            })
            .collect(),
        requests: requests.into_iter().map(PastRelease::of).collect(),
    })
}

/// Lets the active rules read the state of a quarantined aggregate again.
pub(super) async fn release(
    participant: Arc<Participant>,
    request: ReleaseBody,
    operator: &Operator,
) -> Result<Release, Problem> {
    let ReleaseBody { key, by } = request;
    let by = operator.name(by);
    let name = participant.name().to_owned();
    let noting = {
        let (participant, key, by) = (participant.clone(), key.clone(), by.clone());
        move || participant.note_release(&key, &by)
    };
    let Some(note) = of_store(noting).await? else {
        let detail = format!(
            "aggregate {} of {name} is not quarantined; `saga quarantine list {name}` has those that are",
            shorten(key)
        );
        return Err(Problem::new(Kind::NotQuarantined, detail));
    };
    let read = read_state(&participant, key.clone()).await;
    let reason = match &read {
        Ok(StateRead::Read(_)) => None,
        Ok(StateRead::Unreadable(fault)) => Some(fault.to_string()),
        Err(problem) => Some(problem.detail.clone()),
    };
    let outcome = reason
        .clone()
        .map_or(ReleaseOutcome::Released, ReleaseOutcome::Failed);
    let noted = of_store(move || participant.note_release_outcome(note, outcome)).await;
    if let Err(Problem { detail, .. }) = noted {
        tracing::warn!(
            participant = name,
            key,
            error = detail,
            "the outcome of a release could not be recorded"
        );
    }
    tracing::info!(
        participant = name,
        key,
        by,
        released = reason.is_none(),
        "a quarantined aggregate was tried again"
    );
    read?;
    Ok(Release {
        participant: name,
        key,
        released: reason.is_none(),
        reason,
    })
}

/// The result of reading a state.
enum StateRead {
    /// It was read; true if it was migrated.
    Read(bool),
    Unreadable(Fault),
}

async fn read_state(participant: &Participant, key: String) -> Result<StateRead, Problem> {
    match participant.read_state(key).await {
        Some(Answer::StateRead(is_older)) => Ok(StateRead::Read(is_older)),
        Some(Answer::Quarantined(fault)) => Ok(StateRead::Unreadable(fault)),
        Some(Answer::StoreFailed(fault)) => Err(store_failed(&fault)),
        Some(Answer::TryLater(reason)) => Err(try_later(reason)),
        Some(Answer::Broke(fault, _)) => Err(Problem::new(Kind::RulesBroke, fault.to_string())),
        _ => Err(try_later("the state was not read in time".into())),
    }
}
