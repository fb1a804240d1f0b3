//! What a generation needs of its surroundings: the topics that it publishes to, the sources that it reads.
//!
//! Follows from its description and from the settings, which may call topics and groups otherwise. Writes
//! nothing but the rows by which the store knows topics.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use saga_core::description::Description;

use crate::api::Configured;
use crate::config::{Config, ParticipantConfig};
use crate::pipeline::Lane;
use crate::store::{Reader, Store, StoreFault, registry};
use crate::transport::{Readings, Source, Transport};

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
    own: &ParticipantConfig,
    store: &Store,
    transport: &dyn Transport,
) -> Result<Fitted, FitError> {
    let known = store
        .reader()
        .map_err(|error| FitError::Store(error.into()))?;
    let topic_row = |topic: &str| topic_row(&known, store, topic);
    check_names(description, own).map_err(FitError::Settings)?;
    let name = &description.name;
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
    let mut sources: Vec<Arc<Source>> = Vec::new();
    let mut dead_letters = HashMap::new();
    for subscription in &description.subscriptions {
        let topic: Arc<str> = mapped(&own.topics, &subscription.topic).into();
        if sources.iter().any(|source| source.topic == topic) {
            continue;
        }
        let group = mapped(&own.groups, &subscription.group);
        dead_letters.insert(topic.clone(), lane(&format!("{topic}.{group}.dlq"))?);
        sources.push(Arc::new(Source {
            readings: Readings::default(),
            consumer: format!("{}:{name}/{group}", transport.offset_namespace()).into(),
            group: group.into(),
            topic_row: topic_row(&topic)?,
            topic,
            declared_topic: subscription.topic.as_str().into(),
        }));
    }
    Ok(Fitted {
        topics,
        dead_letters,
        sources,
        published,
    })
}

/// What the settings say of a participant that its documents tell of.
#[must_use]
pub fn configured<'c>(config: &Config, own: &'c ParticipantConfig) -> Configured<'c> {
    Configured {
        topics: &own.topics,
        groups: &own.groups,
        page_items: config.http.page_items,
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

/// Finds names in the settings that the component does not know, and two of its topics under one name.
///
/// # Errors
/// Says which, and what to do.
pub(super) fn check_names(
    description: &Description,
    own: &ParticipantConfig,
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
