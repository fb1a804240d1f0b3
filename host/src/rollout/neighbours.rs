//! Comparison of a candidate's messages with the generation that it replaces, and with the other
//! participants of its host.

use std::collections::{BTreeMap, BTreeSet};

use saga_contract::description::Description;
use saga_contract::shapes::{self, Concerns, ShapeBreak, ShapeFinding, ShapeMember};

use super::flags::{self, ALLOW_BREAKING, DROP_USED};
use super::hosted::HostedParticipant;
use super::reloader::ReloaderState;
use crate::base::generation::CompiledRules;
use crate::turn::Active;

/// Length of a digest that people use to tell builds apart.
const DIGEST: usize = 12;

/// Compares a candidate with the generation that it replaces, if any, and with the other
/// participants.
#[must_use]
pub fn compared(
    active: Option<&Description>,
    candidate: ShapeMember<'_>,
    others: &[ShapeMember<'_>],
) -> ShapeFinding {
    let mut found = shapes::among(active, candidate, others);
    if let Some(active) = active {
        // A candidate of another participant is refused for that alone.
        if active.name != candidate.description.name {
            return ShapeFinding::default();
        }
        found.add(against(active, candidate.description));
        shapes::note_understood(&mut found, candidate, others);
    }
    found
}

/// Compares a candidate with the generation that it replaces.
#[must_use]
pub fn against(active: &Description, candidate: &Description) -> ShapeFinding {
    if active.name == candidate.name {
        shapes::against(active, candidate)
    } else {
        ShapeFinding::default()
    }
}

/// Separates the findings about events that the candidate reads, which depend on the other
/// participants, from the rest.
#[must_use]
pub fn apart(mut found: ShapeFinding) -> (ShapeFinding, ShapeFinding) {
    let breaks = std::mem::take(&mut found.breaks);
    let is_heard = |one: &ShapeBreak| matches!(one.concerns, Concerns::Event { .. });
    let (heard, others) = breaks.into_iter().partition(is_heard);
    found.breaks = others;
    let heard = ShapeFinding {
        breaks: heard,
        ..ShapeFinding::default()
    };
    (found, heard)
}

/// A note for the operator if writing states in a new shape will prevent a rollback.
#[must_use]
pub fn one_way(active: &dyn CompiledRules, candidate: &dyn CompiledRules) -> Option<String> {
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

impl ReloaderState {
    /// The findings about a candidate on this host.
    pub(super) fn shapes(
        &self,
        hosted: &HostedParticipant,
        active: &Active,
        candidate: &dyn CompiledRules,
    ) -> ShapeFinding {
        let description = active.description();
        let others = (self.hosted.values())
            .filter(|other| other.participant.name() != description.name)
            .map(|other| (other.participant.active(), &other.own.topics));
        let others: Vec<_> = others.collect();
        let others: Vec<_> = others
            .iter()
            .map(|(active, topics)| ShapeMember {
                description: active.description(),
                topics,
            })
            .collect();
        let candidate = ShapeMember {
            description: candidate.description(),
            topics: &hosted.own.topics,
        };
        compared(Some(description), candidate, &others)
    }
}

/// A participant at the start of a host.
pub struct StartingParticipant<'s> {
    /// Its description.
    pub description: &'s Description,
    /// Its topics as renamed by the settings.
    pub topics: &'s BTreeMap<String, String>,
    /// The rules that were active before, if the start replaces them.
    pub replaced: Option<&'s Description>,
}

impl<'s> StartingParticipant<'s> {
    fn member(&self) -> ShapeMember<'s> {
        ShapeMember {
            description: self.description,
            topics: self.topics,
        }
    }
}

/// Logs the participants of a starting host that don't understand each other. A start that replaces
/// rules must pass the same checks as a swap.
///
/// # Errors
/// The messages that a start with replaced rules breaks.
pub fn at_start(participants: &[StartingParticipant<'_>]) -> Result<(), String> {
    let members: Vec<_> = participants
        .iter()
        .map(StartingParticipant::member)
        .collect();
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
