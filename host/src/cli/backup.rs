//! `saga backup`: copies a data directory, even while a host runs on it.

use std::path::Path;

use super::terminal::ProgressLine;
use super::{complain, exit, say};
use crate::base::printable::{self, Lines};
use crate::logging;
use crate::rollout::backup::{Backup, backup as make};
use crate::store::StoreLocation;

/// Makes the backup, prints the result and returns the exit code.
pub(super) fn backup(data: &StoreLocation, target: &Path, json: bool) -> u8 {
    logging::die_on_panic(exit::INTERNAL);
    let what = format!("{data} is copied");
    let progress = ProgressLine::of(&what);
    let made = make(data, target);
    drop(progress);
    let text = match made {
        Ok(made) if json => {
            serde_json::to_string(&made).map(|text| format!("{}\n", printable::json(text)))
        }
        Ok(made) => Ok(shown(&made)),
        Err(error) => {
            complain(&error.to_string());
            return exit::STORE;
        }
    };
    match text {
        Ok(text) => {
            say(&text);
            exit::DONE
        }
        Err(error) => {
            complain(&format!("the result can't be printed: {error}"));
            exit::INTERNAL
        }
    }
}

fn shown(made: &Backup) -> String {
    let mut lines = Lines::default();
    lines.add(format_args!(
        "{}: a store of {} KiB and {} component{}, in {}.{:03} s",
        made.target.display(),
        made.store_bytes >> 10,
        made.components.len(),
        if made.components.len() == 1 { "" } else { "s" },
        made.ms / 1_000,
        made.ms % 1_000,
    ));
    for digest in &made.missing {
        lines.add(format_args!(
            "the active component {digest} is not in it: the data directory has no copy; keep its file"
        ));
    }
    lines.text()
}
