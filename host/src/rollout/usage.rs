//! The use of what a candidate drops; dropping something in use is a reason to refuse it.
//!
//! In use are: a subscription with an event that was decided within the retention or waits to be
//! read, a route that was requested within the retention, a timer that is set, a state that is
//! stored. Reads only.

use saga_contract::compatibility::Lack;
use saga_contract::description::Description;
use saga_contract::shapes::{Concerns, ShapeFinding};
use saga_core::message::Origin;

use super::flags::Objections;
use crate::store::{ReadStore, StoreResult};

/// Looks up the use of a participant's features in the store.
pub struct Usage<'c> {
    /// The committed rows.
    pub reading: &'c dyn ReadStore,
    /// Row of the participant.
    pub participant: i64,
    /// Consumers of the active generation: name in the store, row of the topic, declared topic.
    pub consumers: Vec<(std::sync::Arc<str>, i64, std::sync::Arc<str>)>,
    /// Milliseconds for which a request counts as use.
    pub retention_ms: u64,
    /// Milliseconds since the Unix epoch.
    pub now: u64,
}

/// Conflicts of a candidate with what is in use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Conflicts {
    /// Conflicts that no flag overrides.
    pub hard: Vec<String>,
    /// Features in use that would be dropped.
    pub used: Vec<String>,
    /// Unused features that would be dropped.
    pub unused: Vec<String>,
}

impl Usage<'_> {
    /// Looks up the use of all that a candidate with this description drops.
    ///
    /// # Errors
    /// An error of the store.
    pub fn conflicts(&self, candidate: &Description, lacks: &[Lack]) -> StoreResult<Conflicts> {
        let mut conflicts = Conflicts::default();
        for lack in lacks {
            match lack {
                Lack::Participant { .. } => conflicts.hard.push(lack.to_string()),
                // Stored states count, not those that the active generation would write.
                Lack::State { .. } => {}
                _ => match self.use_of(lack)? {
                    Some(used) => conflicts.used.push(format!("{lack}; it is in use: {used}")),
                    None => conflicts.unused.push(format!("{lack}; it is not in use")),
                },
            }
        }
        // Stored states don't matter to another participant.
        if conflicts.hard.is_empty() {
            let unreadable = unreadable(self.reading, self.participant, candidate)?;
            conflicts.hard.extend(unreadable);
        }
        Ok(conflicts)
    }

    /// Adds what a candidate breaks, and dropped events that another participant waits for; returns
    /// notes for the operator.
    ///
    /// # Errors
    /// An error of the store.
    pub(super) fn object(
        &self,
        found: &ShapeFinding,
        objections: &mut Objections,
    ) -> StoreResult<Vec<String>> {
        let mut notes = found.notes.clone();
        objections.used.extend(found.dropped.iter().cloned());
        for broken in &found.breaks {
            let text = &broken.text;
            let used = match &broken.concerns {
                Concerns::Others | Concerns::Event { .. } => Some(text.clone()),
                Concerns::Timer(name) => {
                    let set = self.reading.timers_set(self.participant, name)?;
                    (set > 0).then(|| format!("{text}; {set} such timers are set"))
                }
                Concerns::States => self
                    .reading
                    .holds_states(self.participant)?
                    .then(|| text.clone()),
            };
            match used {
                Some(used) => objections.breaking.push(used),
                None => notes.push(format!("{text}; there are none at present")),
            }
        }
        Ok(notes)
    }

    fn use_of(&self, lack: &Lack) -> StoreResult<Option<String>> {
        match lack {
            Lack::Subscription {
                event_type, topic, ..
            } => {
                let parked = self.reading.parked_events(self.participant, event_type)?;
                if parked > 0 {
                    return Ok(Some(format!("{parked} such events are parked")));
                }
                for (consumer, row, declared) in &self.consumers {
                    if **declared == **topic {
                        if !consumer.starts_with("log:") {
                            let why = "whether such events wait on the broker is not known here";
                            return Ok(Some(why.into()));
                        }
                        let unread = self.reading.unread(consumer, *row, event_type)?;
                        if unread > 0 {
                            return Ok(Some(format!("{unread} such events wait to be read")));
                        }
                    }
                }
                self.asked(Origin::Event, event_type)
            }
            Lack::Route { command: name, .. } | Lack::Listing { name, .. } => {
                self.asked(Origin::Command, name)
            }
            Lack::Timer { name } => {
                let set = self.reading.timers_set(self.participant, name)?;
                Ok((set > 0).then(|| format!("{set} such timers are set")))
            }
            Lack::Participant { .. } | Lack::State { .. } => Ok(None),
        }
    }

    fn asked(&self, origin: Origin, name: &str) -> StoreResult<Option<String>> {
        let last = self.reading.last_asked(self.participant, origin, name)?;
        let what = match origin {
            Origin::Command => "request for it",
            Origin::Event => "such event",
            Origin::Timer => "such timer",
        };
        Ok(last
            .map(|last| self.now.saturating_sub(last))
            .filter(|age| *age <= self.retention_ms)
            .map(|age| format!("the last {what} came {} ago", duration(age))))
    }
}

/// Names the stored states that rules with this description can't read, if there are any.
///
/// # Errors
/// An error of the store.
pub fn unreadable(
    reading: &dyn ReadStore,
    participant: i64,
    description: &Description,
) -> StoreResult<Option<String>> {
    let state = &description.state;
    let (oldest, newest) = (state.oldest_readable, state.version);
    let outside = reading.state_versions_outside(participant, oldest, newest)?;
    Ok(outside.map(|(first, last)| {
        format!(
            "reads states of {}; the store holds states of {} of {}; use a build that reads them",
            match oldest == newest {
                true => format!("version {newest} only"),
                false => versions(oldest, newest),
            },
            description.name,
            versions(first, last)
        )
    }))
}

/// Versions as text: `version 2`, `versions 2 to 4`.
fn versions(first: u32, last: u32) -> String {
    match first == last {
        true => format!("version {first}"),
        false => format!("versions {first} to {last}"),
    }
}

/// A duration as text: `3 minutes`.
fn duration(ms: u64) -> String {
    let (amount, unit) = match ms / 1_000 {
        seconds @ 0..=119 => (seconds, "second"),
        seconds @ 120..=7_199 => (seconds / 60, "minute"),
        seconds @ 7_200..=172_799 => (seconds / 3_600, "hour"),
        seconds => (seconds / 86_400, "day"),
    };
    let plural = if amount == 1 { "" } else { "s" };
    format!("{amount} {unit}{plural}")
}

#[cfg(test)]
mod tests {
    use super::{duration, versions};

    #[test]
    fn a_range_of_one_version_is_told_as_one() {
        assert_eq!(versions(2, 2), "version 2");
        assert_eq!(versions(1, 3), "versions 1 to 3");
    }

    #[test]
    fn durations_are_told_in_the_unit_that_fits() {
        for (ms, text) in [
            (400, "0 seconds"),
            (1_000, "1 second"),
            (119_999, "119 seconds"),
            (120_000, "2 minutes"),
            (7_200_000, "2 hours"),
            (172_800_000, "2 days"),
        ] {
            assert_eq!(duration(ms), text);
        }
    }
}
