//! Whether a candidate understands, and is understood by, the build that it replaces and the other participants
//! of its host.

use std::collections::{BTreeMap, BTreeSet};

use saga_contract::description::Description;
use saga_contract::shapes::{self, Broken, Concerns, Found, Member};

use super::flags::{self, ALLOW_BREAKING, DROP_USED};
use super::hosted::Hosted;
use super::reloader::Inner;
use crate::base::generation::Build;
use crate::turn::Active;

/// Characters of a digest that tell builds apart for people.
const DIGEST: usize = 12;

/// Compares a candidate with the build that it replaces, if there is one, and with the other participants.
#[must_use]
pub fn compared(
    active: Option<&Description>,
    candidate: Member<'_>,
    others: &[Member<'_>],
) -> Found {
    let mut found = shapes::among(active, candidate, others);
    if let Some(active) = active {
        // Another participant is refused for that alone.
        if active.name != candidate.description.name {
            return Found::default();
        }
        found.add(against(active, candidate.description));
        shapes::note_understood(&mut found, candidate, others);
    }
    found
}

/// Compares a candidate with the build that it replaces.
#[must_use]
pub fn against(active: &Description, candidate: &Description) -> Found {
    if active.name == candidate.name {
        shapes::against(active, candidate)
    } else {
        Found::default()
    }
}

/// What was found of a candidate beside the build that it replaces, apart from what it takes of events: that depends on the
/// other participants.
#[must_use]
pub fn apart(mut found: Found) -> (Found, Found) {
    let breaks = std::mem::take(&mut found.breaks);
    let is_heard = |one: &Broken| matches!(one.concerns, Concerns::Event { .. });
    let (heard, others) = breaks.into_iter().partition(is_heard);
    found.breaks = others;
    let heard = Found {
        breaks: heard,
        ..Found::default()
    };
    (found, heard)
}

/// What an operator should know before a state is written in a new shape: the way back is closed then.
#[must_use]
pub fn one_way(active: &dyn Build, candidate: &dyn Build) -> Option<String> {
    let (before, after) = (active.description(), candidate.description());
    let digest = active.digest();
    (after.state.version > before.state.version).then(|| {
        format!(
            "state version {} -> {}: after this, going back to version {} ({}) is refused once a state has been written",
            before.state.version,
            after.state.version,
            before.version,
            digest.get(..DIGEST).unwrap_or(digest)
        )
    })
}

impl Inner {
    /// What is found of a candidate beside what runs.
    pub(super) fn shapes(&self, hosted: &Hosted, active: &Active, candidate: &dyn Build) -> Found {
        let description = active.description();
        let others = (self.hosted.values())
            .filter(|other| other.participant.name() != description.name)
            .map(|other| (other.participant.active(), &other.own.topics));
        let others: Vec<_> = others.collect();
        let others: Vec<_> = others
            .iter()
            .map(|(active, topics)| Member {
                description: active.description(),
                topics,
            })
            .collect();
        let candidate = Member {
            description: candidate.description(),
            topics: &hosted.own.topics,
        };
        compared(Some(description), candidate, &others)
    }
}

/// A participant with which a host starts.
pub struct Starting<'s> {
    /// What it says of itself.
    pub description: &'s Description,
    /// What the settings call its topics.
    pub topics: &'s BTreeMap<String, String>,
    /// What was active before, where the start replaces it.
    pub replaced: Option<&'s Description>,
}

impl<'s> Starting<'s> {
    fn member(&self) -> Member<'s> {
        Member {
            description: self.description,
            topics: self.topics,
        }
    }
}

/// Says in the log which participants of a host that starts don't understand each other. A start that replaces rules is held
/// to what a swap is.
///
/// # Errors
/// What a start that replaces rules breaks.
pub fn at_start(participants: &[Starting<'_>]) -> Result<(), String> {
    let members: Vec<_> = participants.iter().map(Starting::member).collect();
    let (mut reasons, mut allowed_by) = (Vec::new(), BTreeSet::new());
    for (place, one) in participants.iter().enumerate() {
        let others = members.iter().enumerate();
        let others = others.filter(|(other, _)| *other != place);
        let others: Vec<_> = others.map(|(_, member)| *member).collect();
        let candidate = one.member();
        let name = &one.description.name;
        let found = match one.replaced {
            Some(replaced) => {
                let mut found = shapes::among(Some(replaced), candidate, &others);
                let (_, heard) = apart(against(replaced, candidate.description));
                found.add(heard);
                shapes::note_understood(&mut found, candidate, &others);
                found
            }
            None => {
                let mut found = shapes::published(None, candidate, &others);
                found.notes.extend(shapes::unheard(candidate, &others));
                found
            }
        };
        if one.replaced.is_some() {
            allowed_by.extend((!found.breaks.is_empty()).then_some(ALLOW_BREAKING));
            allowed_by.extend((!found.dropped.is_empty()).then_some(DROP_USED));
        }
        let broken = found.breaks.into_iter().map(|one| one.text);
        if one.replaced.is_some() {
            let broken = broken.chain(found.dropped);
            reasons.extend(broken.map(|reason| format!("participant {name}: {reason}")));
        } else {
            for reason in broken {
                tracing::warn!(participant = %name, %reason, "an event is published that can't be read");
            }
        }
        for reason in found.notes {
            tracing::warn!(participant = %name, %reason, "participants may not understand each other");
        }
    }
    if reasons.is_empty() {
        return Ok(());
    }
    let allowed_by: Vec<_> = allowed_by.into_iter().map(str::to_owned).collect();
    let way_out = flags::beside_a_start(&allowed_by);
    Err(format!("{}{way_out}", reasons.join("; ")))
}
