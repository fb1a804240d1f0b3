//! `saga verify`: all checks of a component without a host, for continuous integration.

use serde::Serialize;

use super::reply::refusal;
use super::terminal::ProgressLine;
use super::{complain, exit, say, table};
use crate::app;
use crate::base::printable;
use crate::config::Config;
use crate::logging;
use crate::rollout::report::Verified;
use crate::rollout::verify::{self, NotVerified, Verify};

/// Checks, prints the result and returns the exit code. More than `may_change` different decisions
/// are too many; `None` allows any number.
pub(super) fn verify(
    config: &Config,
    request: &Verify,
    may_change: Option<usize>,
    json: bool,
) -> u8 {
    match checked(config, request) {
        Ok(verified) => {
            let code = match too_many_changed(&verified, may_change) {
                Some(reason) => {
                    complain(&reason);
                    exit::COMPONENT
                }
                None => exit::DONE,
            };
            if json {
                return print(&verified, code);
            }
            say(&table::verified(&verified));
            code
        }
        Err(error) => refuse(error, json),
    }
}

/// Checks, with a progress line on a terminal.
pub(super) fn checked(config: &Config, request: &Verify) -> Result<Verified, NotVerified> {
    logging::die_on_panic(exit::INTERNAL);
    let shown = request.path.display();
    let what = match &request.data {
        Some(data) => format!(
            "{shown} is checked, and tried on what is recorded, stored and in flight in {}",
            data
        ),
        None => format!("{shown} is checked"),
    };
    let _progress = ProgressLine::of(&what);
    verify::verify(&config.rollout(), request, app::check_routes)
}

/// Prints why a component was not verified; gives the exit code.
pub(super) fn refuse(error: NotVerified, json: bool) -> u8 {
    match error {
        NotVerified::Failed(reason) => {
            complain(&reason);
            exit::STORE
        }
        NotVerified::Refused(refused) => {
            let lines = refusal(refused.check, &refused.reasons, &refused.allowed_by);
            lines.iter().for_each(|line| complain(line));
            if json {
                return print(&refused, exit::COMPONENT);
            }
            exit::COMPONENT
        }
    }
}

fn too_many_changed(verified: &Verified, may_change: Option<usize>) -> Option<String> {
    let probe = verified.probe.as_ref()?;
    let most = may_change.filter(|most| probe.decided_otherwise > *most)?;
    Some(format!(
        "{} of {} recorded inputs decided differently, and --fail-on-changed allows {most}",
        probe.decided_otherwise, probe.inputs
    ))
}

/// Prints a value as JSON; gives the exit code.
pub(super) fn print(value: &impl Serialize, code: u8) -> u8 {
    match serde_json::to_string(value) {
        Ok(text) => {
            say(&format!("{}\n", printable::json(text)));
            code
        }
        Err(error) => {
            complain(&format!("the result can't be printed: {error}"));
            exit::INTERNAL
        }
    }
}
