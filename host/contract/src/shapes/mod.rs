//! Compares the messages and states of a candidate with those of the build that it replaces, and
//! with those of the other known participants.
//!
//! Owns the pairing of readers and writers: a candidate must accept what is written already, and
//! existing readers must accept what it writes. Must not know: the store (set timers and stored
//! states are looked up elsewhere, see [`Concerns`]), the consequences of a break. All descriptions
//! have passed [`crate::check`].
//!
//! Participants are connected by topics, by their names in the settings, and by event types. A
//! topic may also be written and read by services that are unknown here: nothing is reported of
//! these.
//!
//! # Layout
//!
//! - this file: the findings; a candidate and the build that it replaces ([`against`])
//! - `others`: a candidate and the other participants ([`among`])
//! - `sides`: the names of readers and writers, for the sentences

mod others;
mod sides;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::compatibility::{self, only};
use crate::description::{Command, Description, Publication, Subscription};
use crate::schema::{self, Comparison, Sides, What};

pub use others::{among, note_understood, published, unheard};

use sides::{EVENTS, QUERIES, READERS, REPLIES, REQUESTS, STATES, TIMERS};

/// A participant, with the names that the settings give its topics.
#[derive(Debug, Clone, Copy)]
pub struct ShapeMember<'d> {
    /// Its description.
    pub description: &'d Description,
    /// The topics that the settings rename.
    pub topics: &'d BTreeMap<String, String>,
}

/// The findings.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShapeFinding {
    /// Messages or states that can be written and not read.
    pub breaks: Vec<ShapeBreak>,
    /// Events that are no longer published though a participant subscribes to them.
    pub dropped: Vec<String>,
    /// Notes for the operator.
    pub notes: Vec<String>,
}

/// A message or state that can be written and not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShapeBreak {
    /// The break as a sentence.
    pub text: String,
    /// The condition of the break.
    pub concerns: Concerns,
}

/// The condition of a break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Concerns {
    /// None: others may write or read so at any time.
    Others,
    /// A publisher of this event on this topic, by the participant's name for it. The candidate
    /// subscribes to the event.
    Event {
        /// Its type.
        event_type: String,
        /// The topic.
        topic: String,
    },
    /// Timers of this name that are set.
    Timer(String),
    /// Stored states.
    States,
}

/// Compares a candidate with the build that it replaces.
#[must_use]
pub fn against(active: &Description, candidate: &Description) -> ShapeFinding {
    let mut found = ShapeFinding::default();
    for event in &active.publications {
        let Some(next) = publication(candidate, &event.event_type, &event.topic) else {
            continue;
        };
        let place = format!("event `{}`", event.event_type);
        if next.version == event.version {
            found.compare(&place, (&event.schema, &next.schema), &READERS);
        } else {
            found.notes.push(format!(
                "{place}: published in version {} instead of {}: subscribers that are not known here must read it",
                next.version, event.version
            ));
        }
    }
    for event in &active.subscriptions {
        let mut subscriptions = candidate.subscriptions.iter();
        let is_same =
            |next: &&Subscription| next.event_type == event.event_type && next.topic == event.topic;
        if let Some(next) = subscriptions.find(is_same) {
            let concerns = Concerns::Event {
                event_type: event.event_type.clone(),
                topic: event.topic.clone(),
            };
            let place = format!("subscription `{}`", event.event_type);
            // A version that is not read any more is a lack, which is reported elsewhere.
            let shapes = event.versions().into_iter();
            let shapes = shapes.filter_map(|version| next.shape(version).zip(event.shape(version)));
            for ((_, read), (_, written)) in shapes {
                found.compare_for(concerns.clone(), &place, (read, written), &EVENTS, |_| "");
            }
        }
    }
    for command in &active.commands {
        if let Some(next) = compatibility::same_route(command, candidate) {
            of_command(command, next, &mut found);
        }
    }
    of_listings(active, candidate, &mut found);
    for timer in &active.timers {
        if let Some(next) = (candidate.timers.iter()).find(|next| next.name == timer.name) {
            let concerns = Concerns::Timer(timer.name.clone());
            let place = format!("timer `{}`", timer.name);
            let schemas = (&*next.schema, &*timer.schema);
            found.compare_for(concerns, &place, schemas, &TIMERS, |_| "");
        }
    }
    if active.state.version == candidate.state.version {
        let schemas = (&*candidate.state.schema, &*active.state.schema);
        let advice = |what: &What| match what {
            What::Missing | What::MayBeMissing => {
                "; raise state_version and migrate, or give it #[serde(default)]"
            }
            What::Differs { .. } => "; raise state_version and migrate",
        };
        found.compare_for(Concerns::States, "state", schemas, &STATES, advice);
    }
    found
}

fn of_command(active: &Command, next: &Command, found: &mut ShapeFinding) {
    let name = &next.name;
    match (&active.request, &next.request) {
        (Some(written), Some(read)) => {
            let place = format!("request of command `{name}`");
            found.compare(&place, (read, written), &REQUESTS);
        }
        (None, Some(_)) => found.breaks.push(ShapeBreak {
            text: format!(
                "request of command `{name}`: a body is required by this build, and the active build takes none"
            ),
            concerns: Concerns::Others,
        }),
        (_, None) => {}
    }
    let place = format!("reply of command `{name}`");
    found.compare(&place, (&active.reply, &next.reply), &REPLIES);
}

fn of_listings(active: &Description, candidate: &Description, found: &mut ShapeFinding) {
    for (listing, next) in compatibility::same_listings(active, candidate) {
        let (item, next_item) = (active.command(&listing.item), candidate.command(&next.item));
        // If both listings show the reply of the same route, the break is reported for that route.
        if let (Some(item), Some(next_item)) = (item, next_item)
            && compatibility::same_route(item, candidate) != Some(next_item)
        {
            let place = format!("items of the listing at {}", next.path);
            found.compare(&place, (&item.reply, &next_item.reply), &REPLIES);
        }
        for filter in &listing.filters {
            let mut filters = next.filters.iter();
            if let Some(next) = filters.find(|next| next.parameter == filter.parameter) {
                let place = format!(
                    "filter `{}` of the listing at {}",
                    filter.parameter, listing.path
                );
                found.compare(&place, (&next.schema, &filter.schema), &QUERIES);
            }
        }
    }
}

impl ShapeFinding {
    /// Adds the findings of another comparison.
    pub fn add(&mut self, other: Self) {
        let told = |broken: &ShapeBreak| {
            self.breaks
                .iter()
                .any(|one| covers(&one.text, &broken.text))
        };
        let new: Vec<_> = other.breaks.into_iter().filter(|one| !told(one)).collect();
        self.breaks.extend(new);
        self.dropped.extend(other.dropped);
        self.notes.extend(other.notes);
    }

    /// Compares `(read, written)`.
    fn compare(&mut self, place: &str, schemas: (&str, &str), sides: &Sides<'_>) {
        self.compare_for(Concerns::Others, place, schemas, sides, |_| "");
    }

    fn compare_for(
        &mut self,
        concerns: Concerns,
        place: &str,
        (read, written): (&str, &str),
        sides: &Sides<'_>,
        advice: impl Fn(&What) -> &'static str,
    ) {
        let found = schema::accepts(&value(read), &value(written));
        let breaks = found.breaks.iter().map(|one| ShapeBreak {
            text: format!("{place}: {}{}", one.told(sides), advice(&one.what)),
            concerns: concerns.clone(),
        });
        self.breaks.extend(breaks);
        let unclear = found.unclear.iter();
        self.notes
            .extend(unclear.map(|one| format!("{place}: {}", one.told(sides))));
    }

    /// Compares an event's subscription with its publication, now and before. A break that existed
    /// before is only a note.
    fn event(
        &mut self,
        (read, written): (&Subscription, &Publication),
        before: Option<(&Subscription, &Publication)>,
        sides: &Sides<'_>,
    ) {
        let place = format!("event `{}`", written.event_type);
        let is_read =
            |(read, written): (&Subscription, &Publication)| read.shape(written.version).is_some();
        if !is_read((read, written)) {
            let text = format!(
                "{place}: published in version {}, which {} does not read ({})",
                written.version,
                sides.reader,
                only(&read.versions())
            );
            return match before {
                Some(before) if !is_read(before) => {
                    self.notes
                        .push(format!("{text}; so it is with the active build"));
                }
                _ => self.breaks.push(ShapeBreak {
                    text,
                    concerns: Concerns::Others,
                }),
            };
        }
        let now = of_event(read, written);
        let before = before.map(|(read, written)| of_event(read, written));
        let before = before.unwrap_or_default();
        for one in &now.breaks {
            let text = format!("{place}: {}", one.told(sides));
            if before.breaks.contains(one) {
                self.notes
                    .push(format!("{text}; so it is with the active build"));
            } else {
                self.breaks.push(ShapeBreak {
                    text,
                    concerns: Concerns::Others,
                });
            }
        }
        let unclear = now
            .unclear
            .iter()
            .filter(|one| !before.unclear.contains(one));
        self.notes
            .extend(unclear.map(|one| format!("{place}: {}", one.told(sides))));
    }
}

/// True if two breaks are the same: that of a participant is more specific than that of unknown
/// readers.
fn covers(told: &str, other: &str) -> bool {
    let (place, of_readers) = (" is required by ", READERS.reader);
    match (told.split_once(place), other.split_once(place)) {
        (Some((one, _)), Some((two, reader))) => one == two && reader.starts_with(of_readers),
        _ => false,
    }
}

/// Compares an event's subscription with its publication; the key must be present too. Finds
/// nothing if the version that is published is not read.
fn of_event(read: &Subscription, written: &Publication) -> Comparison {
    let Some((key, read)) = read.shape(written.version) else {
        return Comparison::default();
    };
    let written = value(&written.schema);
    let mut found = schema::accepts(&value(read), &written);
    let key = schema::accepts(&with_member(key), &written);
    let is_gone = key
        .breaks
        .into_iter()
        .filter(|one| one.what == What::Missing);
    for one in is_gone {
        if found
            .breaks
            .iter()
            .all(|other| other.pointer != one.pointer)
        {
            found.breaks.push(one);
        }
    }
    found
}

/// A schema of objects that have a value at this pointer.
fn with_member(pointer: &str) -> Value {
    let names = pointer.strip_prefix('/').unwrap_or(pointer);
    (names.rsplit('/')).fold(Value::Bool(true), |inner, name| {
        let name = name.replace("~1", "/").replace("~0", "~");
        json!({"required": [name], "properties": {name: inner}})
    })
}

/// A schema, which was checked to be JSON before.
fn value(schema: &str) -> Value {
    crate::json::parse(schema).unwrap_or(Value::Bool(true))
}

fn publication<'d>(
    description: &'d Description,
    event_type: &str,
    topic: &str,
) -> Option<&'d Publication> {
    let mut events = description.publications.iter();
    events.find(|event| event.event_type == event_type && event.topic == topic)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
