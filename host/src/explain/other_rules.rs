//! The decisions of one participant, made again by other rules.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::read::Found;
use crate::rollout::replay::{self, Redecided, RedecidedBy};
use crate::rollout::report::DifferingPart;
use crate::rollout::settings::RolloutSettings;
use crate::rollout::verify::NotVerified;
use crate::store::StoreLocation;

/// The decisions of other rules, beside the recorded ones.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherRules {
    /// The participant that they describe.
    pub participant: String,
    /// Their digest.
    pub digest: String,
    /// The version that they declare.
    pub version: String,
    /// Decisions on which they were tried.
    pub tried: usize,
    /// Their different decisions, by the numbers of the recorded ones in the journal.
    pub differences: BTreeMap<i64, OtherDecision>,
}

/// The decisions of other rules.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OtherDecision {
    /// They would decide, with these differences.
    Differs(Vec<DifferingPart>),
    /// They would not decide, for this reason.
    Fails(String),
}

/// Tries the component at `path` on the decisions of its participant, each on the state of that
/// time.
///
/// # Errors
/// It can't be loaded.
pub fn other_rules(
    settings: &RolloutSettings,
    data: &StoreLocation,
    path: &Path,
    found: &Found,
) -> Result<OtherRules, NotVerified> {
    let recorded = |participant: &str| {
        let own = found.decisions_of(participant);
        let whole = own.filter(|one| one.not_kept.is_none());
        whole.map(|one| (one.seq, &one.recorded)).collect()
    };
    let RedecidedBy {
        participant,
        digest,
        version,
        decisions,
    } = replay::redecide(settings, data, path, recorded)?;
    let tried = decisions.len();
    let differences = decisions.into_iter().filter_map(|(seq, decision)| {
        let other = match decision {
            Redecided::Same => return None,
            Redecided::Differs(parts) => OtherDecision::Differs(parts),
            Redecided::Fails(reason) => OtherDecision::Fails(reason),
        };
        Some((seq, other))
    });
    Ok(OtherRules {
        participant,
        digest,
        version,
        tried,
        differences: differences.collect(),
    })
}
