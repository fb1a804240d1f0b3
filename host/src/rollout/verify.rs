//! All checks of a component, offline: for continuous integration, and before a release.
//!
//! The extent depends on the reference: none, another build of the participant, or the store of a
//! host (which may be running).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use saga_contract::compatibility::{self, Lack};
use saga_contract::shapes::{ShapeFinding, ShapeMember};
use saga_contract::values;

use super::check::{self, Present};
use super::flags::{Flags, Objections};
use super::given_settings::GivenSettings;
use super::loader::{self, CheckRoutes, Loader};
use super::probe::Terms;
use super::report::{Check, ProbeReport, Refused, Verified};
use super::rule_settings::{CandidateSettings, RuleSettings, SettingsChange};
use super::settings::{ParticipantSettings, RolloutSettings};
use super::{neighbours, topics};
use crate::base::clock::now_ms;
use crate::base::generation::CompiledRules;
use crate::plugin::component;
use crate::store::history::GenerationRow;
use crate::store::{ReadStore, StoreFault, StoreLocation, StoreResult};
use crate::transport::{Readings, Source};

/// A component to check, and its references.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verify {
    /// The component.
    pub path: PathBuf,
    /// The participant that it must describe.
    pub participant: Option<String>,
    /// Another build of the participant: the component must drop nothing of it and understand its
    /// messages and states.
    pub against: Option<PathBuf>,
    /// Other participants that it must agree with.
    pub with: Vec<PathBuf>,
    /// The data directory of a host: the component must drop nothing in use there, and is tried on
    /// what is recorded there.
    pub data: Option<StoreLocation>,
    /// Overrides.
    pub flags: Flags,
    /// Changes of the settings of its rules.
    pub settings: SettingsChange,
}

/// The reason why a component was not verified.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotVerified {
    /// It failed a check.
    #[error("{0}")]
    Refused(Refused),
    /// A reference can't be read.
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
/// The check that failed, and the reason; or the reason why it could not be checked.
pub fn verify(
    settings: &RolloutSettings,
    request: &Verify,
    check_routes: CheckRoutes,
) -> Result<Verified, NotVerified> {
    let loader = Loader::offline(settings, &settings.store, check_routes)
        .map_err(|error| failed(error.to_string()))?;
    let bytes = component::read(&request.path).map_err(|error| loader::refused(&error, None))?;
    let origin = request.path.display().to_string();
    let candidate = loader.load_with(&bytes, &origin, |description| {
        given(
            settings,
            request.data.as_ref(),
            &request.settings,
            &description.name,
        )
    })?;
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
    (settings.security.check_metadata(description))
        .map_err(|reason| refused(Check::Settings, reason))?;
    let own = settings.participants.get(&description.name);
    if let Some(own) = own {
        topics::check_names(description, own).map_err(|reason| refused(Check::Settings, reason))?;
    }
    let others = Others::load(settings, &loader, request, &description.name)?;
    let mut notes = others.notes.clone();
    notes.extend(candidate.note().map(str::to_owned));
    notes.extend(values::remarks(description));
    notes.extend(settings.security.remark(description));
    if let Some(path) = &request.against {
        let other = load(&loader, path, RuleSettings::new())?;
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
            None => notes.push(format!("{} never ran on {}", description.name, data)),
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
        compared_with: others.names(),
        probe,
        notes,
    })
}

/// The other known participants, with their topics as renamed by the settings.
struct Others {
    builds: Vec<(Arc<dyn CompiledRules>, BTreeMap<String, String>)>,
    own: BTreeMap<String, String>,
    /// Active participants that could not be compared, with the reason.
    notes: Vec<String>,
}

impl Others {
    /// The given participants, and those that are active on the store.
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
        let mut builds: Vec<(Arc<dyn CompiledRules>, _)> = Vec::new();
        let mut notes = Vec::new();
        for path in &request.with {
            let build = load(loader, path, RuleSettings::new())?;
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
        for name in active_on(settings, request.data.as_ref())? {
            let is_known =
                |(build, _): &(Arc<dyn CompiledRules>, _)| build.description().name == name;
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

    /// The names and versions of those that it was compared with.
    fn names(&self) -> Vec<String> {
        let described = self.builds.iter().map(|(build, _)| build.description());
        described
            .map(|one| format!("{} {}", one.name, one.version))
            .collect()
    }

    fn compared(
        &self,
        active: Option<&dyn CompiledRules>,
        candidate: &dyn CompiledRules,
    ) -> ShapeFinding {
        let others = self.builds.iter().map(|(build, topics)| ShapeMember {
            description: build.description(),
            topics,
        });
        let candidate = ShapeMember {
            description: candidate.description(),
            topics: &self.own,
        };
        let active = active.map(CompiledRules::description);
        neighbours::compared(active, candidate, &others.collect::<Vec<_>>())
    }
}

/// The participants in a store; with settings, only those that the settings name.
fn active_on(
    settings: &RolloutSettings,
    data: Option<&StoreLocation>,
) -> Result<Vec<String>, NotVerified> {
    let Some(data) = data else {
        return Ok(Vec::new());
    };
    let reading = open(data)?;
    let mut names = reading
        .participants()
        .map_err(|error| unreadable(data, &error))?;
    if !settings.participants.is_empty() {
        names.retain(|name| settings.participants.contains_key(name));
    }
    Ok(names)
}

/// Compares a component that replaces none with the other participants.
fn beside_others(
    candidate: &dyn CompiledRules,
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

/// Compares with another build; since no use is known, all of it counts as used.
fn against_build(
    active: &dyn CompiledRules,
    candidate: &dyn CompiledRules,
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

fn load(
    loader: &Loader,
    path: &Path,
    given: RuleSettings,
) -> Result<Arc<dyn CompiledRules>, Refused> {
    let bytes = component::read(path).map_err(|error| loader::refused(&error, None))?;
    loader.load(&bytes, &path.display().to_string(), given)
}

/// The settings of the candidate's rules: those that are active in the store, if it ran there, or
/// else the configured ones; with the requested changes.
pub(super) fn given(
    settings: &RolloutSettings,
    data: Option<&StoreLocation>,
    change: &SettingsChange,
    name: &str,
) -> Result<GivenSettings, NotVerified> {
    let configured = settings.participants.get(name).map(|own| &own.rules);
    let active = match data {
        Some(data) => active(data, name)?,
        None => None,
    };
    let before = match active {
        Some((_, active)) => GivenSettings::from(active.given()),
        None => GivenSettings::configured(configured.cloned().unwrap_or_default()),
    };
    Ok(CandidateSettings::Changed(change.clone()).given_over(&before))
}

/// Result of the comparison with a store.
struct StoreComparison {
    notes: Vec<String>,
    probe: ProbeReport,
}

/// The store in this data directory, to be read beside the host that may run on it.
pub(super) fn open(data: &StoreLocation) -> Result<Box<dyn ReadStore>, NotVerified> {
    data.look()
        .map_err(|error| failed(error.to_string()))?
        .ok_or_else(|| failed(format!("{data}: there is no store")))
}

/// A loader that has the copies of components in this data directory.
pub(super) fn loader_of(
    settings: &RolloutSettings,
    data: &StoreLocation,
    check_routes: CheckRoutes,
) -> Result<Loader, NotVerified> {
    Loader::offline(settings, data, check_routes).map_err(|error| failed(error.to_string()))
}

/// The rows of a participant and of its active generation; `None` if it never ran there.
fn active(data: &StoreLocation, name: &str) -> Result<Option<(i64, GenerationRow)>, NotVerified> {
    let reading = open(data)?;
    let read = || -> StoreResult<_> {
        let Some(row) = reading.participant(name)? else {
            return Ok(None);
        };
        Ok(reading.active(row)?.map(|active| (row, active)))
    };
    read().map_err(|error| unreadable(data, &error))
}

/// The row of a participant in a store, and its active rules.
type Stored = (i64, Arc<dyn CompiledRules>);

/// The active generation of a participant in a store; `None` if it never ran there.
fn stored(
    settings: &RolloutSettings,
    data: &StoreLocation,
    name: &str,
) -> Result<Option<Stored>, NotVerified> {
    let Some((row, build)) = active(data, name)? else {
        return Ok(None);
    };
    // What was active was served.
    let loader = loader_of(settings, data, |_, _| Ok(()))?;
    let bytes = loader.archive().read(&build.component).map_err(|reason| {
        failed(format!(
            "the active component of {name} can't be read: {reason}"
        ))
    })?;
    let given = build.given();
    Ok(Some((row, loader.load(&bytes, &build.digest, given)?)))
}

/// Compares with the content of a store; `None` if the participant never ran there.
fn against_store(
    settings: &RolloutSettings,
    own: Option<&ParticipantSettings>,
    data: &StoreLocation,
    candidate: &dyn CompiledRules,
    others: &Others,
    flags: Flags,
) -> Result<Option<StoreComparison>, NotVerified> {
    let name = &candidate.description().name;
    let reading = &*open(data)?;
    let unread = |error: StoreFault| unreadable(data, &error);
    let Some((row, active)) = stored(settings, data, name)? else {
        return Ok(None);
    };
    let present = Present {
        active: active.description(),
        participant: row,
        sources: sources(reading, settings, own, &*active).map_err(unread)?,
        retention_ms: settings.retention_hours.saturating_mul(3_600_000),
        now: reading.trusted_now(now_ms()).map_err(unread)?,
        shapes: Arc::new(others.compared(Some(&*active), candidate)),
    };
    let compared = check::compare(reading, &present, candidate, flags).map_err(unread)??;
    let mut notes = compared.notes;
    let served_at = |own: &ParticipantSettings| {
        let described = active.description();
        let before = own.base_path.as_ref();
        let base_path = before.unwrap_or(&described.endpoint.base_path);
        check::endpoint(own, described, base_path, candidate, flags)
    };
    notes.extend(served_at(own.unwrap_or(&ParticipantSettings::default()))?);
    notes.extend(neighbours::one_way(&*active, candidate));
    let sources = sources(reading, settings, own, candidate).map_err(unread)?;
    let (limits, most) = (&settings.turn, settings.reload.probe_inputs);
    let inputs = check::inputs(reading, row, &sources, candidate, limits, most).map_err(unread)?;
    let terms = Terms {
        limits,
        allowed: flags.allowed(),
        is_over: &|| false,
    };
    let mut probe = check::probe(candidate, Some(&*active), terms, &inputs)?;
    notes.append(&mut probe.notes);
    Ok(Some(StoreComparison { notes, probe }))
}

/// The sources of a component whose topics the store knows.
pub(super) fn sources(
    reading: &dyn ReadStore,
    settings: &RolloutSettings,
    own: Option<&ParticipantSettings>,
    build: &dyn CompiledRules,
) -> StoreResult<Vec<Arc<Source>>> {
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

pub(super) fn unreadable(data: &dyn std::fmt::Display, error: &StoreFault) -> NotVerified {
    failed(format!("{data}: {error}"))
}

fn failed(reason: String) -> NotVerified {
    NotVerified::Failed(reason)
}
