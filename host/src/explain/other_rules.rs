//! What other rules would have decided at the decisions of one participant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::read::Rows;
use crate::rollout::report::DifferingPart;
use crate::rollout::rule_settings::SettingsChange;
use crate::rollout::settings::RolloutSettings;
use crate::rollout::verify::{self, NotVerified, Redecided};

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
    /// What they would decide differently, by the numbers of the decisions in the journal.
    pub differences: BTreeMap<i64, OtherDecision>,
}

/// What other rules would have decided.
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
    data: &Path,
    path: &Path,
    rows: Rows,
) -> Result<OtherRules, NotVerified> {
    let request = verify::Verify {
        path: PathBuf::from(path),
        data: Some(data.to_owned()),
        settings: SettingsChange::default(),
        ..verify::Verify::default()
    };
    let recorded = |participant: &str| {
        let own = rows.iter().filter(|(name, _)| name == participant);
        own.filter_map(|(_, row)| Some((row.seq, row.recorded.clone().ok()?)))
            .collect()
    };
    let Redecided {
        participant,
        digest,
        version,
        decisions,
    } = verify::redecide(settings, &request, recorded)?;
    let tried = decisions.len();
    let differences = decisions.into_iter().filter_map(|(seq, decision)| {
        let other = match decision {
            Ok(parts) if parts.is_empty() => return None,
            Ok(parts) => OtherDecision::Differs(parts),
            Err(reason) => OtherDecision::Fails(reason),
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
