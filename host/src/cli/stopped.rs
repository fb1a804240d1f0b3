//! `saga rollback` of a stopped host.

use super::reply::{CommandFailure, json_line, refusal};
use super::terminal::ProgressLine;
use super::{exit, say, table};
use crate::app;
use crate::base::printable::{self, Lines};
use crate::config::Config;
use crate::logging;
use crate::rollout::flags::Flags;
use crate::rollout::report::{NotApplied, SwapResult};
use crate::rollout::stopped;
use crate::store::StoreLocation;

/// A host that does not run.
#[derive(Debug)]
pub(crate) struct StoppedHost {
    /// Its store.
    pub(crate) store: StoreLocation,
    /// Its settings.
    pub(crate) config: Config,
}

/// Goes back on the store of a stopped host; returns the text to print.
pub(super) fn rollback(
    host: &StoppedHost,
    participant: &str,
    digest: Option<&str>,
    flags: Flags,
    json: bool,
) -> Result<String, CommandFailure> {
    logging::die_on_panic(exit::INTERNAL);
    let settings = host.config.rollout().on(host.store.clone());
    let progress = ProgressLine::of(&format!("{participant}: an earlier generation is checked"));
    let result = stopped::rollback(&settings, participant, digest, flags, app::check_routes);
    drop(progress);
    let applied = result.map_err(|error| failure(error, json))?;
    match json {
        true => json_line(&applied),
        false => Ok(told(&host.store, &applied)),
    }
}

fn told(store: &StoreLocation, applied: &SwapResult) -> String {
    let mut stopped = Lines::default();
    stopped.add(format_args!(
        "No host runs on {store}; {}",
        match applied.changed {
            true => "the next start is with this generation.",
            false => "nothing was changed.",
        }
    ));
    table::applied(applied) + &stopped.text()
}

fn failure(error: NotApplied, json: bool) -> CommandFailure {
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
            CommandFailure {
                said: refusal(refused.check, &refused.reasons, &refused.allowed_by),
                code,
            }
        }
        error => CommandFailure::new(code, error.to_string()),
    }
}
