//! Stored states: a candidate must read, show and list them, and what it loses of them is reported.

use std::collections::{BTreeMap, BTreeSet};

use saga_contract::description::Listing;
use serde_json::Value;

use super::{Harm, Probing, TrialRun, json};
use crate::store::sample::Keyed;

/// Most places in states that are reported.
const PLACES: usize = 8;

/// Findings over all states.
#[derive(Debug, Default)]
pub(super) struct StateFindings {
    /// Members that the candidate drops from states of its own version: their number and the key of
    /// the first, by place.
    lost: BTreeMap<String, (usize, String)>,
    /// Findings per listing and query parameter.
    filters: BTreeMap<(String, String), FilterFindings>,
}

/// Findings about a filter of a list.
#[derive(Debug, Default)]
struct FilterFindings {
    /// States with a value.
    with: usize,
    /// States with a value for the active generation, but not for the candidate.
    only_before: usize,
    /// The pointer of the candidate's filter.
    pointer: String,
    /// The key of the first of those.
    first: String,
}

impl Probing<'_> {
    /// Tries a stored state.
    pub(super) fn state(&mut self, aggregate: &Keyed) {
        let (key, version) = (&aggregate.key, aggregate.stored.state_version);
        let Some(state) = aggregate.stored.state.as_deref() else {
            return;
        };
        // Versions that the candidate does not declare as readable were refused before.
        if !self.candidate.reads(version) {
            return;
        }
        self.report.states += 1;
        let of_it = |what: &str| format!("{what} the state of {key} (version {version})");
        let decoded = self.tried(
            Harm::Unread,
            || of_it("can't read"),
            |trial| trial.decoded(version, state).map_err(String::from),
        );
        let Some(decoded) = decoded else {
            self.report.states_not_read += 1;
            return;
        };
        self.tried(
            Harm::OtherShape,
            || of_it("describes another shape than that of"),
            |trial| {
                let state = trial.decoded(version, state)?;
                trial.fits(&state)
            },
        );
        self.tried(
            Harm::NotShown,
            || of_it("can't show"),
            |trial| {
                let state = trial.shaped(version, state)?;
                trial.shown(key, &state)
            },
        );
        if version == self.candidate.version() {
            self.lost(key, state, &decoded);
        }
        self.listed(aggregate, &decoded);
    }

    /// Tries the state of a quarantined aggregate; a failure makes the candidate no worse.
    pub(super) fn quarantined(&mut self, aggregate: &Keyed) {
        let (stored, trial) = (&aggregate.stored, &mut self.candidate);
        let Some(state) = stored.state.as_deref() else {
            return;
        };
        self.report.quarantined += 1;
        let is_read =
            trial.reads(stored.state_version) && trial.decoded(stored.state_version, state).is_ok();
        self.report.quarantined_read += usize::from(is_read);
    }

    /// Notes members that the candidate drops from a state, unless the active generation does too.
    fn lost(&mut self, key: &str, state: &str, decoded: &str) {
        if state == decoded {
            return;
        }
        let value = |text: &str| saga_contract::json::parse(text).unwrap_or_default();
        let (before, after) = (value(state), value(decoded));
        let missing = json::missing(&before, &after);
        if missing.is_empty() {
            return;
        }
        let version = self.candidate.version();
        let kept = self.active.as_mut().map(|active| {
            let kept = active.decoded(version, state);
            kept.map_or(Value::Null, |kept| value(&kept))
        });
        let is_kept =
            |place: &String| (kept.as_ref()).is_none_or(|kept| kept.pointer(place).is_some());
        let places: BTreeSet<_> = (missing.iter().filter(|place| is_kept(place)))
            .map(|place| json::of_any_item(&before, place))
            .collect();
        let lost = &mut self.looks.lost;
        for place in places {
            if lost.len() < PLACES || lost.contains_key(&place) {
                lost.entry(place).or_insert_with(|| (0, key.to_owned())).0 += 1;
            }
        }
    }

    /// Checks that filtered lists still find an aggregate.
    fn listed(&mut self, aggregate: &Keyed, decoded: &str) {
        let description = self.candidate.description;
        if description.listings.is_empty() {
            return;
        }
        let Ok(after) = saga_contract::json::parse(decoded) else {
            return;
        };
        let mut before = None;
        for listing in &description.listings {
            for filter in &listing.filters {
                let name = (listing.path.clone(), filter.parameter.clone());
                let found = self.looks.filters.entry(name).or_default();
                if has(&after, &filter.pointer) {
                    found.with += 1;
                    continue;
                }
                found.pointer.clone_from(&filter.pointer);
                let Some(active) = &mut self.active else {
                    continue;
                };
                let before = before.get_or_insert_with(|| shape_of(active, aggregate));
                let pointer = pointer_of(&active.description.listings, listing, &filter.parameter);
                if pointer.is_some_and(|pointer| has(before, pointer)) {
                    found.only_before += 1;
                    if found.only_before == 1 {
                        found.first.clone_from(&aggregate.key);
                    }
                }
            }
        }
    }

    /// Reports the findings over all states.
    pub(super) fn report_findings(&mut self) {
        let looks = std::mem::take(&mut self.looks);
        for (place, (count, first)) in looks.lost {
            self.report.notes.push(format!(
                "{count} of {} stored states that it was tried on lose {place}, such as that of {first}: it does not \
                 keep what stands there",
                self.report.states
            ));
        }
        for ((path, parameter), found) in looks.filters {
            if found.with == 0 && found.only_before > 0 {
                let failure = format!(
                    "the listing at {path} would find nothing by `{parameter}`: none of {} stored states has a value at \
                     {}, and {} can be found by it now, such as {}",
                    self.report.states, found.pointer, found.only_before, found.first
                );
                self.failures.add(Harm::NotFound, failure);
            }
        }
    }
}

/// A stored state, migrated by these rules; `null` if they can't read it.
fn shape_of(trial: &mut TrialRun<'_>, aggregate: &Keyed) -> Value {
    let stored = &aggregate.stored;
    let state = stored.state.as_deref().unwrap_or("null");
    let shaped = trial.shaped(stored.state_version, state);
    shaped
        .ok()
        .and_then(|state| serde_json::from_str(&state).ok())
        .unwrap_or_default()
}

/// The pointer of a query parameter in the listing with the same path.
fn pointer_of<'l>(listings: &'l [Listing], same: &Listing, parameter: &str) -> Option<&'l str> {
    let listing = listings.iter().find(|listing| listing.path == same.path)?;
    let mut filters = listing.filters.iter();
    let filter = filters.find(|filter| filter.parameter == parameter)?;
    Some(&filter.pointer)
}

fn has(state: &Value, pointer: &str) -> bool {
    state.pointer(pointer).is_some_and(|value| !value.is_null())
}
