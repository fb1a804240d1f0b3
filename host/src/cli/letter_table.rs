//! Dead letters as text. Pure: values in, text out.

use super::table::write_table;
use crate::admin::letter_report::{Bytes, Letter, LetterDetail, LetterPage, LetterState};
use crate::base::clock::rfc3339_seconds as utc;
use crate::base::generation::short;
use crate::base::printable::{Lines, escaped};
use crate::rollout::letter_trial::LetterTrial;

/// Most characters of a detail in a list.
const DETAIL: usize = 60;

/// A page of dead letters: their number by reason, and a line for each letter.
pub(super) fn page(page: &LetterPage) -> String {
    let mut text = Lines::default();
    let all: u64 = page.by_reason.values().sum();
    if all == 0 && page.letters.is_empty() {
        text.add(format_args!(
            "{} has no open dead letters",
            page.participant
        ));
        return text.text();
    }
    let reasons: Vec<_> = (page.by_reason.iter())
        .map(|(reason, number)| format!("{number} {reason}"))
        .collect();
    let reasons = match reasons.as_slice() {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join(", ")),
    };
    text.add(format_args!("{}: {all} open{reasons}", page.participant));
    let headings = [
        "NUMBER", "STATE", "SINCE", "KEY", "EVENT", "FROM", "REASON", "REDRIVES", "WAITING",
        "DETAIL",
    ];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(page.letters.iter().map(row));
    write_table(&mut text, &rows, &[0, 7, 8]);
    if let Some(next) = page.next {
        text.add(format_args!("  there are more: --after {next}"));
    }
    text.text()
}

fn row(letter: &Letter) -> [String; 10] {
    let shown = |text: &Option<String>| {
        text.as_deref()
            .map_or("-".into(), |text| escaped(text).into_owned())
    };
    [
        letter.id.to_string(),
        letter.state.word().to_owned(),
        utc(letter.time),
        shown(&letter.aggregate),
        shown(&letter.event_type),
        format!(
            "{}/{}/{}",
            escaped(&letter.topic),
            letter.partition,
            letter.offset
        ),
        letter.reason.clone(),
        letter.failed_redrives.to_string(),
        if letter.blocks {
            letter.waiting.to_string()
        } else {
            "-".into()
        },
        cut(&escaped(&letter.detail)),
    ]
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// A dead letter with its record and its history.
pub(super) fn detail(detail: &LetterDetail) -> String {
    let letter = &detail.letter;
    let mut text = Lines::default();
    text.add(format_args!(
        "dead letter {} is {}",
        letter.id,
        letter.state.word()
    ));
    text.add(format_args!("  since      {}", utc(letter.time)));
    text.add(format_args!(
        "  from       {}/{}/{}, read by group {}",
        letter.topic, letter.partition, letter.offset, detail.group
    ));
    if let Some(key) = &letter.aggregate {
        text.add(format_args!("  aggregate  {key}{}", behind(letter)));
    }
    text.add(format_args!(
        "  reason     {}: {}",
        letter.reason, letter.detail
    ));
    text.add(format_args!(
        "  attempts   {} by {}; failed redrives: {}",
        letter.attempts,
        short(&letter.digest),
        letter.failed_redrives
    ));
    for (name, value) in &detail.headers {
        text.add(format_args!("  header     {name}: {value}"));
    }
    bytes(&mut text, "record key", detail.record_key.as_ref());
    match &detail.value {
        None => text.add(format_args!(
            "  value      (not kept: a tombstone, or too large)"
        )),
        value => bytes(&mut text, "value     ", value.as_ref()),
    }
    bytes(&mut text, "corrected ", detail.corrected.as_ref());
    for act in &detail.acts {
        let detail = match act.detail.is_empty() {
            true => String::new(),
            false => format!(": {}", act.detail),
        };
        text.add(format_args!(
            "  {} {} by {}{detail}",
            utc(act.time),
            act.act,
            act.by
        ));
    }
    text.text()
}

fn behind(letter: &Letter) -> String {
    match (letter.blocks, letter.waiting) {
        (false, _) => String::new(),
        (true, 0) => "; later messages wait behind it".into(),
        (true, waiting) => format!("; {waiting} later messages wait behind it"),
    }
}

fn bytes(text: &mut Lines, what: &str, bytes: Option<&Bytes>) {
    match bytes {
        Some(Bytes::Text(value)) => text.add(format_args!("  {what} {value}")),
        Some(Bytes::Base64(value)) => text.add(format_args!("  {what} (Base64) {value}")),
        None => {}
    }
}

/// A component's decision on a dead letter.
pub(super) fn trial(trial: &LetterTrial) -> String {
    let mut text = Lines::default();
    let LetterTrial { id, version, .. } = trial;
    let build = format_args!("{version} {}", short(&trial.digest));
    match (&trial.would_decide, &trial.would_fail) {
        (Some(decision), _) => {
            text.add(format_args!("{id} would be decided by {build}: {decision}"));
        }
        (None, why) => {
            let why = why.as_deref().unwrap_or_default();
            text.add(format_args!("{id} would fail with {build}: {why}"));
        }
    }
    text.text()
}

/// The outcome of a request for a letter, as one line.
pub(super) fn outcome(letter: &Letter) -> String {
    let mut text = Lines::default();
    let id = letter.id;
    match letter.state {
        LetterState::Decided => text.add(format_args!("{id} decided")),
        LetterState::Discarded => text.add(format_args!("{id} discarded")),
        LetterState::Open => {
            text.add(format_args!(
                "{id} failed again: {}: {}",
                letter.reason, letter.detail
            ));
        }
        LetterState::Redriving => {
            text.add(format_args!(
                "{id} is still being tried; `saga dead-letters show` shows its state"
            ));
        }
        LetterState::Discarding => text.add(format_args!("{id} will be discarded")),
    }
    text.text()
}
