//! All checks of a component, offline: for continuous integration, and before anything is shipped.
//!
//! What can be checked depends on what there is to compare with: the component alone, another build of the
//! participant, or the store of a host (which may be running meanwhile).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saga_contract::compatibility::{self, Lack};
use saga_contract::shapes::{Found, Member};

use super::check::{self, Present};
use super::flags::{Flags, Objections};
use super::loader::{self, CheckRoutes, Loader};
use super::probe::Terms;
use super::report::{Check, Probe, Refused, Verified};
use super::{fit, neighbours};
use crate::base::clock::now_ms;
use crate::base::generation::Build;
use crate::config::{Config, ParticipantConfig};
use crate::plugin::component;
use crate::schema;
use crate::store::{self, Answer, ReadStore, StoreFault};
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
pub fn verify(
    config: &Config,
    request: &Verify,
    check_routes: CheckRoutes,
) -> Result<Verified, NotVerified> {
    let loader =
        Loader::offline(config, check_routes).map_err(|error| failed(error.to_string()))?;
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
    loader
        .check_routes(description, &description.endpoint.base_path)
        .map_err(|reason| refused(Check::Description, reason))?;
    let own = config.participants.get(&description.name);
    if let Some(own) = own {
        fit::check_names(description, own).map_err(|reason| refused(Check::Settings, reason))?;
    }
    let others = Others::load(config, &loader, request, &description.name)?;
    let mut notes = others.notes.clone();
    notes.extend(candidate.note().map(str::to_owned));
    notes.extend(schema::remarks(description));
    if let Some(path) = &request.against {
        let other = load(&loader, path)?;
        notes.extend(against_build(&*other, &*candidate, &others, request.flags)?);
    }
    let (mut probe, mut is_alone) = (None, request.against.is_none());
    if let Some(data) = &request.data {
        match against_store(config, own, data, &*candidate, &others, request.flags)? {
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
        config: &Config,
        loader: &Loader,
        request: &Verify,
        participant: &str,
    ) -> Result<Self, NotVerified> {
        let topics = |name: &str| {
            let own = config.participants.get(name);
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
        for name in active_on(config, request.data.as_deref())? {
            let is_known = |(build, _): &(Arc<dyn Build>, _)| build.description().name == name;
            if name == participant || builds.iter().any(is_known) {
                continue;
            }
            let Some(data) = &request.data else { continue };
            let topics = topics(&name);
            match stored(config, data, &name) {
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
fn active_on(config: &Config, data: Option<&Path>) -> Result<Vec<String>, NotVerified> {
    let Some(data) = data else {
        return Ok(Vec::new());
    };
    let reading = open(data)?;
    let mut names = reading
        .participants()
        .map_err(|error| unreadable(data, &error))?;
    if !config.participants.is_empty() {
        names.retain(|name| config.participants.contains_key(name));
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

fn open(data: &Path) -> Result<Box<dyn ReadStore>, NotVerified> {
    store::look(data)
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{}: there is no store", data.display())))
}

/// The row of a participant in a store, and the build that is active there.
type Stored = (i64, Arc<dyn Build>);

/// What is active of a participant in a store; none where it never ran.
fn stored(config: &Config, data: &Path, name: &str) -> Result<Option<Stored>, NotVerified> {
    let reading = open(data)?;
    let read = |name: &str| -> Answer<_> {
        let Some(row) = reading.participant(name)? else {
            return Ok(None);
        };
        Ok(reading.active(row)?.map(|active| (row, active)))
    };
    let Some((row, build)) = read(name).map_err(|error| unreadable(data, &error))? else {
        return Ok(None);
    };
    let config = Config {
        data_dir: data.to_owned(),
        ..config.clone()
    };
    // What was active was served.
    let loader = Loader::offline(&config, |_, _| Ok(()));
    let loader = loader.map_err(|error| failed(error.to_string()))?;
    let bytes = loader.archive().read(&build.digest).map_err(|reason| {
        failed(format!(
            "the active component of {name} can't be read: {reason}"
        ))
    })?;
    Ok(Some((row, loader.load(&bytes, &build.digest)?)))
}

/// Compares with what a store holds; none where the participant never ran there.
fn against_store(
    config: &Config,
    own: Option<&ParticipantConfig>,
    data: &Path,
    candidate: &dyn Build,
    others: &Others,
    flags: Flags,
) -> Result<Option<Compared>, NotVerified> {
    let name = &candidate.description().name;
    let reading = &*open(data)?;
    let unread = |error: StoreFault| unreadable(data, &error);
    let Some((row, active)) = stored(config, data, name)? else {
        return Ok(None);
    };
    let present = Present {
        active: active.description(),
        participant: row,
        sources: sources(reading, config, own, &*active).map_err(unread)?,
        retention_ms: config.store.retention_hours.saturating_mul(3_600_000),
        now: reading.trusted_now(now_ms()).map_err(unread)?,
        shapes: Arc::new(others.compared(Some(&*active), candidate)),
    };
    let compared = check::compare(reading, &present, candidate, flags).map_err(unread)??;
    let mut notes = compared.notes;
    let served_at = |own: &ParticipantConfig| {
        let described = active.description();
        let before = own.base_path.as_ref();
        let base_path = before.unwrap_or(&described.endpoint.base_path);
        check::endpoint(own, described, base_path, candidate, flags)
    };
    notes.extend(served_at(own.unwrap_or(&ParticipantConfig::default()))?);
    notes.extend(neighbours::one_way(&*active, candidate));
    let sources = sources(reading, config, own, candidate).map_err(unread)?;
    let (limits, most) = (&config.turn, config.reload.probe_inputs);
    let inputs = check::inputs(reading, row, &sources, candidate, limits, most).map_err(unread)?;
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
    reading: &dyn ReadStore,
    config: &Config,
    own: Option<&ParticipantConfig>,
    build: &dyn Build,
) -> Answer<Vec<Arc<Source>>> {
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
        let row = reading.topic(topic)?;
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

fn unreadable(data: &Path, error: &StoreFault) -> NotVerified {
    failed(format!("{}: {error}", data.display()))
}

fn failed(reason: String) -> NotVerified {
    NotVerified::Failed(reason)
}
