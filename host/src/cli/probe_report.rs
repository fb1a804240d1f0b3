//! The report of a probe as text: the inputs that the candidate was tried on, and its different
//! decisions.
//!
//! Pure: values in, text out. Values are cut to fit a terminal; `--json` has everything.

use std::fmt::Write as _;

use serde_json::Value;

use crate::base::printable::Lines;
use crate::rollout::report::{Difference, DifferingPart, ProbeReport};

/// Most messages shown, and most differing places per message.
const MESSAGES: usize = 10;
const PLACES: usize = 6;

/// Most characters of a value.
const VALUE: usize = 60;

/// A summary to append to a line; empty if there were no inputs.
pub(super) fn summary(probe: &ProbeReport) -> String {
    let mut text = String::new();
    if probe.inputs > 0 {
        let _ = write!(
            text,
            "; {} of {} recorded inputs decided differently",
            probe.decided_otherwise, probe.inputs
        );
    }
    if probe.states > 0 {
        let read = probe.states - probe.states_not_read.min(probe.states);
        let _ = write!(text, "; {read} of {} stored states read", probe.states);
    }
    if probe.timers + probe.events > 0 {
        let _ = write!(
            text,
            "; tried on {} set timers and {} waiting events",
            probe.timers, probe.events
        );
    }
    if probe.quarantined > 0 {
        let _ = write!(
            text,
            "; {} of {} quarantined aggregates read",
            probe.quarantined_read, probe.quarantined
        );
    }
    text
}

/// The different decisions: a line per message, and one per differing place.
pub(super) fn differences(probe: &ProbeReport) -> Lines {
    let mut text = Lines::default();
    for difference in probe.differences.iter().take(MESSAGES) {
        one(&mut text, difference);
    }
    let more = probe.decided_otherwise
        - probe
            .differences
            .len()
            .min(MESSAGES)
            .min(probe.decided_otherwise);
    if more > 0 {
        text.add(format_args!(
            "and {more} more decided differently; --json lists them"
        ));
    }
    text
}

fn one(text: &mut Lines, difference: &Difference) {
    let Difference {
        name,
        key,
        message,
        parts,
        ..
    } = difference;
    text.add(format_args!("{name} for {key} ({message})"));
    for part in parts.iter().take(PLACES) {
        text.add(format_args!("  {}", in_words(part)));
    }
    let more = parts.len().saturating_sub(PLACES);
    if more > 0 {
        text.add(format_args!("  and {more} more places"));
    }
}

/// A differing place, with both values.
pub(super) fn in_words(part: &DifferingPart) -> String {
    let DifferingPart {
        what,
        pointer,
        decided,
        would_decide,
    } = part;
    let place = match pointer.as_str() {
        "" => what.clone(),
        pointer => format!("{what} {pointer}"),
    };
    match (decided, would_decide) {
        (Some(decided), Some(other)) => {
            format!("{place}: {}, would be {}", shown(decided), shown(other))
        }
        (Some(decided), None) => format!("{place}: {}, would be missing", shown(decided)),
        (None, Some(other)) => format!("{place}: would be {}", shown(other)),
        (None, None) => place,
    }
}

/// A value, cut to a few characters.
fn shown(value: &Value) -> String {
    let text = value.to_string();
    let mut characters = text.chars();
    let mut shown: String = characters.by_ref().take(VALUE).collect();
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn part(
        what: &str,
        pointer: &str,
        decided: Option<Value>,
        would: Option<Value>,
    ) -> DifferingPart {
        DifferingPart {
            what: what.into(),
            pointer: pointer.into(),
            decided,
            would_decide: would,
        }
    }

    fn difference(parts: Vec<DifferingPart>) -> Difference {
        Difference {
            message: "id-1".into(),
            name: "booked".into(),
            key: "17".into(),
            parts,
            decided: String::new(),
            would_decide: String::new(),
        }
    }

    #[test]
    fn a_place_that_differs_is_a_line() {
        let parts = vec![
            part("state", "/seats", Some(json!(3)), Some(json!(4))),
            part("event 1 `booked`", "", Some(json!({"key": "17"})), None),
            part("timer `later`", "", None, Some(json!("cancelled"))),
            part(
                "reply",
                "/done",
                Some("x".repeat(80).into()),
                Some(Value::Null),
            ),
        ];
        let probe = ProbeReport {
            inputs: 2,
            decided_otherwise: 1,
            differences: vec![difference(parts)],
            ..ProbeReport::default()
        };
        assert_eq!(
            differences(&probe).text(),
            format!(
                "booked for 17 (id-1)\n  state /seats: 3, would be 4\n  event 1 `booked`: {{\"key\":\"17\"}}, would be \
                 missing\n  timer `later`: would be \"cancelled\"\n  reply /done: \"{}…, would be null\n",
                "x".repeat(59)
            )
        );
    }

    #[test]
    fn no_more_is_shown_than_fits() {
        let parts = vec![part("state", "/a", None, Some(json!(1))); 8];
        let probe = ProbeReport {
            inputs: 64,
            decided_otherwise: 30,
            differences: vec![difference(parts); 12],
            ..ProbeReport::default()
        };
        let text = differences(&probe).text();
        assert_eq!(text.matches("  and 2 more places\n").count(), 10, "{text}");
        assert!(
            text.ends_with("and 20 more decided differently; --json lists them\n"),
            "{text}"
        );
    }

    #[test]
    fn the_report_lists_the_samples_of_the_probe_if_there_are_any() {
        assert_eq!(summary(&ProbeReport::default()), "");
        let probe = ProbeReport {
            inputs: 64,
            decided_otherwise: 3,
            states: 10,
            states_not_read: 2,
            quarantined: 3,
            quarantined_read: 1,
            timers: 5,
            events: 1,
            ..ProbeReport::default()
        };
        assert_eq!(
            summary(&probe),
            "; 3 of 64 recorded inputs decided differently; 8 of 10 stored states read; tried on 5 set timers and 1 waiting \
             events; 1 of 3 quarantined aggregates read"
        );
    }
}
