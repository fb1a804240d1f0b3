//! Compares a candidate with the active build: finds what it lacks, and checks that admission under
//! one description is valid under another.
//!
//! Owns the comparison of two descriptions. Must not know: use, stored data, the consequences of a
//! lack. The swap looks up use by the names in a [`Lack`], and decides. Both descriptions have
//! passed [`crate::check`].
//!
//! Additions of a candidate are never a lack. Neither is a removed publication: nothing that waits
//! here (a record, a call, a timer, a state) needs it; [`crate::shapes`] checks for other
//! participants that need it, and compares the messages. The base path is not compared either: it
//! is a default that the operator may override, so moved URLs can only be detected with the
//! settings.

use std::fmt;

use crate::description::{
    Command, CommandKind, Description, KeySource, Listing, Method, Subscription, path_parameters,
    path_shape,
};
use crate::listing::FilterType;

/// A part of the active build that a candidate lacks. `Display` describes it in one sentence, in
/// the words of the WIT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// The candidate is another participant; nothing else is compared then.
    Participant {
        /// Name of the active build.
        active: String,
        /// Name of the candidate.
        candidate: String,
    },
    /// A subscription is missing or differs.
    Subscription {
        /// Event type, by which the use of the subscription is counted.
        event_type: String,
        /// Topic, by the participant's name.
        topic: String,
        /// Consumer group of the active build.
        group: String,
        /// The difference.
        change: SubscriptionChange,
    },
    /// A route is missing or differs.
    Route {
        /// Name of the command in the active build, by which its use is counted.
        command: String,
        /// Method of the route.
        method: Method,
        /// Path template of the active build.
        path: String,
        /// The difference.
        change: RouteChange,
    },
    /// A listing is missing or differs.
    Listing {
        /// Name of the listing in the active build, by which its use is counted.
        name: String,
        /// Its path.
        path: String,
        /// The query parameter that no longer filters, or not by values of that type; None if the
        /// listing is missing.
        filter: Option<String>,
    },
    /// A timer is not listed, so one that is set could not fall due.
    Timer {
        /// Its name.
        name: String,
    },
    /// The candidate can't read states of the version that the active build writes.
    State {
        /// Version that the active build writes.
        version: u32,
        /// The oldest version that the candidate can migrate.
        oldest_readable: u32,
        /// The version that the candidate writes, the newest that it can read.
        newest: u32,
    },
}

/// The difference of a subscription from the active one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscriptionChange {
    /// No subscription takes this event from this topic.
    Missing,
    /// The aggregate's key is elsewhere: events would go to other aggregates.
    Key {
        /// JSON pointer of the active build.
        active: String,
        /// JSON pointer of the candidate.
        candidate: String,
    },
    /// Another consumer group reads the topic: it would not continue from the old group's offsets.
    Group {
        /// Group of the candidate.
        candidate: String,
    },
    /// Records without an event type are no longer taken.
    Untyped,
    /// A version of the event is no longer read.
    Version {
        /// The version.
        version: u32,
        /// The versions that the candidate reads.
        read: Vec<u32>,
    },
}

/// The difference of a route from the active one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouteChange {
    /// No command is served there.
    Missing,
    /// The aggregate's key comes from elsewhere: calls would go to other aggregates.
    Key {
        /// Key source of the active build.
        active: KeySource,
        /// Key source of the candidate.
        candidate: KeySource,
        /// Path template of the candidate; its parameters may have other names.
        path: String,
    },
    /// Its effect on the aggregate is of another kind.
    Kind {
        /// Kind of the active build.
        active: CommandKind,
        /// Kind of the candidate.
        candidate: CommandKind,
    },
}

/// The lacks of the candidate, in the order of the active build. If there are none, the candidate
/// can take everything that the active build could.
#[must_use]
pub fn lacks(active: &Description, candidate: &Description) -> Vec<Lack> {
    if active.name != candidate.name {
        return vec![Lack::Participant {
            active: active.name.clone(),
            candidate: candidate.name.clone(),
        }];
    }
    let mut lacks = Vec::new();
    for subscription in &active.subscriptions {
        lack_of_subscription(subscription, candidate, &mut lacks);
    }
    for command in &active.commands {
        lack_of_route(command, candidate, &mut lacks);
    }
    for listing in &active.listings {
        lack_of_listing(listing, candidate, &mut lacks);
    }
    for timer in &active.timers {
        if !candidate
            .timers
            .iter()
            .any(|other| other.name == timer.name)
        {
            lacks.push(Lack::Timer {
                name: timer.name.clone(),
            });
        }
    }
    let state = &candidate.state;
    if !(state.oldest_readable..=state.version).contains(&active.state.version) {
        lacks.push(Lack::State {
            version: active.state.version,
            oldest_readable: state.oldest_readable,
            newest: state.version,
        });
    }
    lacks
}

/// True if a call of the command of this name is the same under both descriptions: same command,
/// same check, same key, and the same is asked of its sender.
#[must_use]
pub fn is_same_command(one: &Description, other: &Description, name: &str) -> bool {
    one.command(name) == other.command(name)
        && (&one.metadata, &one.claims) == (&other.metadata, &other.claims)
}

/// True if a record is admitted alike under both descriptions. `topic` is the participant's name
/// for its topic, `event_type` the type that the record itself names (None for an untyped one).
#[must_use]
pub fn is_same_subscription(
    one: &Description,
    other: &Description,
    topic: &str,
    event_type: Option<&str>,
) -> bool {
    one.metadata == other.metadata
        && admitted_by(one, topic, event_type) == admitted_by(other, topic, event_type)
}

/// The parts of a subscription by which a record is admitted.
#[derive(PartialEq)]
struct AdmittedBy<'d> {
    event_type: &'d str,
    group: &'d str,
    /// The key of each version.
    keys: Vec<(u32, &'d str)>,
}

/// The parts by which a record is admitted. Of the schema, admission takes only the notation of
/// integers, so a change of it must not cause records to be read again.
fn admitted_by<'d>(
    description: &'d Description,
    topic: &str,
    event_type: Option<&str>,
) -> Option<AdmittedBy<'d>> {
    let subscription = description.subscription(topic, event_type)?;
    let versions = subscription.versions().into_iter();
    let keys = versions.filter_map(|version| Some((version, subscription.shape(version)?.0)));
    Some(AdmittedBy {
        event_type: &subscription.event_type,
        group: &subscription.group,
        keys: keys.collect(),
    })
}

fn lack_of_subscription(active: &Subscription, candidate: &Description, lacks: &mut Vec<Lack>) {
    let mut add = |change| {
        lacks.push(Lack::Subscription {
            event_type: active.event_type.clone(),
            topic: active.topic.clone(),
            group: active.group.clone(),
            change,
        });
    };
    let of_topic = || {
        let subscriptions = candidate.subscriptions.iter();
        subscriptions.filter(|other| other.topic == active.topic)
    };
    let Some(same) = of_topic().find(|other| other.event_type == active.event_type) else {
        return add(SubscriptionChange::Missing);
    };
    for version in active.versions() {
        match (active.shape(version), same.shape(version)) {
            (Some((active, _)), Some((candidate, _))) if active != candidate => {
                add(SubscriptionChange::Key {
                    active: active.to_owned(),
                    candidate: candidate.to_owned(),
                });
            }
            (Some(_), None) => add(SubscriptionChange::Version {
                version,
                read: same.versions(),
            }),
            _ => {}
        }
    }
    if same.group != active.group {
        add(SubscriptionChange::Group {
            candidate: same.group.clone(),
        });
    }
    if active.untyped && !same.untyped {
        add(SubscriptionChange::Untyped);
    }
}

/// The names of commands whose route both builds have, or of listings whose path both have, if the
/// names differ: name in the active build, name in the candidate. Use is counted by name, and must
/// move with the route.
#[must_use]
pub fn renamed_routes<'d>(
    active: &'d Description,
    candidate: &'d Description,
) -> Vec<(&'d str, &'d str)> {
    let mut renamed = Vec::new();
    for command in &active.commands {
        if let Some(same) = same_route(command, candidate)
            && same.name != command.name
        {
            renamed.push((command.name.as_str(), same.name.as_str()));
        }
    }
    for listing in &active.listings {
        if let Some(same) = listing_at(candidate, &listing.path)
            && same.name != listing.name
        {
            renamed.push((listing.name.as_str(), same.name.as_str()));
        }
    }
    renamed
}

fn listing_at<'d>(description: &'d Description, path: &str) -> Option<&'d Listing> {
    let mut listings = description.listings.iter();
    listings.find(|listing| listing.path == path)
}

/// The command with the same route.
pub(crate) fn same_route<'d>(
    command: &Command,
    description: &'d Description,
) -> Option<&'d Command> {
    let shape = path_shape(&command.path);
    let mut commands = description.commands.iter();
    commands.find(|other| other.method == command.method && path_shape(&other.path) == shape)
}

/// The listings that both have, by path.
pub(crate) fn same_listings<'d>(
    active: &'d Description,
    candidate: &'d Description,
) -> impl Iterator<Item = (&'d Listing, &'d Listing)> {
    let listings = active.listings.iter();
    listings.filter_map(|listing| Some((listing, listing_at(candidate, &listing.path)?)))
}

/// Clients know a listing by its path and its query parameters.
fn lack_of_listing(active: &Listing, candidate: &Description, lacks: &mut Vec<Lack>) {
    let mut add = |filter| {
        lacks.push(Lack::Listing {
            name: active.name.clone(),
            path: active.path.clone(),
            filter,
        });
    };
    let Some(same) = listing_at(candidate, &active.path) else {
        return add(None);
    };
    for filter in &active.filters {
        let mut others = same.filters.iter();
        let is_there = others.any(|other| {
            other.parameter == filter.parameter
                && FilterType::of(&other.schema) == FilterType::of(&filter.schema)
        });
        if !is_there {
            add(Some(filter.parameter.clone()));
        }
    }
}

/// Clients know a route by method and URL: the command's name does not matter to them.
fn lack_of_route(active: &Command, candidate: &Description, lacks: &mut Vec<Lack>) {
    let mut add = |change| {
        lacks.push(Lack::Route {
            command: active.name.clone(),
            method: active.method,
            path: active.path.clone(),
            change,
        });
    };
    let Some(same) = same_route(active, candidate) else {
        return add(RouteChange::Missing);
    };
    if !is_same_key(active, same) {
        add(RouteChange::Key {
            active: active.key.clone(),
            candidate: same.key.clone(),
            path: same.path.clone(),
        });
    }
    // Each answer contains the location of a new aggregate, so its template may change.
    if kind_of(&active.kind) != kind_of(&same.kind) {
        add(RouteChange::Kind {
            active: active.kind.clone(),
            candidate: same.kind.clone(),
        });
    }
}

/// True if two commands with paths of the same shape take their key from the same place, whatever
/// its name.
fn is_same_key(one: &Command, other: &Command) -> bool {
    match (&one.key, &other.key) {
        (KeySource::PathParameter(name), KeySource::PathParameter(other_name)) => {
            let segment = |path, name: &str| {
                path_parameters(path)
                    .iter()
                    .position(|parameter| *parameter == name)
            };
            segment(&one.path, name) == segment(&other.path, other_name)
        }
        (one, other) => one == other,
    }
}

fn kind_of(kind: &CommandKind) -> &'static str {
    match kind {
        CommandKind::Create(_) => "create",
        CommandKind::Change => "change",
        CommandKind::Read => "read",
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Participant { active, candidate } => write!(
                f,
                "it describes another participant: `name` is `{candidate}`, not `{active}`"
            ),
            Self::Subscription {
                event_type,
                topic,
                group,
                change,
            } => {
                write!(f, "subscription `{event_type}` of topic `{topic}`")?;
                change.said(group, f)
            }
            Self::Route {
                command,
                method,
                path,
                change,
            } => change.said(command, method.as_str(), path, f),
            Self::Listing {
                name,
                path,
                filter: None,
            } => write!(f, "listing `{name}`, or another one at {path}, is missing"),
            Self::Listing {
                path,
                filter: Some(filter),
                ..
            } => write!(
                f,
                "listing at {path}: it can't be narrowed down by `{filter}` any more, or not by such values"
            ),
            Self::Timer { name } => write!(
                f,
                "timer `{name}` is missing: those that are set could not fall due"
            ),
            Self::State {
                version,
                oldest_readable,
                newest,
            } if version > newest => write!(
                f,
                "state: `version` is {newest} (`oldest-readable` {oldest_readable}), older than {version}, \
                 which the active build writes"
            ),
            Self::State {
                version,
                oldest_readable,
                newest,
            } => write!(
                f,
                "state: `oldest-readable` is {oldest_readable} (`version` {newest}), and the active build \
                 writes {version}: there is no migration from it"
            ),
        }
    }
}

impl SubscriptionChange {
    fn said(&self, group: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => {
                write!(f, " is missing: group `{group}` would pass these events over")
            }
            Self::Key { active, candidate } => write!(
                f,
                ": `key` is `{candidate}`, not `{active}`, and events would go to other aggregates"
            ),
            Self::Group { candidate } => write!(
                f,
                ": `group` is `{candidate}`, not `{group}`, and would not go on where that one stands"
            ),
            Self::Untyped => f.write_str(
                ": it is not `untyped` any more, and records that name no event type would become dead letters, \
                 or other events",
            ),
            Self::Version { version, read } => write!(
                f,
                ": version {version} of the event is not read any more ({}): its records would become dead letters",
                only(read)
            ),
        }
    }
}

impl RouteChange {
    fn said(
        &self,
        command: &str,
        method: &str,
        path: &str,
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        match self {
            Self::Missing => write!(
                f,
                "command `{command}`, or another one at {method} {path}, is missing"
            ),
            Self::Key {
                active,
                candidate,
                path: there,
            } => write!(
                f,
                "command at {method} {there}: `key` is {}, not {} as that of `{command}` at {path}",
                SubscriptionSource(candidate),
                SubscriptionSource(active)
            ),
            Self::Kind { active, candidate } => write!(
                f,
                "command at {method} {path}: `kind` is {}, not {} as that of `{command}`",
                kind_of(candidate),
                kind_of(active)
            ),
        }
    }
}

/// The versions that are read, in words.
pub(crate) fn only(versions: &[u32]) -> String {
    let versions: Vec<_> = versions.iter().map(u32::to_string).collect();
    format!("only {}", versions.join(", "))
}

/// A key source, in the words of the WIT.
struct SubscriptionSource<'a>(&'a KeySource);

impl fmt::Display for SubscriptionSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            KeySource::Generated => f.write_str("generated"),
            KeySource::PathParameter(name) => write!(f, "path-parameter `{name}`"),
            KeySource::Body(pointer) => write!(f, "body `{pointer}`"),
        }
    }
}

#[cfg(test)]
#[path = "compatibility_tests.rs"]
mod tests;
