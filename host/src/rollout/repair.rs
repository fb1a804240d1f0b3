//! Repair: which decisions of one generation the fixed rules decide otherwise. A list: nothing is
//! changed or emitted.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::replay::decide::{Changed, ReplayVerdict, decide};
use super::replay::report::RulesUnderReplay;
use super::replay::{NotReplayed, ReplayProgress, candidate, described, participant};
use crate::base::clock::now_ms;
use crate::rollout::cases::form;
use crate::rollout::loader::CheckRoutes;
use crate::rollout::probe::compare::parsed;
use crate::rollout::probe::trial::{TrialAnswer, TrialRun};
use crate::rollout::report::DifferingPart;
use crate::rollout::rollback_target::by_digest;
use crate::rollout::rule_settings::SettingsChange;
use crate::rollout::settings::RolloutSettings;
use crate::rollout::verify;
use crate::store::decisions::ReadDecisions;
use crate::store::{DecisionRange, JournalRow, JournalSpan, StoreLocation, StoreResult, decisions};

/// Most decisions in a list, and most bytes of their JSON; more are counted (invariant 9).
const LISTED: usize = 10_000;
const ROOM: usize = 32 << 20;

/// Most differing places of a decision.
const PLACES: usize = 20;

/// Which decisions are looked at, and by which rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// The participant.
    pub participant: String,
    /// The data directory of its host.
    pub data: StoreLocation,
    /// Digest of the generation that decided, or its beginning.
    pub generation: String,
    /// The component of the fixed rules.
    pub with: PathBuf,
    /// Changes of the settings that are active in the store.
    pub settings: SettingsChange,
}

/// The decisions that the fixed rules make otherwise.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RepairList {
    /// The participant.
    pub participant: String,
    /// Digest of the generation that decided.
    pub generation: String,
    /// The version that it declares.
    pub version: String,
    /// The fixed rules.
    pub rules: RulesUnderReplay,
    /// Recorded decisions of that generation.
    pub decisions: u64,
    /// Those that were not made again, because they can't be read.
    pub not_compared: u64,
    /// The reason for the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_not_compared: Option<String>,
    /// The decisions that the fixed rules make otherwise, in the order of their commits.
    pub affected: Vec<Affected>,
    /// Those that are not listed, because there are too many.
    pub not_listed: u64,
}

/// A decision that the fixed rules make otherwise, on the recorded state.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Affected {
    /// Key of the aggregate.
    pub key: String,
    /// Number of the decision in the journal.
    pub seq: i64,
    /// Revision of the aggregate before it.
    pub revision: u64,
    /// Time of the decision, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Origin of the message: command, event or timer.
    pub origin: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Id of the message.
    pub message: String,
    /// Id of the saga.
    pub correlation: String,
    /// The state before it; None if there was no aggregate.
    pub state: Option<Value>,
    /// Body of the message.
    pub body: Value,
    /// The recorded decision.
    pub recorded: Value,
    /// The decision of the fixed rules; None if they don't decide.
    pub corrected: Option<Value>,
    /// Why they don't decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_decided: Option<String>,
    /// The places that differ.
    pub parts: Vec<DifferingPart>,
}

/// Makes the decisions of a generation again, by the fixed rules.
///
/// # Errors
/// The reason why that is not possible.
pub fn repair(
    settings: &RolloutSettings,
    request: &Repair,
    check_routes: CheckRoutes,
    progress: &mut dyn FnMut(ReplayProgress),
) -> Result<RepairList, NotReplayed> {
    let data = &request.data;
    let unread = |error| NotReplayed::from(verify::unreadable(data, &error));
    let reading = verify::open(data)?;
    let row = participant(&*reading, &request.participant, data)?;
    let generations = reading.generations(row).map_err(unread)?;
    let generation = by_digest(&generations, &request.participant, &request.generation);
    let generation = &generation.map_err(NotReplayed::Refusal)?.generation;
    let loader = verify::loader_of(settings, data, check_routes)?;
    let build = candidate(
        settings,
        &loader,
        &request.participant,
        data,
        (&request.with, &request.settings),
    )?;
    let list = RepairList {
        participant: request.participant.clone(),
        generation: generation.digest.clone(),
        version: generation.version.clone(),
        rules: described(&*build),
        decisions: 0,
        not_compared: 0,
        first_not_compared: None,
        affected: Vec::new(),
        not_listed: 0,
    };
    let wanted = DecisionRange {
        participant: row,
        generation: Some(list.generation.clone()),
        ..DecisionRange::default()
    };
    let mut trial = TrialRun::new(&*build, &settings.turn, now_ms()).map_err(|fault| {
        NotReplayed::NoInstance(format!("an instance can't be created: {fault}"))
    })?;
    let mut listing = Listing { list, room: ROOM };
    let look_at = |row: JournalRow| listing.look_at(&mut trial, &row);
    each(&*reading, &wanted, progress, look_at).map_err(unread)?;
    Ok(listing.list)
}

/// Passes all wanted decisions, and tells after each page how far it has come.
fn each(
    reading: &dyn ReadDecisions,
    wanted: &DecisionRange,
    progress: &mut dyn FnMut(ReplayProgress),
    mut on: impl FnMut(JournalRow),
) -> StoreResult<()> {
    let Some(span) = reading.decisions_span(wanted)? else {
        return Ok(());
    };
    let all = span.numbers();
    let _all: ControlFlow<()> = decisions::each_page(reading, wanted, span, |page| {
        let rest = JournalSpan {
            after: page.read,
            ..span
        };
        page.rows.into_iter().for_each(&mut on);
        let read = all.saturating_sub(rest.numbers());
        progress(ReplayProgress { read, all });
        ControlFlow::Continue(())
    })?;
    Ok(())
}

impl RepairList {
    /// True if the fixed rules make every decision as it was recorded.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.affected.is_empty() && self.not_listed == 0 && self.not_compared == 0
    }
}

/// A list while it is made.
struct Listing {
    list: RepairList,
    /// Bytes that may follow.
    room: usize,
}

impl Listing {
    fn look_at(&mut self, trial: &mut TrialRun<'_>, row: &JournalRow) {
        self.list.decisions += 1;
        let recorded = match &row.recorded {
            Ok(recorded) => recorded,
            Err(why) => return self.skip(row, &why.to_string()),
        };
        let (decided, corrected, parts) = match decide(trial, recorded, None, false).verdict {
            ReplayVerdict::Unchanged(_) => return,
            ReplayVerdict::NoBaseline(_, why) => return self.skip(row, &why),
            ReplayVerdict::Fault(_, why) => (recorded.outcome.clone(), Err(why), Vec::new()),
            ReplayVerdict::Changed(changed) => {
                let Changed {
                    parts,
                    answer,
                    recorded,
                    ..
                } = *changed;
                let answer = match answer {
                    TrialAnswer::Decided(outcome) => Ok(outcome),
                    answer => Err(answer.in_words()),
                };
                (recorded, answer, parts)
            }
        };
        if self.list.not_listed > 0 {
            self.list.not_listed += 1;
            return;
        }
        let told = |outcome| form::outcome(outcome).unwrap_or_else(Value::from);
        let message = &recorded.message;
        let parts = parts.into_iter().take(PLACES).map(DifferingPart::from);
        self.add(Affected {
            key: row.key.clone(),
            seq: row.seq,
            revision: row.revision,
            time: row.time,
            origin: message.origin.word().to_owned(),
            name: message.name.clone(),
            message: message.id.clone(),
            correlation: message.correlation.clone(),
            state: recorded.state.as_deref().map(parsed),
            body: parsed(&message.body),
            recorded: told(&decided),
            corrected: corrected.as_ref().ok().map(|outcome| told(outcome)),
            not_decided: corrected.err(),
            parts: parts.collect(),
        });
    }

    /// Lists a decision; from the first one on for which there is no room, they are only counted.
    fn add(&mut self, one: Affected) {
        let bytes = serde_json::to_vec(&one).map_or(usize::MAX, |json| json.len());
        match self.room.checked_sub(bytes) {
            Some(room) if self.list.not_listed == 0 && self.list.affected.len() < LISTED => {
                self.room = room;
                self.list.affected.push(one);
            }
            _ => self.list.not_listed += 1,
        }
    }

    fn skip(&mut self, row: &JournalRow, why: &str) {
        self.list.not_compared += 1;
        self.list
            .first_not_compared
            .get_or_insert_with(|| format!("decision {} on {}: {why}", row.seq, row.key));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::store::DecisionPage;
    use crate::store::decisions::ReadDecisionPages;

    /// A journal whose pages end at these numbers, without any wanted decision.
    struct Pages(&'static [i64]);

    impl ReadDecisionPages for Pages {
        fn decisions(
            &self,
            _: &DecisionRange,
            span: JournalSpan,
            _: usize,
        ) -> StoreResult<DecisionPage> {
            let end = self.0.iter().find(|end| **end > span.after);
            Ok(DecisionPage {
                rows: Vec::new(),
                read: *end.unwrap(),
            })
        }
    }

    impl ReadDecisions for Pages {
        fn decisions_span(&self, _: &DecisionRange) -> StoreResult<Option<JournalSpan>> {
            let last = self.0.last();
            Ok(last.map(|up_to| JournalSpan {
                after: 100,
                up_to: *up_to,
            }))
        }

        fn deciding_generations(
            &self,
            _: &DecisionRange,
            _: JournalSpan,
        ) -> StoreResult<BTreeSet<String>> {
            Ok(BTreeSet::new())
        }
    }

    #[test]
    fn progress_is_told_after_each_page_also_where_no_decision_is_wanted() {
        let told = |pages| {
            let mut told = Vec::new();
            let mut progress = |ReplayProgress { read, all }| told.push((read, all));
            each(
                &Pages(pages),
                &DecisionRange::default(),
                &mut progress,
                drop,
            )
            .unwrap();
            told
        };
        assert_eq!(told(&[130, 150, 200]), [(30, 100), (50, 100), (100, 100)]);
        assert_eq!(told(&[]), [], "an empty journal");
    }

    fn affected(seq: i64, bytes: usize) -> Affected {
        Affected {
            key: "k".into(),
            seq,
            revision: 0,
            time: 0,
            origin: "command".into(),
            name: "place".into(),
            message: "m".into(),
            correlation: "c".into(),
            state: None,
            body: "b".repeat(bytes).into(),
            recorded: Value::Null,
            corrected: None,
            not_decided: None,
            parts: Vec::new(),
        }
    }

    #[test]
    fn a_list_has_a_bound_in_bytes_and_has_the_first_decisions() {
        let list = RepairList {
            participant: "order".into(),
            generation: "d".into(),
            version: "1.0.0".into(),
            rules: RulesUnderReplay {
                digest: "e".into(),
                version: "1.0.1".into(),
                state_version: 1,
                settings: None,
            },
            decisions: 4,
            not_compared: 0,
            first_not_compared: None,
            affected: Vec::new(),
            not_listed: 0,
        };
        let mut listing = Listing { list, room: ROOM };
        for (seq, bytes) in [(1, ROOM / 2), (2, ROOM / 4), (3, ROOM / 2), (4, 1)] {
            listing.add(affected(seq, bytes));
        }
        let list = listing.list;
        let listed: Vec<_> = list.affected.iter().map(|one| one.seq).collect();
        assert_eq!((listed, list.not_listed), (vec![1, 2], 2));
        assert!(!list.is_unchanged());
    }
}
