//! `saga repair`: lists the decisions of a generation that fixed rules make otherwise.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::Args;

use super::arguments::{RuleSettingsArguments, load};
use super::data_argument::StoreArguments;
use super::options::participant;
use super::replay::{not_replayed, shown_progress};
use super::replay_text::shown;
use super::reply::CommandFailure;
use super::verify::print;
use super::{exit, say};
use crate::app;
use crate::base::clock::rfc3339_seconds;
use crate::base::generation::short;
use crate::base::printable::Lines;
use crate::config::Config;
use crate::logging;
use crate::rollout::repair::{Affected, Repair, RepairList, repair};

/// The command line of `saga repair`.
#[derive(Debug, Clone, Args)]
pub(super) struct RepairArguments {
    /// The participant
    #[arg(value_name = "NAME", value_parser = participant)]
    participant: String,
    /// Digest of the generation that decided, or its beginning
    #[arg(long, value_name = "DIGEST")]
    generation: String,
    /// The component of the fixed rules
    #[arg(long, value_name = "PATH")]
    with: PathBuf,
    #[command(flatten)]
    rules: RuleSettingsArguments,
    #[command(flatten)]
    store: StoreArguments,
    /// Print everything, as JSON
    #[arg(long)]
    json: bool,
}

/// A list to make.
pub(crate) struct RepairOperation {
    config: Config,
    request: Repair,
    json: bool,
}

impl RepairArguments {
    pub(super) fn operation(self) -> Result<RepairOperation, CommandFailure> {
        Ok(RepairOperation {
            config: load(self.store.config(), Vec::new())?,
            request: Repair {
                participant: self.participant,
                data: self.store.location()?,
                generation: self.generation,
                with: self.with,
                settings: self.rules.change()?,
            },
            json: self.json,
        })
    }
}

/// Prints the list and returns the exit code.
pub(super) fn list(operation: &RepairOperation) -> u8 {
    logging::die_on_panic(exit::INTERNAL);
    let settings = operation.config.rollout();
    let request = &operation.request;
    let mut progress = shown_progress(format!(
        "decisions of {} in {} are made again",
        request.participant, request.data
    ));
    let repaired = repair(&settings, request, app::check_routes, &mut progress);
    // The line is erased before anything is said.
    drop(progress);
    let list = match repaired {
        Ok(list) => list,
        Err(error) => return not_replayed(error, operation.json),
    };
    let code = match list.is_unchanged() {
        true => exit::DONE,
        false => exit::FOUND,
    };
    if operation.json {
        return print(&list, code);
    }
    say(&text(&list));
    code
}

fn text(list: &RepairList) -> String {
    let mut text = Lines::default();
    let keys: BTreeSet<_> = list.affected.iter().map(|one| &one.key).collect();
    let affected = list.affected.len() as u64 + list.not_listed;
    text.add(format_args!(
        "{}: {affected} of {} decisions of {} ({}) are made otherwise by {} ({}), on {}{} aggregates",
        list.participant,
        list.decisions,
        list.version,
        short(&list.generation),
        list.rules.version,
        short(&list.rules.digest),
        if list.not_listed > 0 { "at least " } else { "" },
        keys.len()
    ));
    if let Some(first) = &list.first_not_compared {
        text.add(format_args!(
            "not compared: {}, the first: {first}",
            list.not_compared
        ));
    }
    for one in &list.affected {
        text.space();
        affected_text(&mut text, one);
    }
    if list.not_listed > 0 {
        text.space();
        text.add(format_args!("and {} more decisions", list.not_listed));
    }
    text.text()
}

fn affected_text(text: &mut Lines, one: &Affected) {
    text.add(format_args!(
        "key {}: {} `{}` at {}, revision {}, message {}, saga {}",
        one.key,
        one.origin,
        one.name,
        rfc3339_seconds(one.time),
        one.revision,
        one.message,
        one.correlation
    ));
    text.add(format_args!(
        "  recorded:  {}",
        shown(&one.recorded.to_string())
    ));
    match (&one.corrected, &one.not_decided) {
        (Some(corrected), _) => text.add(format_args!(
            "  corrected: {}",
            shown(&corrected.to_string())
        )),
        (None, why) => text.add(format_args!(
            "  the fixed rules don't decide: {}",
            shown(why.as_deref().unwrap_or_default())
        )),
    }
}
