//! `saga rollback` of a host that is stopped.

use super::reply::{Failure, refusal};
use super::terminal::Progress;
use super::{exit, say, table};
use crate::base::panics;
use crate::base::printable::{self, Lines};
use crate::config::Config;
use crate::rollout::flags::Flags;
use crate::rollout::report::{Applied, NotApplied};
use crate::rollout::stopped;

/// Goes back on the store of a host that is stopped; gives what is to be said of it.
pub(super) fn rollback(
    config: &Config,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
    json: bool,
) -> Result<String, Failure> {
    panics::die_on_panic(exit::INTERNAL);
    let progress = Progress::of(&format!("{participant}: an earlier generation is checked"));
    let result = stopped::rollback(&config.rollout(), participant, digest, flags);
    drop(progress);
    let applied = result.map_err(|error| failure(error, json))?;
    if json {
        let text = serde_json::to_string(&applied);
        return text
            .map(|text| format!("{}\n", printable::json(text)))
            .map_err(|error| Failure::new(exit::INTERNAL, error.to_string()));
    }
    Ok(told(config, &applied))
}

fn told(config: &Config, applied: &Applied) -> String {
    let mut stopped = Lines::default();
    stopped.add(format_args!(
        "No host runs on {}; {}",
        config.data_dir.display(),
        match applied.changed {
            true => "the next start is with this generation.",
            false => "nothing was changed.",
        }
    ));
    table::applied(applied) + &stopped.text()
}

fn failure(error: NotApplied, json: bool) -> Failure {
    let code = match &error {
        NotApplied::UnknownParticipant(..) | NotApplied::UnknownGeneration(_) => exit::USAGE,
        NotApplied::Refused(_) => exit::COMPONENT,
        NotApplied::Busy(_) => exit::TRY_AGAIN,
        NotApplied::Failed(_) => exit::STORE,
    };
    match error {
        NotApplied::Refused(refused) => {
            if json && let Ok(text) = serde_json::to_string(&refused) {
                say(&format!("{}\n", printable::json(text)));
            }
            Failure {
                said: refusal(refused.check, &refused.reasons, &refused.allowed_by),
                code,
            }
        }
        error => Failure::new(code, error.to_string()),
    }
}
