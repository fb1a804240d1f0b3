//! Repair: which decisions of one generation the fixed rules decide otherwise. A list: nothing is
//! changed or emitted.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::replay::decide::{Changed, Verdict, decide};
use super::replay::report::RulesUnderReplay;
use super::replay::{NotReplayed, candidate, described, participant};
use crate::rollout::cases::form;
use crate::rollout::loader::{CheckRoutes, Loader};
use crate::rollout::probe::compare::parsed;
use crate::rollout::probe::trial::{TrialAnswer, TrialRun};
use crate::rollout::report::DifferingPart;
use crate::rollout::rollback_target::by_digest;
use crate::rollout::rule_settings::SettingsChange;
use crate::rollout::settings::RolloutSettings;
use crate::rollout::verify;
use crate::store::{DecisionRange, JournalRow};

/// Most decisions of a page; its bytes are bounded by the store.
const PAGE: usize = 500;

/// Most decisions in a list; more are counted.
const LISTED: usize = 10_000;

/// Most differing places of a decision.
const PLACES: usize = 20;

/// Which decisions are looked at, and by which rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Repair {
    /// The participant.
    pub participant: String,
    /// The data directory of its host.
    pub data: PathBuf,
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
    /// Those that were not made again, because they can't be read or the fixed rules don't take them.
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
) -> Result<RepairList, NotReplayed> {
    let data = &request.data;
    let unread = |error| NotReplayed::from(verify::unreadable(data, &error));
    let reading = verify::open(data)?;
    let row = participant(&*reading, &request.participant, data)?;
    let generations = reading.generations(row).map_err(unread)?;
    let generation = by_digest(&generations, &request.participant, &request.generation);
    let generation = &generation.map_err(NotReplayed::Refusal)?.generation;
    let settings = RolloutSettings {
        data_dir: data.clone(),
        ..settings.clone()
    };
    let loader = Loader::offline(&settings, check_routes)
        .map_err(|error| NotReplayed::Failed(error.to_string()))?;
    let build = candidate(
        &settings,
        &loader,
        &request.participant,
        data,
        (&request.with, &request.settings),
    )?;
    let mut list = RepairList {
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
        ..DecisionRange::default()
    };
    let Some(mut span) = reading.decisions_span(&wanted).map_err(unread)? else {
        return Ok(list);
    };
    let mut trial =
        TrialRun::new(&*build, &settings.turn, crate::base::clock::now_ms()).map_err(|fault| {
            NotReplayed::NoInstance(format!("an instance can't be created: {fault}"))
        })?;
    while span.numbers() > 0 {
        let page = reading.decisions(&wanted, span, PAGE).map_err(unread)?;
        span.after = page.read;
        for row in &page.rows {
            list.look_at(&mut trial, row);
        }
    }
    Ok(list)
}

impl RepairList {
    /// True if the fixed rules make every decision that could be compared as it was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.affected.is_empty()
    }

    fn look_at(&mut self, trial: &mut TrialRun<'_>, row: &JournalRow) {
        let recorded = match &row.recorded {
            Ok(recorded) if recorded.digest == self.generation => recorded,
            Ok(_) => return,
            Err(why) => return self.skip(row, why),
        };
        self.decisions += 1;
        let (decided, corrected, parts) = match decide(trial, recorded, None, false).verdict {
            Verdict::Unchanged(_) => return,
            Verdict::NoBaseline(_, why) => return self.skip(row, &why),
            Verdict::Fault(_, why) => (recorded.outcome.clone(), Err(why), Vec::new()),
            Verdict::Changed(changed) => {
                let Changed {
                    parts,
                    answer,
                    recorded,
                    ..
                } = *changed;
                let answer = match answer {
                    TrialAnswer::Decided(outcome) => Ok(outcome),
                    TrialAnswer::Malformed(why) => Err(format!("malformed: {why}")),
                    TrialAnswer::RetryLater(why) => Err(format!("retry later: {why}")),
                };
                (recorded, answer, parts)
            }
        };
        if self.affected.len() >= LISTED {
            self.not_listed += 1;
            return;
        }
        let told = |outcome| form::outcome(outcome).unwrap_or_else(Value::from);
        let message = &recorded.message;
        let parts = parts.into_iter().take(PLACES).map(DifferingPart::from);
        self.affected.push(Affected {
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

    fn skip(&mut self, row: &JournalRow, why: &str) {
        self.not_compared += 1;
        self.first_not_compared
            .get_or_insert_with(|| format!("decision {} on {}: {why}", row.seq, row.key));
    }
}
