//! What a generation needs of its surroundings: the topics that it publishes to, the sources that it reads.
//!
//! Follows from its description and from the settings, which may call topics and groups otherwise. Writes
//! nothing but the rows by which the store knows topics.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use saga_contract::description::Description;

use super::settings::ParticipantSettings;
use crate::apidocs::Configured;
use crate::store::{Reader, Store, StoreFault, registry};
use crate::transport::{Readings, Source, Transport};
use crate::turn::Lane;

/// What a generation needs of its surroundings.
pub struct Fitted {
    /// Where its events go, by the topic's name in its description.
    pub topics: HashMap<String, Lane>,
    /// Where its dead letters go, by the topic that they came from.
    pub dead_letters: HashMap<Arc<str>, Lane>,
    /// What it reads.
    pub sources: Vec<Arc<Source>>,
    /// The topics that it publishes to, dead letters included: names on the transport, and rows.
    pub published: Vec<(Arc<str>, i64)>,
}

/// Why a generation does not fit.
#[derive(Debug, thiserror::Error)]
pub enum FitError {
    /// The settings and the component don't go together.
    #[error("{0}")]
    Settings(String),
    /// The store failed.
    #[error("the store can't be written: {0}")]
    Store(#[from] StoreFault),
}

/// Fits a generation with this description into its surroundings.
///
/// # Errors
/// Which setting does not go with it, or that the store failed.
pub fn fit(
    description: &Description,
    own: &ParticipantSettings,
    store: &Store,
    transport: &dyn Transport,
) -> Result<Fitted, FitError> {
    let known = store
        .reader()
        .map_err(|error| FitError::Store(error.into()))?;
    let topic_row = |topic: &str| topic_row(&known, store, topic);
    check_names(description, own).map_err(FitError::Settings)?;
    check_legal(description, own, transport).map_err(FitError::Settings)?;
    let mut published = Vec::new();
    let mut lane = |topic: &str| -> Result<Lane, StoreFault> {
        let row = topic_row(topic)?;
        if !published.iter().any(|(_, known)| *known == row) {
            published.push((Arc::from(topic), row));
        }
        Ok(Lane {
            partitions: transport.partitions(topic),
            topic: row,
        })
    };
    let mut topics = HashMap::new();
    for publication in &description.publications {
        let topic = mapped(&own.topics, &publication.topic);
        topics.insert(publication.topic.clone(), lane(topic)?);
    }
    let sources = sources(description, own, transport, topic_row)?;
    let mut dead_letters = HashMap::new();
    for source in &sources {
        let letters = dead_letters_of(&source.topic, &source.group);
        dead_letters.insert(source.topic.clone(), lane(&letters)?);
    }
    Ok(Fitted {
        topics,
        dead_letters,
        sources,
        published,
    })
}

/// What a participant with this description reads, with the rows of the topics.
///
/// # Errors
/// When there is no row to be had.
pub(super) fn sources(
    description: &Description,
    own: &ParticipantSettings,
    transport: &dyn Transport,
    topic_row: impl Fn(&str) -> Result<i64, StoreFault>,
) -> Result<Vec<Arc<Source>>, StoreFault> {
    let (name, namespace) = (&description.name, transport.offset_namespace());
    let mut sources: Vec<Arc<Source>> = Vec::new();
    for subscription in &description.subscriptions {
        let topic: Arc<str> = mapped(&own.topics, &subscription.topic).into();
        if sources.iter().any(|source| source.topic == topic) {
            continue;
        }
        let group = mapped(&own.groups, &subscription.group);
        sources.push(Arc::new(Source {
            readings: Readings::default(),
            consumer: format!("{namespace}:{name}/{group}").into(),
            group: group.into(),
            topic_row: topic_row(&topic)?,
            topic,
            declared_topic: subscription.topic.as_str().into(),
        }));
    }
    Ok(sources)
}

/// What the settings say of a participant that its documents tell of.
#[must_use]
pub fn configured(own: &ParticipantSettings, page_items: usize) -> Configured<'_> {
    Configured {
        topics: &own.topics,
        groups: &own.groups,
        page_items,
    }
}

/// Finds a source that two participants would share, each getting a part of its records. Takes the names and the sources
/// of all participants.
///
/// # Errors
/// Says which, and what to do.
pub fn check_together<'s>(
    participants: impl Iterator<Item = (&'s str, &'s [Arc<Source>])>,
) -> Result<(), String> {
    let mut seen: HashMap<(&str, &str), &str> = HashMap::new();
    for (name, sources) in participants {
        for source in sources {
            if let Some(other) = seen.insert((&source.topic, &source.group), name) {
                return Err(format!(
                    "participants.{name}.groups: {name} and {other} would share the group {} on topic {}; \
                     each would get only a part of the records; give one of them another group",
                    source.group, source.topic
                ));
            }
        }
    }
    Ok(())
}

/// Asks the writer only for the row of a new topic: it has better things to do.
fn topic_row(known: &Reader, store: &Store, topic: &str) -> Result<i64, StoreFault> {
    if let Ok(Some(row)) = registry::known_topic(known.connection(), topic) {
        return Ok(row);
    }
    let topic = topic.to_owned();
    store.run(move |sql| registry::topic(sql, &topic))
}

fn mapped<'n>(
    names: &'n std::collections::BTreeMap<String, String>,
    declared: &'n String,
) -> &'n str {
    names.get(declared).unwrap_or(declared)
}

/// The topic of the records of a topic that a group could not decide.
fn dead_letters_of(topic: &str, group: &str) -> String {
    format!("{topic}.{group}.dlq")
}

/// Finds topics whose names the transport does not take, those of dead letters included: what is published to one would wait in
/// the outbox for ever.
///
/// # Errors
/// All of them, each with the setting that gives another name.
fn check_legal(
    description: &Description,
    own: &ParticipantSettings,
    transport: &dyn Transport,
) -> Result<(), String> {
    let participant = &description.name;
    let mut problems = BTreeSet::new();
    let mut check = |topic: &String| {
        let name = mapped(&own.topics, topic);
        let problem = transport.name_problem(name);
        problem.map(|problem| {
            problems.insert(format!(
                "participants.{participant}.topics.{}: the topic {name:?} {problem}; give it another name there",
                quoted(topic)
            ));
        })
    };
    let published = description.publications.iter();
    published.for_each(|publication| {
        let _ = check(&publication.topic);
    });
    let mut letters = BTreeSet::new();
    for subscription in &description.subscriptions {
        if check(&subscription.topic).is_some() {
            continue;
        }
        let topic = mapped(&own.topics, &subscription.topic);
        let group = mapped(&own.groups, &subscription.group);
        let name = dead_letters_of(topic, group);
        if let Some(problem) = transport.name_problem(&name) {
            letters.insert(format!(
                "participants.{participant}.groups.{}: records that can't be decided go to the topic {name:?}, which {problem}; give the \
                 group, or the topic, another name",
                quoted(&subscription.group)
            ));
        }
    }
    problems.append(&mut letters);
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.into_iter().collect::<Vec<_>>().join("\n")),
    }
}

/// A key as it stands in a TOML file.
fn quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match key.chars().all(is_bare) {
        true => key.to_owned(),
        false => format!("{key:?}"),
    }
}

/// Finds names in the settings that the component does not know, and two of its topics under one name.
///
/// # Errors
/// Says which, and what to do.
pub(super) fn check_names(
    description: &Description,
    own: &ParticipantSettings,
) -> Result<(), String> {
    let subscribed = description.subscriptions.iter();
    let published = description.publications.iter();
    let topics: BTreeSet<&str> = (subscribed.clone())
        .map(|subscription| subscription.topic.as_str())
        .chain(published.map(|publication| publication.topic.as_str()))
        .collect();
    let groups: BTreeSet<&str> = subscribed
        .map(|subscription| subscription.group.as_str())
        .collect();
    for (table, given, known) in [
        ("topics", &own.topics, &topics),
        ("groups", &own.groups, &groups),
    ] {
        if let Some(unknown) = given.keys().find(|name| !known.contains(name.as_str())) {
            let known = known.iter().copied().collect::<Vec<_>>().join(", ");
            return Err(format!(
                "participants.{}.{table}.{unknown}: the component has no such name; its {table} are: {known}",
                description.name
            ));
        }
    }
    let mut names: HashMap<&str, &str> = HashMap::new();
    for topic in topics {
        let name = own.topics.get(topic).map_or(topic, String::as_str);
        if let Some(other) = names.insert(name, topic) {
            return Err(format!(
                "participants.{}.topics: {other} and {topic} would both be {name}; give them different names",
                description.name
            ));
        }
    }
    Ok(())
}
