//! Dead letters as text. Pure: values in, text out.

use std::collections::BTreeMap;

use super::table::write_table;
use crate::admin::letter_report::{
    AllLetters, Bytes, Letter, LetterDetail, LetterPage, LetterState, OpenLetters,
};
use crate::base::clock::rfc3339_seconds as utc;
use crate::base::generation::short;
use crate::base::printable::{Lines, cut, escaped};
use crate::rollout::letter_trial::LetterTrial;

/// The columns of a list of one participant.
const HEADINGS: [&str; 10] = [
    "NUMBER", "STATE", "SINCE", "KEY", "EVENT", "FROM", "REASON", "REDRIVES", "WAITING", "DETAIL",
];

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
    open(&mut text, &page.participant, &page.by_reason);
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(page.letters.iter().map(row));
    write_table(&mut text, &rows, &[0, 7, 8]);
    more(&mut text, page.next);
    text.text()
}

/// A page of the dead letters of all participants: their numbers by participant and reason, and a
/// line for each letter.
pub(super) fn all(all: &AllLetters) -> String {
    let mut text = Lines::default();
    let is_open = |one: &&OpenLetters| one.by_reason.values().sum::<u64>() > 0;
    let with_open: Vec<_> = all.participants.iter().filter(is_open).collect();
    if with_open.is_empty() && all.letters.is_empty() {
        text.add(format_args!("no participant has open dead letters"));
        return text.text();
    }
    for one in with_open {
        open(&mut text, &one.participant, &one.by_reason);
    }
    let named = |name: String, cells: [String; 10]| {
        let mut row: [String; 11] = Default::default();
        let cells = std::iter::once(name).chain(cells);
        row.iter_mut().zip(cells).for_each(|(to, cell)| *to = cell);
        row
    };
    let mut rows = vec![named("PARTICIPANT".to_owned(), HEADINGS.map(str::to_owned))];
    let letters = all.letters.iter();
    rows.extend(letters.map(|one| named(one.participant.clone(), row(&one.letter))));
    write_table(&mut text, &rows, &[1, 8, 9]);
    more(&mut text, all.next);
    text.text()
}

/// Writes the number of open letters of a participant, by reason.
fn open(text: &mut Lines, participant: &str, by_reason: &BTreeMap<String, u64>) {
    let all: u64 = by_reason.values().sum();
    let reasons: Vec<_> = (by_reason.iter())
        .map(|(reason, number)| format!("{number} {reason}"))
        .collect();
    let reasons = match reasons.as_slice() {
        [] => String::new(),
        reasons => format!(" ({})", reasons.join(", ")),
    };
    text.add(format_args!("{participant}: {all} open{reasons}"));
}

fn more(text: &mut Lines, next: Option<i64>) {
    if let Some(next) = next {
        text.add(format_args!("  there are more: --after {next}"));
    }
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
        cut(&escaped(&letter.detail), DETAIL).into_owned(),
    ]
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::letter_report::LetterPage;

    fn letter(id: i64) -> Letter {
        Letter {
            id,
            state: LetterState::Open,
            aggregate: Some("17".into()),
            blocks: true,
            waiting: 2,
            event_type: Some("placed".into()),
            topic: "orders".into(),
            partition: 0,
            offset: 9,
            reason: "trap".into(),
            detail: "it broke".into(),
            attempts: 3,
            failed_redrives: 0,
            digest: "0".repeat(64),
            time: 0,
            ended: None,
        }
    }

    fn of(participant: &str, letters: &[i64]) -> LetterPage {
        let open = letters.len() as u64;
        let by_reason = [("trap".to_owned(), open)].into_iter();
        LetterPage {
            participant: participant.into(),
            by_reason: by_reason.filter(|(_, open)| *open > 0).collect(),
            letters: letters.iter().copied().map(letter).collect(),
            next: None,
        }
    }

    #[test]
    fn letters_of_all_participants_are_in_the_order_of_their_numbers_with_their_participant() {
        let pages = || vec![of("order", &[2, 5]), of("customer", &[3]), of("idle", &[])];
        assert_eq!(
            all(&AllLetters::of(pages(), 10)),
            "\
order: 2 open (2 trap)
customer: 1 open (1 trap)
PARTICIPANT  NUMBER  STATE  SINCE                 KEY  EVENT   FROM        REASON  REDRIVES  WAITING  DETAIL
order             2  open   1970-01-01T00:00:00Z  17   placed  orders/0/9  trap           0        2  it broke
customer          3  open   1970-01-01T00:00:00Z  17   placed  orders/0/9  trap           0        2  it broke
order             5  open   1970-01-01T00:00:00Z  17   placed  orders/0/9  trap           0        2  it broke
"
        );
        let first = AllLetters::of(pages(), 2);
        let numbers: Vec<_> = first.letters.iter().map(|one| one.letter.id).collect();
        assert_eq!((numbers, first.next), (vec![2, 3], Some(3)));
        assert_eq!(AllLetters::of(pages(), 3).next, None);
        let none = AllLetters::of(vec![of("idle", &[])], 10);
        assert_eq!(all(&none), "no participant has open dead letters\n");
    }
}
