//! All checks of a component, offline: for continuous integration, and before anything is shipped.
//!
//! What can be checked depends on what there is to compare with: the component alone, another build of the
//! participant, or the store of a host (which may be running meanwhile).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use saga_core::compatibility::{self, Lack};

use super::check::{self, Drops, Present};
use super::fit;
use super::loader::{self, Loader};
use super::report::{Check, Probe, Refused, Verified};
use crate::clock::now_ms;
use crate::config::{Config, ParticipantConfig};
use crate::generation::Build;
use crate::http::routes::Routes;
use crate::plugin::{component, overflow};
use crate::store::{self, history, registry};
use crate::transport::{Readings, Source};

/// What is to be checked, and against what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verify {
    /// The component.
    pub path: PathBuf,
    /// The participant that it must describe.
    pub participant: Option<String>,
    /// Another build of the participant, of which it must lack nothing.
    pub against: Option<PathBuf>,
    /// The data directory of a host: it must lack nothing that is in use there, and is tried on what is recorded there.
    pub data: Option<PathBuf>,
}

/// Why a component was not found right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It did not pass a check.
    #[error("{0}")]
    Refused(Refused),
    /// What it was to be compared with can't be read.
    #[error("{0}")]
    Failed(String),
}

impl From<Refused> for NotVerified {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// Checks a component.
///
/// # Errors
/// Which check it did not pass, and why; or that it could not be checked.
pub fn verify(config: &Config, request: &Verify) -> Result<Verified, NotVerified> {
    let loader = Loader::offline(config).map_err(|error| failed(error.to_string()))?;
    let candidate = load(&loader, &request.path)?;
    let description = candidate.description();
    let refused =
        |check, reason| Refused::new(check, vec![reason], Some(candidate.digest().to_owned()));
    if let Some(wanted) = &request.participant
        && *wanted != description.name
    {
        let lack = Lack::Participant {
            active: wanted.clone(),
            candidate: description.name.clone(),
        };
        return Err(refused(Check::Compatibility, lack.to_string()).into());
    }
    Routes::new(description, &description.endpoint.base_path)
        .map_err(|reason| refused(Check::Description, reason))?;
    let own = config.participants.get(&description.name);
    if let Some(own) = own {
        fit::check_names(description, own).map_err(|reason| refused(Check::Settings, reason))?;
    }
    let mut notes = Vec::new();
    notes.extend(
        component::read(&request.path)
            .ok()
            .and_then(|bytes| overflow::note(&bytes)),
    );
    if let Some(path) = &request.against {
        let other = load(&loader, path)?;
        let lacks = compatibility::lacks(other.description(), description);
        if !lacks.is_empty() {
            return Err(Refused::new(
                Check::Compatibility,
                lacks.iter().map(ToString::to_string).collect(),
                Some(candidate.digest().to_owned()),
            )
            .into());
        }
    }
    let mut probe = None;
    if let Some(data) = &request.data {
        probe = against_store(config, own, data, &*candidate, &mut notes)?;
    }
    Ok(Verified {
        participant: description.name.clone(),
        digest: candidate.digest().to_owned(),
        version: description.version.clone(),
        state_version: description.state.version,
        probe,
        notes,
    })
}

fn load(loader: &Loader, path: &Path) -> Result<Arc<dyn Build>, Refused> {
    let bytes = component::read(path).map_err(|error| loader::refused(&error, None))?;
    loader.load(&bytes, &path.display().to_string())
}

/// Compares with what a store holds; none where the participant never ran there.
fn against_store(
    config: &Config,
    own: Option<&ParticipantConfig>,
    data: &Path,
    candidate: &dyn Build,
    notes: &mut Vec<String>,
) -> Result<Option<Probe>, NotVerified> {
    let name = &candidate.description().name;
    let sql = store::look(data)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{}: there is no store", data.display())))?;
    let reading = |error: rusqlite::Error| failed(format!("{}: {error}", data.display()));
    let active = match history::participant(&sql, name).map_err(reading)? {
        Some(row) => history::active(&sql, row)
            .map_err(reading)?
            .map(|build| (row, build)),
        None => None,
    };
    let Some((row, build)) = active else {
        notes.push(format!("{name} never ran on {}", data.display()));
        return Ok(None);
    };
    let loader = Loader::offline(&Config {
        data_dir: data.to_owned(),
        ..config.clone()
    })
    .map_err(|error| failed(error.to_string()))?;
    let bytes = loader
        .archive()
        .read(&build.digest)
        .map_err(|reason| failed(format!("the active component can't be read: {reason}")))?;
    let active = loader.load(&bytes, &build.digest)?;
    let present = Present {
        active: active.description(),
        participant: row,
        sources: sources(&sql, config, own, &*active).map_err(reading)?,
        retention_ms: config.store.retention_hours.saturating_mul(3_600_000),
        now: now_ms(),
    };
    let compared = check::compare(&sql, &present, candidate, Drops::Unused).map_err(reading)??;
    notes.extend(compared.notes);
    let served_at = |own: &ParticipantConfig| {
        let described = active.description();
        let before = own.base_path.as_ref();
        let base_path = before.unwrap_or(&described.endpoint.base_path);
        check::endpoint(own, described, base_path, candidate, Drops::Unused)
    };
    notes.extend(served_at(own.unwrap_or(&ParticipantConfig::default()))?);
    let sources = sources(&sql, config, own, candidate).map_err(reading)?;
    let (limits, most) = (&config.turn, config.reload.probe_inputs);
    let inputs = check::inputs(&sql, row, &sources, candidate, limits, most).map_err(reading)?;
    let mut probe = check::probe(candidate, Some(&*active), limits, &inputs)?;
    notes.append(&mut probe.notes);
    Ok(Some(probe))
}

/// What a build reads, as the store knows it.
pub(super) fn sources(
    sql: &Connection,
    config: &Config,
    own: Option<&ParticipantConfig>,
    build: &dyn Build,
) -> rusqlite::Result<Vec<Arc<Source>>> {
    let description = build.description();
    let namespace = if config.kafka.is_some() {
        "kafka"
    } else {
        "log"
    };
    let mut sources = Vec::new();
    for subscription in &description.subscriptions {
        let topic = own
            .and_then(|own| own.topics.get(&subscription.topic))
            .unwrap_or(&subscription.topic);
        let group = own
            .and_then(|own| own.groups.get(&subscription.group))
            .unwrap_or(&subscription.group);
        let row = registry::known_topic(sql, topic)?;
        sources.extend(row.map(|topic_row| {
            Arc::new(Source {
                readings: Readings::default(),
                consumer: format!("{namespace}:{}/{group}", description.name).into(),
                group: group.as_str().into(),
                topic: topic.as_str().into(),
                declared_topic: subscription.topic.as_str().into(),
                topic_row,
            })
        }));
    }
    Ok(sources)
}

fn failed(reason: String) -> NotVerified {
    NotVerified::Failed(reason)
}
