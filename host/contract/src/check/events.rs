//! Subscriptions, publications and timers.

use std::collections::BTreeSet;

use super::{Problems, key};
use crate::description::{Description, Subscription};

pub(super) fn check(description: &Description, found: &mut Problems) {
    subscriptions(description, found);
    let mut events = BTreeSet::new();
    for publication in &description.publications {
        if publication.event_type.is_empty() || publication.topic.is_empty() {
            found.add("publication", "has no event type or no topic");
        }
        let place = format!("publication {}", publication.event_type);
        if !events.insert(&publication.event_type) {
            found.add(&place, "is listed twice");
        }
        if publication.version == 0 {
            found.add(&place, "version 0: versions count from 1");
        }
    }
    let mut timers = BTreeSet::new();
    for timer in &description.timers {
        if timer.name.is_empty() || !timers.insert(&timer.name) {
            let place = format!("timer {}", timer.name);
            found.add(place, "has no name or is listed twice");
        }
    }
}

fn subscriptions(description: &Description, found: &mut Problems) {
    let mut seen: Vec<&Subscription> = Vec::new();
    for subscription in &description.subscriptions {
        let Subscription {
            event_type,
            topic,
            group,
            key: pointer,
            untyped,
            schema,
            ..
        } = subscription;
        let place = format!("subscription {event_type}");
        if event_type.is_empty() || topic.is_empty() || group.is_empty() {
            found.add(&place, "has no event type, no topic or no group");
        }
        key(pointer, schema, &place, found);
        versions(subscription, &place, found);
        for other in seen.iter().filter(|other| other.topic == *topic) {
            if other.event_type == *event_type {
                found.add(&place, format!("is listed twice for topic {topic}"));
            }
            if other.group != *group {
                let reason = format!(
                    "topic {topic} is read by two groups, {} and {group}: one group per topic",
                    other.group
                );
                found.add(&place, reason);
            }
            if other.untyped && *untyped {
                let reason = format!("topic {topic} has two events for untyped records");
                found.add(&place, reason);
            }
        }
        seen.push(subscription);
    }
}

fn versions(subscription: &Subscription, place: &str, found: &mut Problems) {
    let newest = subscription.version;
    if newest == 0 {
        found.add(place, "version 0: versions count from 1");
    }
    let mut seen = BTreeSet::new();
    for older in &subscription.older {
        let version = older.version;
        if version == 0 || version >= newest {
            let reason =
                format!("older version {version} is not between 1 and {newest}, the present one");
            found.add(place, reason);
        }
        if !seen.insert(version) {
            found.add(place, format!("lists version {version} twice"));
        }
        let place = format!("{place} version {version}");
        key(&older.key, &older.schema, &place, found);
    }
}
