//! The counts of a replay. Each thread counts for itself; sums are the same however the decisions
//! were shared out.

use std::collections::BTreeMap;
use std::sync::Arc;

use saga_core::message::Origin;
use saga_core::outcome::Outcome;
use sha2::{Digest as _, Sha256};

use super::changes::{ChangeGroups, Counted, cut_text};
use super::decide::{Changed, OwnState, ReplayVerdict};
use super::named::{AddUp, Named};
use super::report::{
    Example, FaultGroup, FuelCounts, MessageCounts, NoBaseline, NotJudged, OtherFuel, OwnFuel,
    ReplayMode, ReplayReport, ReplayedRange,
};
use crate::rollout::cases::form;
use crate::rollout::probe::trial::TrialAnswer;
use crate::rollout::report::DifferingPart;
use crate::store::JournalRow;
use crate::store::sample::Recorded;

/// Most differing places of an example.
const PARTS: usize = 32;

/// Counts of decisions.
#[derive(Default)]
pub(super) struct ReplayTally {
    unchanged: u64,
    changed: u64,
    faults: u64,
    on_other_states: u64,
    first: Option<u64>,
    until: Option<u64>,
    no_baseline: Named<Unreplayed>,
    changes: ChangeGroups,
    fault_groups: BTreeMap<String, Counted>,
    messages: BTreeMap<OriginPlace, Named<MessageTally>>,
    fuel: FuelCounts,
    own_fuel: OwnFuelTally,
    change_set: [u64; 4],
}

/// The fuel of decisions that their own rules made again, with the same outcome.
#[derive(Default)]
struct OwnFuelTally {
    same: u64,
    others: u64,
    first: Option<(i64, OtherFuel)>,
    not_judged: Named<u64>,
}

impl OwnFuelTally {
    fn note_first(&mut self, seq: i64, other: OtherFuel) {
        if self.first.as_ref().is_none_or(|(first, _)| seq < *first) {
            self.first = Some((seq, other));
        }
    }

    fn merge(&mut self, other: Self) {
        self.same += other.same;
        self.others += other.others;
        self.not_judged.merge(other.not_judged);
        if let Some((seq, first)) = other.first {
            self.note_first(seq, first);
        }
    }

    fn report(self) -> OwnFuel {
        let mut not_judged: Vec<_> = (self.not_judged.told())
            .map(|(reason, count)| NotJudged { reason, count })
            .collect();
        not_judged.sort_by_key(|one| std::cmp::Reverse(one.count));
        OwnFuel {
            same: self.same,
            others: self.others,
            first: self.first.map(|(_, first)| first),
            not_judged,
        }
    }
}

/// The place of an origin in an order.
type OriginPlace = u8;

#[derive(Default, Clone, Copy)]
struct MessageTally {
    replayed: u64,
    changed: u64,
    faults: u64,
    fuel: FuelCounts,
}

impl AddUp for MessageTally {
    fn plus(&mut self, other: Self) {
        self.replayed += other.replayed;
        self.changed += other.changed;
        self.faults += other.faults;
        self.fuel.merge(other.fuel);
    }
}

/// Decisions that were not made again, and the first of them.
struct Unreplayed {
    count: u64,
    seq: i64,
    key: String,
    detail: String,
}

impl AddUp for Unreplayed {
    fn plus(&mut self, other: Self) {
        let count = self.count + other.count;
        if other.seq < self.seq {
            *self = other;
        }
        self.count = count;
    }
}

impl ReplayTally {
    /// Counts what came of a decision.
    pub(super) fn add(&mut self, row: &JournalRow, own: OwnState<'_>, verdict: ReplayVerdict) {
        self.first = Some(self.first.map_or(row.time, |first| first.min(row.time)));
        self.until = self.until.max(Some(row.time));
        if let ReplayVerdict::NoBaseline(reason, detail) = &verdict {
            return self.without_baseline(row, reason, detail);
        }
        let Ok(recorded) = &row.recorded else {
            return;
        };
        let is_changed = matches!(verdict, ReplayVerdict::Changed(_));
        let fuel = match &verdict {
            ReplayVerdict::Unchanged(fuel) => Some(*fuel),
            ReplayVerdict::Changed(changed) => changed.fuel,
            _ => None,
        };
        let is_fault = matches!(verdict, ReplayVerdict::Fault(..));
        let mut message = MessageTally {
            replayed: 1,
            changed: u64::from(is_changed),
            faults: u64::from(is_fault),
            fuel: FuelCounts::default(),
        };
        if let Some(fuel) = fuel {
            message.fuel.add(row.fuel, fuel);
        }
        self.fuel.merge(message.fuel);
        let origin = recorded.message.origin as OriginPlace;
        let names = self.messages.entry(origin).or_default();
        names.add(&recorded.message.name, message);
        self.on_other_states += u64::from((is_changed || is_fault) && own.is_some());
        let told = Told { row, recorded, own };
        match verdict {
            ReplayVerdict::Changed(changed) => {
                self.changed += 1;
                self.note(&told, &changed.answer.in_words());
                let example = || told.changed(&changed);
                self.changes
                    .add(row.seq, &recorded.message, &changed, example);
            }
            ReplayVerdict::Fault(fault, why) => {
                let kind = fault.to_string();
                self.faults += 1;
                self.note(&told, &kind);
                let example = || told.example(outcome(&recorded.outcome), why.clone(), Vec::new());
                let group = self.fault_groups.entry(kind).or_default();
                group.add(row.seq, &mut None, example);
            }
            ReplayVerdict::Unchanged(_) | ReplayVerdict::NoBaseline(..) => self.unchanged += 1,
        }
    }

    fn without_baseline(&mut self, row: &JournalRow, reason: &str, detail: &str) {
        let one = Unreplayed {
            count: 1,
            seq: row.seq,
            key: row.key.clone(),
            detail: detail.to_owned(),
        };
        self.no_baseline.add(reason, one);
    }

    /// Adds a decision to the change set: its message, and what it is now.
    fn note(&mut self, told: &Told<'_>, now: &str) {
        let message = &told.recorded.message;
        let mut hash = Sha256::new();
        for text in [
            &*message.source,
            &message.id,
            &message.key,
            &message.name,
            now,
        ] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let digest = hash.finalize();
        for (sum, part) in self.change_set.iter_mut().zip(digest.chunks_exact(8)) {
            let part = part.try_into().map(u64::from_le_bytes).unwrap_or_default();
            // A sum does not depend on the order.
            *sum = sum.wrapping_add(part);
        }
    }

    /// Counts the fuel of a decision that its own rules made again: if it must be the same, or why it
    /// need not, and what it is now.
    pub(super) fn judge_fuel(&mut self, row: &JournalRow, judged: Result<(), &str>, now: u64) {
        let tally = &mut self.own_fuel;
        match judged {
            Err(reason) => tally.not_judged.add(reason, 1),
            Ok(()) if now == row.fuel => tally.same += 1,
            Ok(()) => {
                tally.others += 1;
                let other = OtherFuel {
                    key: cut_text(row.key.clone()),
                    revision: row.revision,
                    recorded: row.fuel,
                    now,
                };
                tally.note_first(row.seq, other);
            }
        }
    }

    /// Adds the counts of another thread.
    pub(super) fn merge(&mut self, other: Self) {
        self.unchanged += other.unchanged;
        self.changed += other.changed;
        self.faults += other.faults;
        self.on_other_states += other.on_other_states;
        self.first = match (self.first, other.first) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.until = self.until.max(other.until);
        self.no_baseline.merge(other.no_baseline);
        self.changes.merge(other.changes);
        for (kind, group) in other.fault_groups {
            self.fault_groups.entry(kind).or_default().merge(group);
        }
        for (origin, names) in other.messages {
            self.messages.entry(origin).or_default().merge(names);
        }
        self.fuel.merge(other.fuel);
        self.own_fuel.merge(other.own_fuel);
        for (sum, part) in self.change_set.iter_mut().zip(other.change_set) {
            *sum = sum.wrapping_add(part);
        }
    }

    /// Time of the earliest decision.
    pub(super) fn first(&self) -> Option<u64> {
        self.first
    }

    /// Time of the latest decision.
    pub(super) fn until(&self) -> Option<u64> {
        self.until
    }

    /// The result.
    pub(super) fn report(
        self,
        participant: &str,
        mode: ReplayMode,
        range: ReplayedRange,
    ) -> ReplayReport {
        let unreplayed = self.no_baseline.told().map(|(reason, one)| NoBaseline {
            reason,
            count: one.count,
            key: one.key,
            detail: one.detail,
        });
        let mut no_baseline: Vec<_> = unreplayed.collect();
        no_baseline.sort_by_key(|one| std::cmp::Reverse(one.count));
        let fault_groups = self
            .fault_groups
            .into_iter()
            .map(|(kind, group)| FaultGroup {
                kind,
                count: group.count,
                examples: group.examples.told(),
            });
        let word = |origin: OriginPlace| {
            let all = [Origin::Command, Origin::Event, Origin::Timer];
            all.into_iter().find(|one| *one as OriginPlace == origin)
        };
        let messages = (self.messages.into_iter())
            .flat_map(|(origin, names)| names.told().map(move |(name, one)| (origin, name, one)))
            .map(|(origin, name, one)| MessageCounts {
                origin: word(origin).map_or("", Origin::word).to_owned(),
                name,
                replayed: one.replayed,
                changed: one.changed,
                faults: one.faults,
                fuel: one.fuel,
            });
        ReplayReport {
            participant: participant.to_owned(),
            mode,
            rules: None,
            range,
            replayed: self.unchanged + self.changed + self.faults,
            unchanged: self.unchanged,
            changed: self.changed,
            on_other_states: self.on_other_states,
            faults: self.faults,
            no_baseline,
            changes: self.changes.groups(),
            fault_groups: fault_groups.collect(),
            messages: messages.collect(),
            fuel: self.fuel,
            own_fuel: (mode == ReplayMode::OwnRules).then(|| self.own_fuel.report()),
            change_set: self.change_set.map(|part| format!("{part:016x}")).concat(),
            elapsed_ms: 0,
        }
    }
}

/// A decision to be told.
struct Told<'r> {
    row: &'r JournalRow,
    recorded: &'r Recorded,
    own: OwnState<'r>,
}

impl Told<'_> {
    fn changed(&self, changed: &Changed) -> Arc<Example> {
        let parts = changed.parts.iter().take(PARTS).cloned();
        let parts = parts.map(DifferingPart::from).collect();
        let would_decide = match &changed.answer {
            TrialAnswer::Decided(decided) => outcome(decided),
            answer => answer.in_words(),
        };
        self.example(outcome(&changed.recorded), would_decide, parts)
    }

    fn example(
        &self,
        decided: String,
        would_decide: String,
        parts: Vec<DifferingPart>,
    ) -> Arc<Example> {
        let Self { row, recorded, own } = self;
        let message = &recorded.message;
        Arc::new(Example {
            seq: row.seq,
            key: cut_text(row.key.clone()),
            revision: row.revision,
            time: row.time,
            origin: message.origin.word().to_owned(),
            name: message.name.clone(),
            message: cut_text(message.id.clone()),
            body: cut_text(message.body.clone()),
            state: recorded.state.clone().map(cut_text),
            own_state: own.map(|own| cut_text(own.unwrap_or("null").to_owned())),
            decided: cut_text(decided),
            would_decide: cut_text(would_decide),
            parts,
        })
    }
}

/// A decision as JSON, in which states and bodies are values.
fn outcome(outcome: &Outcome) -> String {
    let value = form::outcome(outcome);
    value.unwrap_or_else(|why| why.into()).to_string()
}
