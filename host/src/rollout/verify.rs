//! All checks of a component, offline: for continuous integration, and before anything is shipped.
//!
//! What can be checked depends on what there is to compare with: the component alone, another build of the
//! participant, or the store of a host (which may be running meanwhile).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rusqlite::Connection;
use saga_contract::compatibility::{self, Lack};
use saga_contract::shapes::{Found, Member};

use super::check::{self, Present};
use super::flags::{Flags, Objections};
use super::loader::{self, Loader};
use super::probe::Terms;
use super::report::{Check, Probe, Refused, Verified};
use super::settings::{ParticipantSettings, RolloutSettings};
use super::{fit, neighbours};
use crate::base::clock::now_ms;
use crate::base::generation::Build;
use crate::http::routes::Routes;
use crate::http::schema;
use crate::plugin::component;
use crate::store::{self, history, registry, trusted_now};
use crate::transport::{Readings, Source};

/// What is to be checked, and against what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verify {
    /// The component.
    pub path: PathBuf,
    /// The participant that it must describe.
    pub participant: Option<String>,
    /// Another build of the participant, of which it must lack nothing, and with which messages and states must go.
    pub against: Option<PathBuf>,
    /// Other participants with which it has to go.
    pub with: Vec<PathBuf>,
    /// The data directory of a host: it must lack nothing that is in use there, and is tried on what is recorded there.
    pub data: Option<PathBuf>,
    /// What it may drop or break.
    pub flags: Flags,
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
pub fn verify(settings: &RolloutSettings, request: &Verify) -> Result<Verified, NotVerified> {
    let loader = Loader::offline(settings).map_err(|error| failed(error.to_string()))?;
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
    let own = settings.participants.get(&description.name);
    if let Some(own) = own {
        fit::check_names(description, own).map_err(|reason| refused(Check::Settings, reason))?;
    }
    let others = Others::load(settings, &loader, request, &description.name)?;
    let mut notes = others.notes.clone();
    notes.extend(candidate.note().map(str::to_owned));
    notes.extend(schema::remarks(description));
    if let Some(path) = &request.against {
        let other = load(&loader, path)?;
        notes.extend(against_build(&*other, &*candidate, &others, request.flags)?);
    }
    let (mut probe, mut is_alone) = (None, request.against.is_none());
    if let Some(data) = &request.data {
        match against_store(settings, own, data, &*candidate, &others, request.flags)? {
            Some(compared) => {
                is_alone = false;
                notes.extend(compared.notes);
                probe = Some(compared.probe);
            }
            None => notes.push(format!(
                "{} never ran on {}",
                description.name,
                data.display()
            )),
        }
    }
    if is_alone {
        notes.extend(beside_others(&*candidate, &others, request.flags)?);
    }
    let mut seen = BTreeSet::new();
    notes.retain(|note| seen.insert(note.clone()));
    Ok(Verified {
        participant: description.name.clone(),
        digest: candidate.digest().to_owned(),
        version: description.version.clone(),
        state_version: description.state.version,
        probe,
        notes,
    })
}

/// The other participants that are known, with what the settings call their topics.
struct Others {
    builds: Vec<(Arc<dyn Build>, BTreeMap<String, String>)>,
    own: BTreeMap<String, String>,
    /// Which are not compared though they are active.
    notes: Vec<String>,
}

impl Others {
    /// Those that are given, and those that are active on the store.
    fn load(
        settings: &RolloutSettings,
        loader: &Loader,
        request: &Verify,
        participant: &str,
    ) -> Result<Self, NotVerified> {
        let topics = |name: &str| {
            let own = settings.participants.get(name);
            own.map(|own| own.topics.clone()).unwrap_or_default()
        };
        let mut builds: Vec<(Arc<dyn Build>, _)> = Vec::new();
        let mut notes = Vec::new();
        for path in &request.with {
            let build = load(loader, path)?;
            let name = &build.description().name;
            if name == participant {
                let reason = format!(
                    "--with {}: is the participant {name} itself; compare builds of one participant with --against",
                    path.display()
                );
                let digest = Some(build.digest().to_owned());
                return Err(Refused::new(Check::Compatibility, vec![reason], digest).into());
            }
            let topics = topics(name);
            builds.push((build, topics));
        }
        for name in active_on(settings, request.data.as_deref())? {
            let is_known = |(build, _): &(Arc<dyn Build>, _)| build.description().name == name;
            if name == participant || builds.iter().any(is_known) {
                continue;
            }
            let Some(data) = &request.data else { continue };
            let topics = topics(&name);
            match stored(settings, data, &name) {
                Ok(Some((_, build))) => builds.push((build, topics)),
                Ok(None) => {}
                Err(error) => notes.push(format!("it is not compared with {name}: {error}")),
            }
        }
        Ok(Self {
            builds,
            own: topics(participant),
            notes,
        })
    }

    fn compared(&self, active: Option<&dyn Build>, candidate: &dyn Build) -> Found {
        let others = self.builds.iter().map(|(build, topics)| Member {
            description: build.description(),
            topics,
        });
        let candidate = Member {
            description: candidate.description(),
            topics: &self.own,
        };
        let active = active.map(Build::description);
        neighbours::compared(active, candidate, &others.collect::<Vec<_>>())
    }
}

/// The participants that a store knows; where there are settings, only those that they name.
fn active_on(settings: &RolloutSettings, data: Option<&Path>) -> Result<Vec<String>, NotVerified> {
    let Some(data) = data else {
        return Ok(Vec::new());
    };
    let sql = open(data)?;
    let mut names = history::participants(&sql).map_err(|error| unreadable(data, &error))?;
    if !settings.participants.is_empty() {
        names.retain(|name| settings.participants.contains_key(name));
    }
    Ok(names)
}

/// Compares a build that takes no other's place with the other participants.
fn beside_others(
    candidate: &dyn Build,
    others: &Others,
    flags: Flags,
) -> Result<Vec<String>, Refused> {
    let found = others.compared(None, candidate);
    let objections = Objections {
        breaking: found.breaks.into_iter().map(|one| one.text).collect(),
        ..Objections::default()
    };
    let allowed = objections.weigh(flags, candidate.digest())?;
    Ok(found.notes.into_iter().chain(allowed).collect())
}

/// Compares with another build, of which nothing is known to be in use: all of it may be.
fn against_build(
    active: &dyn Build,
    candidate: &dyn Build,
    others: &Others,
    flags: Flags,
) -> Result<Vec<String>, Refused> {
    let lacks = compatibility::lacks(active.description(), candidate.description());
    let found = others.compared(Some(active), candidate);
    let mut objections = Objections::default();
    for lack in lacks {
        let is_hard = matches!(lack, Lack::Participant { .. } | Lack::State { .. });
        let list = if is_hard {
            &mut objections.hard
        } else {
            &mut objections.used
        };
        list.push(lack.to_string());
    }
    objections.used.extend(found.dropped);
    let broken = found.breaks.into_iter().map(|one| one.text);
    objections.breaking.extend(broken);
    let allowed = objections.weigh(flags, candidate.digest())?;
    let one_way = neighbours::one_way(active, candidate);
    Ok(found
        .notes
        .into_iter()
        .chain(allowed)
        .chain(one_way)
        .collect())
}

fn load(loader: &Loader, path: &Path) -> Result<Arc<dyn Build>, Refused> {
    let bytes = component::read(path).map_err(|error| loader::refused(&error, None))?;
    loader.load(&bytes, &path.display().to_string())
}

/// What the comparison with a store showed.
struct Compared {
    notes: Vec<String>,
    probe: Probe,
}

fn open(data: &Path) -> Result<Connection, NotVerified> {
    store::look(data)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{}: there is no store", data.display())))
}

/// The row of a participant in a store, and the build that is active there.
type Stored = (i64, Arc<dyn Build>);

/// What is active of a participant in a store; none where it never ran.
fn stored(
    settings: &RolloutSettings,
    data: &Path,
    name: &str,
) -> Result<Option<Stored>, NotVerified> {
    let sql = open(data)?;
    let read = |name: &str| -> rusqlite::Result<_> {
        let Some(row) = history::participant(&sql, name)? else {
            return Ok(None);
        };
        Ok(history::active(&sql, row)?.map(|build| (row, build)))
    };
    let Some((row, build)) = read(name).map_err(|error| unreadable(data, &error))? else {
        return Ok(None);
    };
    let loader = Loader::offline(&RolloutSettings {
        data_dir: data.to_owned(),
        ..settings.clone()
    })
    .map_err(|error| failed(error.to_string()))?;
    let bytes = loader.archive().read(&build.digest).map_err(|reason| {
        failed(format!(
            "the active component of {name} can't be read: {reason}"
        ))
    })?;
    Ok(Some((row, loader.load(&bytes, &build.digest)?)))
}

/// Compares with what a store holds; none where the participant never ran there.
fn against_store(
    settings: &RolloutSettings,
    own: Option<&ParticipantSettings>,
    data: &Path,
    candidate: &dyn Build,
    others: &Others,
    flags: Flags,
) -> Result<Option<Compared>, NotVerified> {
    let name = &candidate.description().name;
    let sql = open(data)?;
    let reading = |error: rusqlite::Error| unreadable(data, &error);
    let Some((row, active)) = stored(settings, data, name)? else {
        return Ok(None);
    };
    let present = Present {
        active: active.description(),
        participant: row,
        sources: sources(&sql, settings, own, &*active).map_err(reading)?,
        retention_ms: settings.retention_hours.saturating_mul(3_600_000),
        now: trusted_now(&sql, now_ms()).map_err(reading)?,
        shapes: Arc::new(others.compared(Some(&*active), candidate)),
    };
    let compared = check::compare(&sql, &present, candidate, flags).map_err(reading)??;
    let mut notes = compared.notes;
    let served_at = |own: &ParticipantSettings| {
        let described = active.description();
        let before = own.base_path.as_ref();
        let base_path = before.unwrap_or(&described.endpoint.base_path);
        check::endpoint(own, described, base_path, candidate, flags)
    };
    notes.extend(served_at(own.unwrap_or(&ParticipantSettings::default()))?);
    notes.extend(neighbours::one_way(&*active, candidate));
    let sources = sources(&sql, settings, own, candidate).map_err(reading)?;
    let (limits, most) = (&settings.turn, settings.reload.probe_inputs);
    let inputs = check::inputs(&sql, row, &sources, candidate, limits, most).map_err(reading)?;
    let terms = Terms {
        limits,
        allowed: flags.allowed(),
        is_over: &|| false,
    };
    let mut probe = check::probe(candidate, Some(&*active), terms, &inputs)?;
    notes.append(&mut probe.notes);
    Ok(Some(Compared { notes, probe }))
}

/// What a build reads, as the store knows it.
pub(super) fn sources(
    sql: &Connection,
    settings: &RolloutSettings,
    own: Option<&ParticipantSettings>,
    build: &dyn Build,
) -> rusqlite::Result<Vec<Arc<Source>>> {
    let description = build.description();
    let namespace = if settings.has_kafka { "kafka" } else { "log" };
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

fn unreadable(data: &Path, error: &rusqlite::Error) -> NotVerified {
    failed(format!("{}: {error}", data.display()))
}

fn failed(reason: String) -> NotVerified {
    NotVerified::Failed(reason)
}
