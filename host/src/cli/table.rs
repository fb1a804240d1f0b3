//! Swaps and generations as text: a line per swap, a table of generations.
//!
//! Pure: values in, text out. `--json` has everything; here digests are shortened and times are to
//! the second.

use std::fmt::Write as _;

use super::probe_report;
use crate::admin::readiness::{ReadinessReport, ReadyParticipant};
use crate::base::clock::rfc3339_seconds;
use crate::base::generation::short;
use crate::base::printable::{Lines, escaped};
use crate::rollout::audit::AuditOverview;
use crate::rollout::gate::report::GateReport;
use crate::rollout::report::{
    ComponentFile, DeadLetterOverview, GenerationOverview, Overview, ParticipantOverview,
    QuarantineOverview, Refused, RefusedOverview, SwapResult, Verified,
};
use crate::rollout::rule_settings::{self, RuleSettings};

/// A swap on one line, and a line per note.
pub(crate) fn applied(applied: &SwapResult) -> String {
    let build = format!(
        "{} {} {}{}",
        applied.participant,
        applied.version,
        short(&applied.digest),
        with(applied.settings.as_ref())
    );
    let mut text = Lines::default();
    let is_news = applied.changed || (applied.dry_run && applied.digest != applied.previous);
    if !is_news {
        text.add(format_args!("{build} was active already"));
    } else if applied.dry_run {
        text.add(format_args!(
            "{build} would be active, {} is; checked in {}{}",
            short(&applied.previous),
            duration(applied.checked_us),
            probe_report::summary(&applied.probe)
        ));
    } else {
        text.add(format_args!(
            "{build} is active, was {}; checked in {}{}{}",
            short(&applied.previous),
            duration(applied.checked_us),
            match applied.swapped_us {
                // 0 if no host runs.
                0 => String::new(),
                swapped => format!(", swapped in {}", duration(swapped)),
            },
            probe_report::summary(&applied.probe)
        ));
    }
    if is_news {
        if let Some(class) = applied.class {
            text.add(format_args!("change: {class}"));
        }
        if let Some(gate) = &applied.gate {
            text.add(format_args!("{}", gated(gate)));
        }
        settings_that_go(&mut text, applied);
        text.append(&probe_report::differences(&applied.probe));
    }
    notes(&mut text, &applied.notes);
    text.text()
}

/// The findings of the gate, on one line.
fn gated(gate: &GateReport) -> String {
    let mut line = gate.in_words();
    if let Some(by) = &gate.acknowledged_by {
        let _ = write!(
            line,
            "; acknowledged by {}: change set {}",
            escaped(by),
            gate.change_set
        );
    }
    if let Some(later) = gate.later {
        let _ = write!(
            line,
            "; of {} later ones {} change in the same ways, {} fail",
            later.replayed, later.changed, later.faults
        );
    }
    line
}

/// The settings that had another value before, which the line of the swap does not tell.
fn settings_that_go(text: &mut Lines, applied: &SwapResult) {
    let now = applied.settings.as_ref();
    for (name, before) in applied.previous_settings.iter().flatten() {
        match now.and_then(|now| now.get(name)) {
            Some(value) if value == before => {}
            Some(value) => text.add(format_args!("setting {name} = {value}, was {before}")),
            None => text.add(format_args!(
                "setting {name} is the default again, was {before}"
            )),
        }
    }
}

/// The settings that the operator gave, to follow a generation.
fn with(settings: Option<&RuleSettings>) -> String {
    settings.map_or(String::new(), |settings| {
        format!(" with {}", rule_settings::told(settings))
    })
}

/// A component that passed all checks on one line, and a line per note.
pub(crate) fn verified(verified: &Verified) -> String {
    let mut text = Lines::default();
    text.add(format_args!(
        "ok {} {} {}{}{}",
        verified.participant,
        verified.version,
        verified.digest,
        match verified.compared_with.is_empty() {
            true => String::new(),
            false => format!("; compared with {}", verified.compared_with.join(", ")),
        },
        verified
            .probe
            .as_ref()
            .map(probe_report::summary)
            .unwrap_or_default()
    ));
    if let Some(probe) = &verified.probe {
        text.append(&probe_report::differences(probe));
    }
    notes(&mut text, &verified.notes);
    text.text()
}

fn notes(text: &mut Lines, notes: &[String]) {
    for note in notes {
        text.add(format_args!("note: {note}"));
    }
}

/// The state of a host in a word, and its report. `at` are the arguments by which commands find the
/// host, as for [`overview`].
pub(crate) fn ready(report: &ReadinessReport, at: &str) -> String {
    let mut text = Lines::default();
    text.add(format_args!("{}", report.status.word()));
    for participant in &report.participants {
        let ReadyParticipant {
            name,
            version,
            active,
            ..
        } = participant;
        text.add(format_args!("{name} {version} {}", short(active)));
        let refused = participant.refused.as_slice();
        if let Some(line) =
            (participant.file.as_ref()).and_then(|file| differs(file, name, refused, at))
        {
            text.add(format_args!("  {line}"));
        }
        if let Some(refused) = &participant.refused {
            text.add(format_args!("  {}", refusal(refused)));
        }
        if participant.quarantined > 0 {
            text.add(format_args!(
                "  {} aggregates are quarantined",
                participant.quarantined
            ));
        }
        waiting(&mut text, participant.parked, participant.parked_timers);
        dead_letters(&mut text, &participant.name, participant.dead_letters);
        audit(&mut text, &participant.name, participant.audit.as_ref());
    }
    for reason in (report.transport.iter())
        .chain(&report.build)
        .chain(&report.reason)
    {
        text.add(format_args!("{reason}"));
    }
    text.text()
}

/// The generations of these participants. `at` are the arguments by which commands find the host,
/// each after a space; empty if they find it without.
pub(crate) fn overview(overview: &Overview, at: &str) -> String {
    let mut text = Lines::default();
    for (number, one) in overview.participants.iter().enumerate() {
        if number > 0 {
            text.space();
        }
        participant(&mut text, one, at);
    }
    text.text()
}

fn participant(text: &mut Lines, participant: &ParticipantOverview, at: &str) {
    text.add(format_args!("{}", participant.name));
    if let Some(seconds) = participant.stale_seconds {
        text.add(format_args!(
            "  as of {seconds} s ago: the store does not answer"
        ));
    }
    let headings = [
        "",
        "DIGEST",
        "VERSION",
        "SINCE",
        "WAY",
        "DECISIONS",
        "REFUSALS",
        "FAULTS",
        "COPY",
    ];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(participant.generations.iter().map(row));
    write_table(text, &rows, &[5, 6, 7]);
    for generation in &participant.generations {
        if let Some(settings) = &generation.settings {
            text.add(format_args!(
                "  settings of {}: {}",
                short(&generation.digest),
                rule_settings::told(settings)
            ));
        }
    }
    for generation in &participant.generations {
        let Some(change) = &generation.change else {
            continue;
        };
        let digest = short(&generation.digest);
        text.add(format_args!("  change to {digest}: {}", change.class));
        if let Some(gate) = &change.gate {
            text.add(format_args!("    {}", gated(gate)));
        }
        let ways = change.gate.iter().flat_map(|gate| &gate.changes);
        for way in ways {
            text.add(format_args!("    {}: {}", way.what, way.count));
        }
    }
    if let Some(line) = participant
        .file
        .as_ref()
        .and_then(|file| differs(file, &participant.name, &participant.refused, at))
    {
        text.add(format_args!("  {line}"));
    }
    for refused in &participant.refused {
        text.add(format_args!("  {}", refusal(refused)));
    }
    quarantine(text, &participant.quarantine);
    let parked = &participant.parked;
    waiting(text, parked.messages, parked.timers);
    dead_letters(text, &participant.name, participant.dead_letters);
    audit(text, &participant.name, participant.audit.as_ref());
    for timer in &parked.first_timers {
        text.add(format_args!(
            "  parked {} timer {} of {}: {} ({})",
            rfc3339_seconds(timer.since),
            timer.name,
            timer.key,
            timer.reason,
            timer.detail
        ));
    }
}

/// Messages and timers that wait in the store until they can be decided.
fn waiting(text: &mut Lines, messages: u64, timers: u64) {
    if messages > 0 {
        text.add(format_args!("  {messages} messages are parked"));
    }
    if timers > 0 {
        text.add(format_args!("  {timers} timers are parked"));
    }
}

/// The findings of the audit of decisions.
fn audit(text: &mut Lines, name: &str, audit: Option<&AuditOverview>) {
    let Some(AuditOverview {
        audited,
        alarms,
        last: Some(last),
    }) = audit
    else {
        return;
    };
    text.add(format_args!(
        "  ALARM: {alarms} of {audited} audited decisions are others on a fresh instance, the last at {} on {}, revision {}, \
         by {}: {}; see `saga replay {name} --self --key {}`",
        rfc3339_seconds(last.time),
        last.key,
        last.revision,
        short(&last.digest),
        last.difference,
        last.key
    ));
}

/// Records that could not be decided.
fn dead_letters(text: &mut Lines, name: &str, letters: DeadLetterOverview) {
    let DeadLetterOverview {
        open,
        blocked_aggregates,
    } = letters;
    if open > 0 {
        text.add(format_args!(
            "  dead letters: {open} open, aggregates blocked: {blocked_aggregates}; `saga dead-letters list {name}` lists them"
        ));
    }
}

fn row(generation: &GenerationOverview) -> [String; 9] {
    [
        if generation.is_active { "*" } else { "" }.to_owned(),
        short(&generation.digest).to_owned(),
        // Escaped here, so that its length is right for the column.
        escaped(&generation.version).into_owned(),
        rfc3339_seconds(generation.since),
        generation.way.word().to_owned(),
        generation.decisions.to_string(),
        generation.refusals.to_string(),
        generation.faults.to_string(),
        if generation.is_kept { "kept" } else { "none" }.to_owned(),
    ]
}

/// The difference between the configured file and the active generation, if there is one.
fn differs(
    file: &ComponentFile,
    participant: &str,
    refused: &[RefusedOverview],
    at: &str,
) -> Option<String> {
    let ComponentFile { path, digest, .. } = file;
    let Some(digest) = digest.as_ref().filter(|_| !file.is_active) else {
        return (!file.is_active).then(|| format!("file {path} can't be read"));
    };
    let is_it = |one: &&RefusedOverview| {
        let Refused {
            digest: generation,
            component,
            ..
        } = &one.refused;
        component.as_ref().or(generation.as_ref()) == Some(digest)
    };
    let advice = match refused.iter().find(is_it) {
        Some(refused) => format!(", and was refused ({})", refused.refused.check.word()),
        None => format!("; `saga apply {participant} {path}{at}` takes it"),
    };
    Some(format!(
        "file {path} ({}) differs from what is active{advice}",
        short(digest)
    ))
}

fn refusal(refused: &RefusedOverview) -> String {
    let what = refused.refused.digest.as_deref().map_or("", short);
    format!(
        "refused {} {what} ({}): {}",
        rfc3339_seconds(refused.time),
        refused.way.word(),
        refused.refused
    )
}

fn quarantine(text: &mut Lines, quarantine: &QuarantineOverview) {
    for aggregate in &quarantine.first {
        text.add(format_args!(
            "  quarantined {} {}: {}",
            rfc3339_seconds(aggregate.since),
            aggregate.key,
            aggregate.reason
        ));
    }
    let more = quarantine
        .count
        .saturating_sub(quarantine.first.len() as u64);
    if more > 0 {
        text.add(format_args!("  and {more} more are quarantined"));
    }
}

/// Writes columns at the width of their longest cell, figures flush right.
pub(super) fn write_table<const N: usize>(
    text: &mut Lines,
    rows: &[[String; N]],
    figures: &[usize],
) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row
            .iter()
            .zip(widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if figures.contains(&column) {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.add(format_args!("{}", line.trim_end()));
    }
}

fn duration(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::printable::is_escaped;
    use crate::rollout::gate::report::{Count, LaterDecisions};
    use crate::rollout::report::{
        Check, Difference, DifferingPart, ParkedOverview, ParkedTimerOverview, ProbeReport,
        QuarantinedOverview, Way,
    };

    fn digest(letter: char) -> String {
        letter.to_string().repeat(64)
    }

    #[test]
    fn a_table_shows_what_is_active_what_the_file_is_and_what_was_refused() {
        let generation = |letter, decisions, is_active| GenerationOverview {
            digest: digest(letter),
            component: digest(letter),
            settings: None,
            version: if is_active { "0.10.0" } else { "0.2.0" }.into(),
            state_version: 1,
            is_active,
            since: 1_767_323_045_678,
            way: if is_active { Way::Rollback } else { Way::Start },
            change: None,
            activations: 1,
            decisions,
            refusals: 7,
            faults: 0,
            is_kept: is_active,
        };
        let mut shown = ParticipantOverview {
            name: "booking".into(),
            active: digest('a'),
            file: Some(ComponentFile {
                path: "rules.wasm".into(),
                digest: Some(digest('c')),
                is_active: false,
            }),
            audit: None,
            stale_seconds: None,
            generations: vec![generation('a', 123_456, true), generation('b', 5, false)],
            refused: vec![RefusedOverview {
                time: 0,
                way: Way::File,
                refused: Refused {
                    check: Check::World,
                    reasons: vec!["no export".into(), "an import".into()],
                    digest: Some(digest('d')),
                    component: None,
                    allowed_by: Vec::new(),
                    gate: None,
                },
            }],
            quarantine: QuarantineOverview {
                count: 3,
                first: vec![QuarantinedOverview {
                    key: "17".into(),
                    reason: "no such shape".into(),
                    since: 0,
                }],
            },
            dead_letters: DeadLetterOverview {
                open: 2,
                blocked_aggregates: 1,
            },
            parked: ParkedOverview {
                messages: 4,
                bytes: 900,
                timers: 1,
                first_timers: vec![ParkedTimerOverview {
                    key: "17".into(),
                    name: "expires".into(),
                    since: 0,
                    reason: "trap".into(),
                    detail: "division by zero".into(),
                }],
            },
        };
        let overview_of = |shown: &ParticipantOverview| {
            let all = Overview {
                participants: vec![shown.clone()],
            };
            overview(&all, " --data d")
        };
        assert_eq!(
            overview_of(&shown),
            "\
booking
   DIGEST        VERSION  SINCE                 WAY       DECISIONS  REFUSALS  FAULTS  COPY
*  aaaaaaaaaaaa  0.10.0   2026-01-02T03:04:05Z  rollback     123456         7       0  kept
   bbbbbbbbbbbb  0.2.0    2026-01-02T03:04:05Z  start             5         7       0  none
  file rules.wasm (cccccccccccc) differs from what is active; `saga apply booking rules.wasm --data d` takes it
  refused 1970-01-01T00:00:00Z dddddddddddd (file): no export; an import
  quarantined 1970-01-01T00:00:00Z 17: no such shape
  and 2 more are quarantined
  4 messages are parked
  1 timers are parked
  dead letters: 2 open, aggregates blocked: 1; `saga dead-letters list booking` lists them
  parked 1970-01-01T00:00:00Z timer expires of 17: trap (division by zero)
"
        );
        let mut stale = shown.clone();
        stale.stale_seconds = Some(7);
        let stale = overview_of(&stale);
        assert!(
            stale.starts_with("booking\n  as of 7 s ago: the store does not answer\n"),
            "{stale}"
        );
        shown.refused[0].refused.component = Some(digest('c'));
        let told = overview_of(&shown);
        assert!(
            told.contains("  file rules.wasm (cccccccccccc) differs from what is active, and was refused (world)\n"),
            "{told}"
        );
        if let Some(file) = &mut shown.file {
            file.digest = None;
        }
        assert!(overview_of(&shown).contains("  file rules.wasm can't be read\n"));
        if let Some(file) = &mut shown.file {
            file.is_active = true;
        }
        assert!(!overview_of(&shown).contains("file rules.wasm"));
    }

    #[test]
    fn no_foreign_text_begins_a_line_or_steers_the_terminal() {
        let steers = "1\n*  forged\u{1b}[2J\u{202e}\u{9b}".to_owned();
        let told = ParticipantOverview {
            name: "booking".into(),
            active: digest('a'),
            file: None,
            audit: None,
            stale_seconds: None,
            generations: Vec::new(),
            refused: vec![RefusedOverview {
                time: 0,
                way: Way::File,
                refused: Refused {
                    check: Check::World,
                    reasons: vec![steers.clone()],
                    digest: None,
                    component: None,
                    allowed_by: Vec::new(),
                    gate: None,
                },
            }],
            quarantine: QuarantineOverview {
                count: 1,
                first: vec![QuarantinedOverview {
                    key: steers.clone(),
                    reason: steers.clone(),
                    since: 0,
                }],
            },
            dead_letters: DeadLetterOverview::default(),
            parked: ParkedOverview {
                messages: 0,
                bytes: 0,
                timers: 1,
                first_timers: vec![ParkedTimerOverview {
                    key: steers.clone(),
                    name: steers.clone(),
                    since: 0,
                    reason: "malformed".into(),
                    detail: steers.clone(),
                }],
            },
        };
        let text = overview(
            &Overview {
                participants: vec![told],
            },
            "",
        );
        let differences = vec![Difference {
            message: steers.clone(),
            name: steers.clone(),
            key: steers.clone(),
            parts: vec![DifferingPart {
                what: "state".into(),
                pointer: steers.clone(),
                decided: Some(steers.clone().into()),
                would_decide: None,
            }],
            decided: String::new(),
            would_decide: String::new(),
        }];
        let swap = verified(&Verified {
            participant: "booking".into(),
            digest: digest('a'),
            version: steers.clone(),
            state_version: 1,
            compared_with: Vec::new(),
            probe: Some(ProbeReport {
                inputs: 1,
                decided_otherwise: 1,
                differences,
                ..ProbeReport::default()
            }),
            notes: vec![steers],
        });
        for (text, lines) in [(text, 6), (swap, 4)] {
            assert_eq!(text.lines().count(), lines, "{text}");
            assert!(!text.replace('\n', "").contains(is_escaped), "{text}");
            assert!(!text.lines().any(|line| line.starts_with("*  forged")));
        }
    }

    #[test]
    fn a_swap_is_told_in_a_line() {
        let mut swap = SwapResult {
            participant: "booking".into(),
            digest: digest('a'),
            settings: None,
            version: "0.2.0".into(),
            previous: digest('b'),
            previous_settings: None,
            changed: true,
            dry_run: false,
            probe: ProbeReport {
                inputs: 64,
                decided_otherwise: 3,
                states: 10,
                states_not_read: 2,
                ..ProbeReport::default()
            },
            class: None,
            gate: None,
            notes: vec!["a timer is gone".into()],
            checked_us: 1_234_567,
            swapped_us: 890,
        };
        assert_eq!(
            applied(&swap),
            "booking 0.2.0 aaaaaaaaaaaa is active, was bbbbbbbbbbbb; checked in 1.2 s, swapped in 890 µs; \
             3 of 64 recorded inputs decided differently; 8 of 10 stored states read\n\
             and 3 more decided differently; --json lists them\nnote: a timer is gone\n"
        );
        swap.probe = ProbeReport::default();
        let stopped = SwapResult {
            swapped_us: 0,
            ..swap.clone()
        };
        assert!(applied(&stopped).contains("checked in 1.2 s\nnote: "));
        let line = applied(&swap);
        assert!(line.contains("swapped in 890 µs\nnote: "), "{line}");
        let values = |value: serde_json::Value| value.as_object().cloned();
        let back = SwapResult {
            settings: values(serde_json::json!({"kept": 1, "size": 3})),
            previous_settings: values(serde_json::json!({"kept": 1, "size": 4, "wait": "1s"})),
            ..swap.clone()
        };
        let told = applied(&back);
        assert!(
            told.contains(
                "\nsetting size = 3, was 4\nsetting wait is the default again, was \"1s\"\nnote: "
            ),
            "{told}"
        );
        swap.dry_run = true;
        assert_eq!(
            applied(&swap),
            "booking 0.2.0 aaaaaaaaaaaa would be active, bbbbbbbbbbbb is; checked in 1.2 s\nnote: a timer is gone\n"
        );
        swap.dry_run = false;
        swap.changed = false;
        swap.notes.clear();
        assert_eq!(
            applied(&swap),
            "booking 0.2.0 aaaaaaaaaaaa was active already\n"
        );
    }

    #[test]
    fn a_change_of_decisions_is_told_with_who_acknowledged_it() {
        let gate = GateReport {
            replayed: 400,
            changed: 37,
            change_set: digest('c'),
            acknowledged_by: Some("ann".into()),
            later: Some(LaterDecisions {
                replayed: 5,
                changed: 1,
                faults: 0,
            }),
            no_baseline: vec![Count {
                what: "not readable".into(),
                count: 2,
            }],
            ..GateReport::default()
        };
        assert_eq!(
            gated(&gate),
            format!(
                "400 recorded decisions were replayed: 37 change, 0 fail; 2 have no baseline (not readable: 2); \
                 acknowledged by ann: change set {}; of 5 later ones 1 change in the same ways, 0 fail",
                digest('c')
            )
        );
    }

    #[test]
    fn a_component_that_passed_is_told_in_a_line() {
        let mut passed = Verified {
            participant: "booking".into(),
            digest: digest('a'),
            version: "0.2.0".into(),
            state_version: 1,
            compared_with: Vec::new(),
            probe: None,
            notes: Vec::new(),
        };
        let line = format!("ok booking 0.2.0 {}", digest('a'));
        assert_eq!(verified(&passed), format!("{line}\n"));
        passed.compared_with = vec!["order 1.0.0".into(), "wire 2.0.0".into()];
        let compared = format!("{line}; compared with order 1.0.0, wire 2.0.0\n");
        assert_eq!(verified(&passed), compared);
        passed.compared_with.clear();
        passed.probe = Some(ProbeReport {
            inputs: 2,
            ..ProbeReport::default()
        });
        assert_eq!(
            verified(&passed),
            format!("{line}; 0 of 2 recorded inputs decided differently\n")
        );
        let differences = vec![Difference {
            message: "id-1".into(),
            name: "booked".into(),
            key: "17".into(),
            parts: vec![DifferingPart {
                what: "answer".into(),
                pointer: String::new(),
                decided: Some("decided".into()),
                would_decide: Some("malformed: no room".into()),
            }],
            decided: "{\"state\":1}".into(),
            would_decide: "malformed: no room".into(),
        }];
        passed.probe = Some(ProbeReport {
            inputs: 2,
            decided_otherwise: 1,
            differences,
            ..ProbeReport::default()
        });
        assert_eq!(
            verified(&passed),
            format!(
                "{line}; 1 of 2 recorded inputs decided differently\nbooked for 17 (id-1)\n  answer: \"decided\", would be \
                 \"malformed: no room\"\n"
            )
        );
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(999), "999 µs");
        assert_eq!(duration(12_345), "12.3 ms");
        assert_eq!(duration(61_900_000), "61.9 s");
    }
}
