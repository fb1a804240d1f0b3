//! Compares a candidate with the other participants, in both directions; finds subscribed events
//! without a publisher.

use super::{Concerns, ShapeFinding, ShapeMember, of_event, publication};
use crate::description::{Description, Publication, Subscription};
use crate::near;
use crate::schema::Sides;

/// Compares a candidate with the other participants, in both directions. A break that the active
/// build has too is only a note.
#[must_use]
pub fn among(
    active: Option<&Description>,
    candidate: ShapeMember<'_>,
    others: &[ShapeMember<'_>],
) -> ShapeFinding {
    let mut found = published(active, candidate, others);
    for subscription in &candidate.description.subscriptions {
        for other in others {
            heard(active, candidate, subscription, *other, &mut found);
        }
    }
    for event in active.into_iter().flat_map(|active| &active.publications) {
        dropped(candidate, event, others, &mut found);
    }
    found.notes.extend(unheard(candidate, others));
    found
}

/// Compares a participant's publications with the subscriptions of the others, and with its own.
#[must_use]
pub fn published(
    active: Option<&Description>,
    candidate: ShapeMember<'_>,
    others: &[ShapeMember<'_>],
) -> ShapeFinding {
    let mut found = ShapeFinding::default();
    for event in &candidate.description.publications {
        let topic = candidate.topic(&event.topic);
        let before = active.and_then(|active| publication(active, &event.event_type, &event.topic));
        for other in others.iter().copied().chain([candidate]) {
            let is_itself = std::ptr::eq(other.description, candidate.description);
            let Some(subscription) = other.subscription(&event.event_type, topic) else {
                continue;
            };
            let name = format!("participant {}", other.description.name);
            let sides = Sides {
                reader: if is_itself { "it itself" } else { &name },
                place: "in what this build publishes",
                gone: match before {
                    Some(_) => "no longer published",
                    None => "not published",
                },
                optional: "not always published",
                whole: "the body",
            };
            let read_before = match active {
                Some(active) if is_itself => {
                    same_subscription(active, subscription).unwrap_or(subscription)
                }
                _ => subscription,
            };
            let before = before.map(|before| (read_before, before));
            found.event((subscription, event), before, &sides);
        }
    }
    found
}

/// Turns breaks of an event into notes if its publishers are known here and the candidate accepts
/// everything that they publish. If none is known, anyone may publish the event.
pub fn note_understood(
    found: &mut ShapeFinding,
    candidate: ShapeMember<'_>,
    others: &[ShapeMember<'_>],
) {
    let (understood, breaks) = std::mem::take(&mut found.breaks)
        .into_iter()
        .partition::<Vec<_>, _>(|broken| match &broken.concerns {
            Concerns::Event { event_type, topic } => {
                is_understood(candidate, (event_type, topic), others)
            }
            _ => false,
        });
    found.breaks = breaks;
    let notes = understood.into_iter().map(|broken| {
        let text = broken.text;
        format!("{text}; the participants that are known to publish it publish none such")
    });
    found.notes.extend(notes);
}

fn is_understood(
    candidate: ShapeMember<'_>,
    (event_type, declared): (&str, &str),
    others: &[ShapeMember<'_>],
) -> bool {
    let topic = candidate.topic(declared);
    let Some(read) = candidate.subscription(event_type, topic) else {
        return false;
    };
    let all = others.iter().copied().chain([candidate]);
    let mut published = all.filter_map(|member| member.publication(event_type, topic));
    let mut is_published = false;
    published.all(|event| {
        is_published = true;
        let found = of_event(read, event);
        let is_read = read.shape(event.version).is_some();
        is_read && found.breaks.is_empty() && found.unclear.is_empty()
    }) && is_published
}

/// Subscribed events of a participant that nobody publishes here, if similar ones are published:
/// they may be misspelt. If none is similar, the event may come from elsewhere.
#[must_use]
pub fn unheard(candidate: ShapeMember<'_>, others: &[ShapeMember<'_>]) -> Vec<String> {
    let all = || others.iter().copied().chain([candidate]);
    let mut notes = Vec::new();
    for subscription in &candidate.description.subscriptions {
        let topic = candidate.topic(&subscription.topic);
        let event_type = &subscription.event_type;
        if all().any(|member| member.publication(event_type, topic).is_some()) {
            continue;
        }
        let published = all().flat_map(|member| {
            let events = member.description.publications.iter();
            events.map(move |event| near::PublishedType {
                event_type: &event.event_type,
                topic: member.topic(&event.topic),
                by: &member.description.name,
            })
        });
        if let Some(instead) = near::instead(event_type, topic, published) {
            notes.push(format!(
                "subscription `{event_type}` of topic `{topic}`: no participant that is known here publishes it; {instead}"
            ));
        }
    }
    notes
}

/// Compares the publications of another participant with the candidate's subscriptions.
fn heard(
    active: Option<&Description>,
    candidate: ShapeMember<'_>,
    subscription: &Subscription,
    other: ShapeMember<'_>,
    found: &mut ShapeFinding,
) {
    let topic = candidate.topic(&subscription.topic);
    let Some(event) = other.publication(&subscription.event_type, topic) else {
        return;
    };
    let name = &other.description.name;
    let sides = Sides {
        reader: "this build",
        place: &format!("in what participant {name} publishes"),
        gone: &format!("not published by participant {name}"),
        optional: &format!("not always published by participant {name}"),
        whole: "the body",
    };
    let before = active.and_then(|active| same_subscription(active, subscription));
    let before = before.map(|before| (before, event));
    found.event((subscription, event), before, &sides);
}

/// Reports an event that the active build publishes and the candidate does not, if it is subscribed
/// to.
fn dropped(
    candidate: ShapeMember<'_>,
    event: &Publication,
    others: &[ShapeMember<'_>],
    found: &mut ShapeFinding,
) {
    let Publication {
        event_type, topic, ..
    } = event;
    let named = candidate.topic(topic);
    let mut all = others.iter().chain([&candidate]);
    if all.any(|member| member.publication(event_type, named).is_some()) {
        return;
    }
    for other in others {
        if other.subscription(event_type, named).is_some() {
            let published = candidate.description.publications.iter();
            let published = published.map(|event| near::PublishedType {
                event_type: &event.event_type,
                topic: candidate.topic(&event.topic),
                by: "this build",
            });
            let instead = near::spelling(event_type, named, published);
            let instead = instead.map_or(String::new(), |instead| format!("; {instead}"));
            found.dropped.push(format!(
                "event `{event_type}` is no longer published on topic `{named}`: participant {} would wait for it{instead}",
                other.description.name
            ));
        }
    }
}

fn same_subscription<'d>(
    description: &'d Description,
    subscription: &Subscription,
) -> Option<&'d Subscription> {
    let mut events = description.subscriptions.iter();
    events.find(|event| {
        event.event_type == subscription.event_type && event.topic == subscription.topic
    })
}

impl<'d> ShapeMember<'d> {
    /// The name that the settings give a topic, by which participants share it.
    fn topic(self, declared: &'d str) -> &'d str {
        self.topics.get(declared).map_or(declared, String::as_str)
    }

    fn publication(self, event_type: &str, topic: &str) -> Option<&'d Publication> {
        let mut events = self.description.publications.iter();
        events.find(|event| event.event_type == event_type && self.topic(&event.topic) == topic)
    }

    fn subscription(self, event_type: &str, topic: &str) -> Option<&'d Subscription> {
        let mut events = self.description.subscriptions.iter();
        events.find(|event| event.event_type == event_type && self.topic(&event.topic) == topic)
    }
}
