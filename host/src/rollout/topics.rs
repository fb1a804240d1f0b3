//! Topics and sources of a generation.
//!
//! They follow from its description and from the settings, which may rename topics and groups.
//! Writes only the rows of topics to the store.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use saga_contract::description::Description;

use super::settings::ParticipantSettings;
use crate::apidocs::Configured;
use crate::apidocs::security::Security;
use crate::store::{ReadStore, Store, StoreFault};
use crate::transport::{Readings, Source, Transport};
use crate::turn::Lane;

/// Topics and sources of a generation.
pub struct GenerationTopics {
    /// Destinations of its events, by the topic's name in its description.
    pub topics: HashMap<String, Lane>,
    /// Destinations of its dead letters, by the topic that they came from.
    pub dead_letters: HashMap<Arc<str>, Lane>,
    /// The sources that it reads.
    pub sources: Vec<Arc<Source>>,
    /// The topics that it publishes to, dead letters included: names on the transport, and rows.
    pub published: Vec<(Arc<str>, i64)>,
}

/// The reason why topics or sources can't be resolved.
#[derive(Debug, thiserror::Error)]
pub enum TopicsError {
    /// The settings and the component contradict each other.
    #[error("{0}")]
    Settings(String),
    /// The store failed.
    #[error("the store can't be written: {0}")]
    Store(#[from] StoreFault),
}

/// Resolves the topics and sources of a generation with this description.
///
/// # Errors
/// The setting that contradicts the description, or a fault of the store.
pub fn resolve(
    description: &Description,
    own: &ParticipantSettings,
    store: &Store,
    transport: &dyn Transport,
) -> Result<GenerationTopics, TopicsError> {
    let known = store.reader()?;
    let topic_row = |topic: &str| topic_row(&*known, store, topic);
    check_names(description, own).map_err(TopicsError::Settings)?;
    check_legal(description, own, transport).map_err(TopicsError::Settings)?;
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
    Ok(GenerationTopics {
        topics,
        dead_letters,
        sources,
        published,
    })
}

/// The sources of a participant with this description, with the rows of the topics.
///
/// # Errors
/// If a topic has no row and none can be made.
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

/// The settings that a participant's documents show.
#[must_use]
pub fn configured<'s>(
    own: &'s ParticipantSettings,
    page_items: usize,
    security: &'s Security,
) -> Configured<'s> {
    Configured {
        topics: &own.topics,
        groups: &own.groups,
        page_items,
        security,
    }
}

/// Finds a source that two participants would share, each reading only a part of its records. Takes
/// the names and the sources of all participants.
///
/// # Errors
/// The participants, and the remedy.
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

/// Only a new topic's row goes through the writer, to spare it.
fn topic_row(known: &dyn ReadStore, store: &Store, topic: &str) -> Result<i64, StoreFault> {
    if let Ok(Some(row)) = known.topic(topic) {
        return Ok(row);
    }
    store.register_topic(topic)
}

fn mapped<'n>(
    names: &'n std::collections::BTreeMap<String, String>,
    declared: &'n String,
) -> &'n str {
    names.get(declared).unwrap_or(declared)
}

/// The dead-letter topic of a group for a topic.
fn dead_letters_of(topic: &str, group: &str) -> String {
    format!("{topic}.{group}.dlq")
}

/// Finds topic names that the transport does not accept, those of dead letters included: events for
/// such a topic would wait in the outbox for ever.
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

/// A key in TOML notation.
fn quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    match key.chars().all(is_bare) {
        true => key.to_owned(),
        false => format!("{key:?}"),
    }
}

/// Finds names in the settings that the component does not know, and two of its topics under one
/// name.
///
/// # Errors
/// The names, and the remedy.
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
