//! Recorded decisions that another part has read, made again by a component.

use std::path::Path;

use super::decide::{ReplayVerdict, decide};
use crate::base::clock::now_ms;
use crate::rollout::probe::trial::TrialRun;
use crate::rollout::report::DifferingPart;
use crate::rollout::rule_settings::SettingsChange;
use crate::rollout::settings::RolloutSettings;
use crate::rollout::verify::{self, NotVerified};
use crate::store::StoreLocation;
use crate::store::sample::Recorded;

/// Decisions, made again.
#[derive(Debug, Clone, PartialEq)]
pub struct RedecidedBy {
    /// The participant that the component describes.
    pub participant: String,
    /// Digest of component and settings.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// The decisions by their numbers.
    pub decisions: Vec<(i64, Redecided)>,
}

/// What came of a decision.
#[derive(Debug, Clone, PartialEq)]
pub enum Redecided {
    /// The same decision.
    Same,
    /// Another one, which differs at these places.
    Differs(Vec<DifferingPart>),
    /// The rules failed, or the decision can't be compared, for this reason.
    Fails(String),
}

/// Makes decisions again, each on the state that it was made on. They are made by the component at
/// `path`, with the settings that are active in the store; `recorded` gets the name of its
/// participant.
///
/// # Errors
/// The component can't be loaded, or the store can't be read.
pub fn redecide<'r>(
    settings: &RolloutSettings,
    data: &StoreLocation,
    path: &Path,
    recorded: impl FnOnce(&str) -> Vec<(i64, &'r Recorded)>,
) -> Result<RedecidedBy, NotVerified> {
    let loader = verify::loader_of(settings, data, |_, _| Ok(()))?;
    let change = SettingsChange::default();
    let build = super::loaded_at(settings, &loader, data, (path, &change))?;
    let mut trial = TrialRun::new(&*build, &settings.turn, now_ms())
        .map_err(|fault| NotVerified::Failed(format!("an instance can't be created: {fault}")))?;
    let description = build.description();
    let again = |(seq, recorded): (i64, &Recorded)| {
        let decided = match decide(&mut trial, recorded, None, false).verdict {
            ReplayVerdict::Unchanged(_) => Redecided::Same,
            ReplayVerdict::Changed(changed) => {
                let parts = changed.parts.into_iter().map(DifferingPart::from);
                Redecided::Differs(parts.collect())
            }
            ReplayVerdict::Fault(_, why) | ReplayVerdict::NoBaseline(_, why) => {
                Redecided::Fails(why)
            }
        };
        (seq, decided)
    };
    Ok(RedecidedBy {
        participant: description.name.clone(),
        digest: build.digest().to_owned(),
        version: description.version.clone(),
        decisions: recorded(&description.name).into_iter().map(again).collect(),
    })
}
