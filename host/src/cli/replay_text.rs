//! The report of a replay as text.
//!
//! Pure: values in, text out. Values are cut to fit a terminal; `--json` has more.

use std::borrow::Cow;

use crate::base::clock::rfc3339_seconds;
use crate::base::generation::short;
use crate::base::printable::{Lines, cut};
use crate::rollout::replay::report::{
    ChangeGroup, Example, FaultGroup, FuelCounts, OwnFuel, ReplayMode, ReplayReport,
};

use super::probe_report::in_words;

/// Most groups shown, and most differing places of an example.
const GROUPS: usize = 30;
const PLACES: usize = 6;

/// Most characters of a text of an example.
const TEXT: usize = 160;

/// The report.
pub(super) fn text(report: &ReplayReport) -> String {
    let mut text = Lines::default();
    text.add(format_args!("{}", headline(report)));
    text.add(format_args!("{}", mode(report)));
    text.add(format_args!("{}", counts(report)));
    if let Some(fuel) = fuel(report.fuel) {
        text.add(format_args!("{fuel}"));
    }
    for line in report.own_fuel.iter().flat_map(own_fuel) {
        text.add(format_args!("{line}"));
    }
    for one in &report.no_baseline {
        let detail = match one.detail == one.reason {
            true => String::new(),
            false => format!(": {}", one.detail),
        };
        text.add(format_args!(
            "not replayed: {}: {}, the first for {}{detail}",
            one.reason, one.count, one.key
        ));
    }
    for group in report.changes.iter().take(GROUPS) {
        text.space();
        let (what, count) = change(group);
        text.add(format_args!("{what}: {count}"));
        examples(&mut text, &group.examples);
    }
    let more = report.changes.len().saturating_sub(GROUPS);
    if more > 0 {
        text.space();
        text.add(format_args!(
            "and {more} more kinds of changes; --json lists them"
        ));
    }
    for group in &report.fault_groups {
        text.space();
        let (what, count) = fault(group);
        text.add(format_args!("{what}: {count}"));
        examples(&mut text, &group.examples);
    }
    text.text()
}

/// The replayed decisions, and the rules that made them.
pub(super) fn headline(report: &ReplayReport) -> String {
    let rules = match &report.rules {
        Some(rules) => format!("{} ({})", rules.version, short(&rules.digest)),
        None => "the rules that made them".to_owned(),
    };
    let times = match (report.range.first, report.range.until) {
        (Some(first), Some(until)) => format!(
            " from {} to {}",
            rfc3339_seconds(first),
            rfc3339_seconds(until)
        ),
        _ => String::new(),
    };
    format!(
        "{}: {} recorded decisions{times}, made again by {rules}",
        report.participant, report.replayed
    )
}

/// How decisions were made again.
pub(super) fn mode(report: &ReplayReport) -> String {
    match report.mode {
        ReplayMode::Recorded => "recorded: each on the state that it was made on".to_owned(),
        ReplayMode::Counterfactual => format!(
            "counterfactual: each on the state to which the candidate's own decisions on the aggregate led; {} of the changes \
             and faults are on a state that had changed before; effects on other aggregates are not followed",
            report.on_other_states
        ),
        ReplayMode::OwnRules => "self: each by the rules that made it".to_owned(),
    }
}

/// The counts of the decisions.
fn counts(report: &ReplayReport) -> String {
    let said = match report.is_impure() {
        true => "; the rules are not a function of their input",
        _ if report.replayed == 0 && !report.no_baseline.is_empty() => {
            "; no decision was made again"
        }
        _ => "",
    };
    format!(
        "unchanged {}, changed {}, faults {}, no baseline {}{said}",
        report.unchanged,
        report.changed,
        report.faults,
        report.not_replayed()
    )
}

/// The fuel before and after; None if none is known.
pub(super) fn fuel(fuel: FuelCounts) -> Option<String> {
    let ratio = fuel.ratio()?;
    Some(format!(
        "fuel {} as recorded, {} now (x {ratio:.3}); the same in {} of {} decisions",
        fuel.recorded, fuel.now, fuel.same, fuel.decisions
    ))
}

/// If fuel is the recorded one where it must be, and where it need not be.
pub(super) fn own_fuel(fuel: &OwnFuel) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(first) = &fuel.first {
        lines.push(format!(
            "other fuel on the same engine: {} of {} decisions, the first for {} at revision {}: {} as recorded, {} now",
            fuel.others,
            fuel.others + fuel.same,
            first.key,
            first.revision,
            first.recorded,
            first.now
        ));
    } else if fuel.same > 0 {
        lines.push(format!(
            "the fuel is judged for {} decisions: the same in all",
            fuel.same
        ));
    }
    let not_judged = fuel.not_judged.iter();
    lines.extend(not_judged.map(|one| {
        format!(
            "the fuel is not judged for {} decisions: {}",
            one.count, one.reason
        )
    }));
    lines
}

/// The groups of changes, with their numbers.
pub(super) fn change(group: &ChangeGroup) -> (String, u64) {
    (group.in_words(), group.count)
}

/// The kind of a fault, and how often.
pub(super) fn fault(group: &FaultGroup) -> (String, u64) {
    (format!("fault `{}`", group.kind), group.count)
}

/// The message of an example.
pub(super) fn message(example: &Example) -> String {
    format!(
        "{}: {} `{}` ({}) at {}, revision {}",
        example.key,
        example.origin,
        example.name,
        example.message,
        rfc3339_seconds(example.time),
        example.revision
    )
}

fn examples(text: &mut Lines, examples: &[Example]) {
    for example in examples {
        text.add(format_args!("  {}", message(example)));
        text.add(format_args!("    body         {}", shown(&example.body)));
        if let Some(state) = &example.state {
            text.add(format_args!("    state        {}", shown(state)));
        }
        if let Some(state) = &example.own_state {
            text.add(format_args!("    its own      {}", shown(state)));
        }
        if example.parts.is_empty() {
            text.add(format_args!("    decided      {}", shown(&example.decided)));
            text.add(format_args!(
                "    would decide {}",
                shown(&example.would_decide)
            ));
        }
        for part in example.parts.iter().take(PLACES) {
            text.add(format_args!("    {}", in_words(part)));
        }
        let more = example.parts.len().saturating_sub(PLACES);
        if more > 0 {
            text.add(format_args!("    and {more} more places"));
        }
    }
}

/// A text, cut to the width of a line or two.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    cut(text, TEXT)
}
