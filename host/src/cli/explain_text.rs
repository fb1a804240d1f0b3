//! Sagas as text. Pure: values in, text out.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write as _;

use saga_core::journal::Sizes;
use saga_core::message::Origin;
use saga_core::outcome::{Reply, TimerChange};
use serde_json::Value;

use crate::base::clock::{rfc3339, rfc3339_seconds};
use crate::base::generation::short;
use crate::base::printable::{Lines, cut};
use crate::explain::other_rules::{OtherDecision, OtherRules};
use crate::explain::read::{
    Explained, LetterStep, MOST, ROOM, Saga, SagaOfAggregate, SagaQuestion,
};
use crate::explain::stuck::Stuck;
use crate::explain::timeline::{OtherRecord, PublishedEvent, RecordPlace, StateStep, TimelineStep};
use crate::explain::waits::{Expected, Wait};

/// Characters of a line; a value of the rules is cut where it would be longer.
const WIDTH: usize = 80;

/// Least characters that are shown of a value.
const VALUE: usize = 24;

/// Characters of the column of times.
const TIME: usize = 10;

/// Most indentations of a decision.
const DEPTH: usize = 12;

/// Other sagas of the aggregate that are listed.
const OTHERS: usize = 20;

/// An explanation. `now` is in milliseconds since the Unix epoch.
pub(super) fn explained(
    question: &SagaQuestion,
    explained: &Explained,
    with: Option<&OtherRules>,
    now: u64,
) -> String {
    let mut text = Lines::default();
    let view = View {
        with,
        now,
        is_complete: !explained.is_incomplete && explained.unreadable == 0,
    };
    for (number, saga) in explained.sagas.iter().enumerate() {
        if number > 0 {
            text.space();
        }
        one_saga(&mut text, saga, view);
        // If something was not read, that may be what is missing.
        if !view.is_complete {
            continue;
        }
        if saga.timeline.is_cut_off {
            text.add(format_args!(
                "The beginning is older than the retention of the journal{}.",
                since(explained)
            ));
        } else if saga.timeline.steps.is_empty() && saga.dead_letters.is_empty() {
            text.add(format_args!(
                "No decision of it is recorded: none was made here, or it is older than the retention of the journal{}.",
                since(explained)
            ));
        }
    }
    if explained.unreadable > 0 {
        text.add(format_args!(
            "{} of the journal can't be read; it is not known of which sagas they are.",
            decisions(explained.unreadable)
        ));
    }
    if explained.is_incomplete {
        text.add(format_args!(
            "There is more: only the first {MOST} decisions are shown (those with {} MiB), and as many records, dead letters and waits.",
            ROOM >> 20
        ));
    }
    if let Some(with) = with {
        text.space();
        text.add(format_args!(
            "The other rules, {} {} {}, were tried on {}; they differ on {}.",
            with.participant,
            with.version,
            short(&with.digest),
            decisions(with.tried as u64),
            with.differences.len()
        ));
    }
    if !explained.others.is_empty() {
        others(&mut text, question, &explained.others);
    }
    text.text()
}

/// How sagas are shown.
#[derive(Clone, Copy)]
struct View<'v> {
    with: Option<&'v OtherRules>,
    /// In milliseconds since the Unix epoch.
    now: u64,
    /// True if all that the store has of the sagas was read.
    is_complete: bool,
}

fn decisions(number: u64) -> String {
    match number {
        1 => "1 decision".to_owned(),
        number => format!("{number} decisions"),
    }
}

fn since(explained: &Explained) -> String {
    let since = explained.journal_since;
    since.map_or_else(String::new, |since| {
        format!(", which begins at {}", rfc3339_seconds(since))
    })
}

fn one_saga(text: &mut Lines, saga: &Saga, view: View<'_>) {
    let timeline = &saga.timeline;
    text.add(format_args!("Saga {}", saga.correlation));
    if timeline.decisions > 0 {
        let names = timeline.steps.iter().map(|step| step.participant.as_str());
        let names: BTreeSet<_> = names.collect();
        let names: Vec<_> = names.into_iter().collect();
        text.add(format_args!(
            "{} of {}, from {} on, within {}",
            decisions(timeline.decisions as u64),
            names.join(", "),
            rfc3339(timeline.began),
            span(timeline.ended.saturating_sub(timeline.began))
        ));
        text.space();
    }
    for record in &timeline.records {
        other_record(text, record, timeline.began);
    }
    let mut tree = Tree {
        text,
        began: timeline.began,
        view,
        prefix: String::new(),
    };
    tree.steps(&timeline.steps);
    for letter in &saga.dead_letters {
        dead_letter(text, letter, timeline.began);
    }
    text.space();
    if saga.pending.is_empty() {
        text.add(format_args!("Nothing is pending."));
    } else {
        text.add(format_args!("Still expected:"));
        for wait in &saga.pending {
            text.add(format_args!("  {}", expected(wait, view.now)));
        }
    }
    if timeline.steps.iter().any(|step| !step.events.is_empty()) {
        text.add(format_args!(
            "What other hosts did with these events is not known here."
        ));
    }
}

/// Writes decisions below one another: those that one caused come after it, each with all that
/// follows from it. They are indented only if there are several, so that a long chain stays in its
/// column.
struct Tree<'t> {
    text: &'t mut Lines,
    began: u64,
    view: View<'t>,
    /// The indentation of the present decision's lines.
    prefix: String,
}

/// A decision that is still to be written.
struct Next<'s> {
    /// Its number in the list.
    number: usize,
    prefix: String,
    /// The lines that lead to its name.
    branch: &'static str,
    /// Indentations before it.
    depth: usize,
    /// The decision that caused it, if its place does not say which one that is.
    cause: Option<&'s TimelineStep>,
}

impl Tree<'_> {
    fn steps(&mut self, steps: &[TimelineStep]) {
        let (first, followers) = followers(steps);
        let root = |number| Next {
            number,
            prefix: String::new(),
            branch: "",
            depth: 0,
            cause: None,
        };
        let mut left: Vec<Next<'_>> = first.into_iter().rev().map(root).collect();
        while let Some(next) = left.pop() {
            let Some(step) = steps.get(next.number) else {
                continue;
            };
            self.text.add(format_args!(
                "{:>TIME$}  {}{}{}",
                after(self.began, step.time),
                next.prefix,
                next.branch,
                heading(step)
            ));
            self.prefix = next.prefix;
            self.prefix.push_str(match next.branch {
                "├─ " => "│  ",
                "└─ " => "   ",
                _ => "",
            });
            let below = followers.get(next.number).map_or(&[][..], Vec::as_slice);
            let mark = if below.is_empty() { "   " } else { "│  " };
            if let Some(cause) = next.cause {
                self.line(mark, format_args!("caused by {}", named(cause)));
            }
            self.details(step, mark);
            let is_branched = below.len() > 1;
            let is_indented = is_branched && next.depth < DEPTH;
            let mut prefix = self.prefix.clone();
            if is_indented && prefix.is_empty() {
                // Below the first level, a decision stands under the name of the one before.
                prefix.push(' ');
            }
            let of = |(place, number): (usize, &usize)| Next {
                number: *number,
                prefix: prefix.clone(),
                branch: match is_indented {
                    true if place + 1 == below.len() => "└─ ",
                    true => "├─ ",
                    false => "",
                },
                depth: next.depth + usize::from(is_indented),
                cause: (is_branched && !is_indented).then_some(step),
            };
            left.extend(below.iter().enumerate().map(of).rev());
        }
    }

    fn line(&mut self, mark: &str, line: std::fmt::Arguments<'_>) {
        let prefix = &self.prefix;
        let indent = if prefix.is_empty() { " " } else { "" };
        (self.text).add(format_args!("{:TIME$}  {prefix}{indent}{mark}{line}", ""));
    }

    /// The room for a value behind so many characters.
    fn room(&self, taken: usize) -> usize {
        let used = TIME + 6 + self.prefix.chars().count() + taken;
        WIDTH.saturating_sub(used).max(VALUE)
    }

    fn details(&mut self, step: &TimelineStep, mark: &str) {
        self.line(
            mark,
            format_args!(
                "by {} {} {}",
                step.participant,
                step.version,
                short(&step.digest)
            ),
        );
        if step.is_cause_missing {
            let why = match self.view.is_complete {
                true => "its cause is not in the journal any more",
                false => "its cause was not read",
            };
            self.line(mark, format_args!("{why}"));
        }
        if let Some(sizes) = &step.not_kept {
            self.line(mark, format_args!("{}", not_kept(sizes)));
        }
        self.state(step, mark);
        if let Some(reply) = &step.reply {
            self.reply(reply, mark);
        }
        for event in &step.events {
            self.event(event, mark);
        }
        for timer in &step.timers {
            match timer {
                TimerChange::Set(timer) => self.line(
                    mark,
                    format_args!("timer {} set, due {}", timer.name, rfc3339(timer.due)),
                ),
                TimerChange::Cancel(name) => {
                    self.line(mark, format_args!("timer {name} cancelled"));
                }
            }
        }
        let with = self
            .view
            .with
            .and_then(|with| with.differences.get(&step.seq));
        match with {
            None => {}
            Some(OtherDecision::Fails(reason)) => {
                self.line(mark, format_args!("OTHER RULES would not decide: {reason}"));
            }
            Some(OtherDecision::Differs(parts)) => {
                self.line(mark, format_args!("OTHER RULES would decide:"));
                for part in parts {
                    let what = format!("  {} {}", part.what, part.pointer);
                    let what = what.trim_end();
                    let room = self.room(what.len() + 8) / 2;
                    let (one, other) =
                        (value(&part.decided, room), value(&part.would_decide, room));
                    self.line(mark, format_args!("{what}: {other}, not {one}"));
                }
            }
        }
    }

    fn state(&mut self, step: &TimelineStep, mark: &str) {
        match step.state {
            StateStep::Unchanged => self.line(mark, format_args!("state unchanged")),
            StateStep::Removed => self.line(mark, format_args!("state removed")),
            StateStep::Created if step.not_kept.is_some() => {
                self.line(mark, format_args!("state created"));
            }
            StateStep::Changed if step.not_kept.is_some() => {
                self.line(mark, format_args!("state written"));
            }
            StateStep::Created => {
                let after = step.changes.first().map(|change| &change.after);
                let after = value(after.unwrap_or(&None), self.room(15));
                self.line(mark, format_args!("state created: {after}"));
            }
            StateStep::Changed => {
                for change in &step.changes {
                    let room = self.room(change.pointer.len() + 12) / 2;
                    let (before, after) = (value(&change.before, room), value(&change.after, room));
                    self.line(
                        mark,
                        format_args!("state {}: {before} → {after}", change.pointer),
                    );
                }
            }
        }
    }

    fn reply(&mut self, reply: &Reply, mark: &str) {
        let (what, said) = match reply {
            Reply::Done(body) => ("reply".to_owned(), body),
            Reply::Pending(body) => ("reply pending".to_owned(), body),
            Reply::Refused(refusal) => (format!("refused ({})", refusal.code), &refusal.detail),
        };
        let said = match reply {
            Reply::Refused(_) => Cow::Borrowed(said.as_str()),
            _ => cut(said, self.room(16)),
        };
        // What is not kept is empty.
        match said.is_empty() {
            true => self.line(mark, format_args!("{what}")),
            false => self.line(mark, format_args!("{what}: {said}")),
        }
    }

    fn event(&mut self, event: &PublishedEvent, mark: &str) {
        let place = event.place.as_ref().map(shown);
        let place = place.map_or_else(
            || match self.view.is_complete {
                true => "whose record was deleted".to_owned(),
                false => "whose record was not read".to_owned(),
            },
            |place| format!("→ {place}"),
        );
        let by = match event.decided_by.as_slice() {
            [] => "not decided here".to_owned(),
            names => format!("decided by {}", names.join(", ")),
        };
        self.line(
            mark,
            format_args!("event {} {place}, {by}", event.event_type),
        );
        if let Some(id) = &event.id {
            self.line(mark, format_args!("      id {id}"));
        }
    }
}

/// The decisions without a known cause, and for each one those that it caused, by their numbers in
/// the list. Each cause stands before what it caused.
fn followers(steps: &[TimelineStep]) -> (Vec<usize>, Vec<Vec<usize>>) {
    let mut first = Vec::new();
    let mut followers = vec![Vec::new(); steps.len()];
    for (number, step) in steps.iter().enumerate() {
        let cause = step.cause.and_then(|cause| {
            let before = steps.get(..number)?;
            before.binary_search_by_key(&cause, |one| one.seq).ok()
        });
        match cause.and_then(|cause| followers.get_mut(cause)) {
            Some(below) => below.push(number),
            None => first.push(number),
        }
    }
    (first, followers)
}

/// `its payload is not kept: message 8 bytes, state 12 → 10 bytes`.
fn not_kept(sizes: &Sizes) -> String {
    let mut line = format!("its payload is not kept: message {} bytes", sizes.body);
    let states = match (sizes.state_before, sizes.state) {
        (None, None) => String::new(),
        (Some(before), None) => format!(", state {before} bytes"),
        (None, Some(after)) => format!(", new state {after} bytes"),
        (Some(before), Some(after)) => format!(", state {before} → {after} bytes"),
    };
    line.push_str(&states);
    line
}

/// The input of a decision: the aggregate, the message and its delay.
fn heading(step: &TimelineStep) -> String {
    let mut line = named(step);
    // Writing to a `String` does not fail.
    if let Some(caller) = &step.caller {
        let _ = write!(line, " by {caller}");
    }
    if step.origin == Origin::Event && step.causation.is_none() {
        let _ = write!(line, " from {}", step.source);
    }
    if let Some(made) = step.made {
        let late = span(step.time.saturating_sub(made));
        let since = match step.origin {
            Origin::Timer => "after it was due",
            _ => "after it was made",
        };
        let _ = write!(line, ", {late} {since}");
    }
    line
}

fn named(step: &TimelineStep) -> String {
    let (participant, key) = (&step.participant, &step.key);
    format!("{participant} {key}: {} {}", step.origin.word(), step.name)
}

fn other_record(text: &mut Lines, record: &OtherRecord, began: u64) {
    let began = if began == 0 { record.time } else { began };
    text.add(format_args!(
        "{:>TIME$}  record {} from {} → {}",
        after(began, record.time),
        record.event_type.as_deref().unwrap_or("without a type"),
        record
            .source
            .as_deref()
            .unwrap_or("a source without a name"),
        shown(&record.place)
    ));
}

fn dead_letter(text: &mut Lines, letter: &LetterStep, began: u64) {
    let began = if began == 0 { letter.time } else { began };
    text.add(format_args!(
        "{:>TIME$}  {} {}: event {} became dead letter {} ({})",
        after(began, letter.time),
        letter.participant,
        letter.key.as_deref().unwrap_or("-"),
        letter.event_type.as_deref().unwrap_or("without a type"),
        letter.letter,
        letter.reason
    ));
    text.add(format_args!(
        "{:TIME$}   {}, after {} attempts: {}",
        "",
        shown(&letter.place),
        letter.attempts,
        letter.detail
    ));
    if let Some((end, time)) = &letter.ended {
        text.add(format_args!("{:TIME$}   {end} at {}", "", rfc3339(*time)));
    }
}

fn others(text: &mut Lines, question: &SagaQuestion, others: &[SagaOfAggregate]) {
    text.space();
    let Some((participant, key)) = &question.aggregate else {
        return;
    };
    text.add(format_args!(
        "{participant} {key} took part in {} other sagas. --all explains them, --correlation one:",
        others.len()
    ));
    for saga in others.iter().take(OTHERS) {
        let when = match saga.decisions {
            0 => "no recorded decision".to_owned(),
            _ => format!("{}  {}", rfc3339_seconds(saga.last), saga.first),
        };
        text.add(format_args!("  {}  {when}", saga.correlation));
    }
    if others.len() > OTHERS {
        text.add(format_args!("  and {} more", others.len() - OTHERS));
    }
}

/// Sagas that have waited for longer than this (in milliseconds).
pub(super) fn stuck(stuck: &Stuck, older_than: u64, now: u64) -> String {
    let mut text = Lines::default();
    if stuck.sagas.is_empty() {
        text.add(format_args!(
            "No saga has waited for longer than {}.",
            span(older_than)
        ));
    }
    for saga in &stuck.sagas {
        text.add(format_args!(
            "{}  for {}",
            saga.correlation,
            span(now.saturating_sub(saga.since))
        ));
        for wait in &saga.waits {
            text.add(format_args!("  {}", expected(wait, now)));
        }
    }
    if stuck.has_more {
        text.add(format_args!("and more, which have not waited for so long"));
    }
    if !stuck.sagas.is_empty() {
        text.add(format_args!(
            "`saga explain --correlation ID` explains one."
        ));
    }
    text.text()
}

/// An expected event, with its time.
fn expected(wait: &Wait, now: u64) -> String {
    let participant = &wait.participant;
    let key = wait.key.as_deref().unwrap_or("-");
    let since = match wait.since {
        Some(since) => format!("waiting for {}", span(now.saturating_sub(since))),
        None => "waiting since an unknown time".to_owned(),
    };
    let named = |name: &Option<String>| match name {
        Some(name) => format!("event {name}"),
        None => "a record without a type".to_owned(),
    };
    match &wait.what {
        Expected::Event {
            event_type,
            place,
            behind,
            ..
        } => {
            let verb = match behind {
                Some(_) => "read",
                None => "decided",
            };
            let behind = match behind {
                None | Some(0) => String::new(),
                Some(behind) => format!(", {behind} records before it"),
            };
            format!(
                "{participant} has not {verb} {} ({}{behind}), {since}",
                named(event_type),
                shown(place)
            )
        }
        Expected::Unpublished {
            event_type, place, ..
        } => format!(
            "{} of {participant} is not yet published to Kafka ({}), {since}",
            named(event_type),
            shown(place)
        ),
        Expected::Timer { name, due, parked } => {
            let due = match due.checked_sub(now) {
                Some(left) => format!("is due in {}", span(left)),
                None => format!("was due {} ago", span(now - due)),
            };
            let parked = parked
                .as_ref()
                .map_or_else(String::new, |why| format!("; it is parked: {why}"));
            format!("timer {name} of {participant} {key} {due}, {since}{parked}")
        }
        Expected::Parked {
            event_type,
            letter,
            is_quarantined,
            ..
        } => {
            let why = match (letter, is_quarantined) {
                (Some(letter), _) => format!(", behind dead letter {letter}"),
                (None, true) => ", its aggregate is quarantined".to_owned(),
                (None, false) => String::new(),
            };
            format!("event {event_type} is parked for {participant} {key}{why}, {since}")
        }
        Expected::DeadLetter {
            letter,
            event_type,
            reason,
            detail,
            waiting,
        } => {
            let waiting = match waiting {
                0 => String::new(),
                waiting => format!("; {waiting} wait behind it"),
            };
            format!(
                "dead letter {letter} of {participant} {key}, {}, {since}{waiting} ({reason}): {detail}",
                named(event_type)
            )
        }
    }
}

fn shown(place: &RecordPlace) -> String {
    format!("{}/{}/{}", place.topic, place.partition, place.offset)
}

fn value(value: &Option<Value>, room: usize) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(value) => cut(&value.to_string(), room.max(VALUE)).into_owned(),
    }
}

fn after(began: u64, time: u64) -> String {
    match time.checked_sub(began) {
        Some(later) => format!("+{}", span(later)),
        None => format!("-{}", span(began - time)),
    }
}

/// A length of time, given in milliseconds, in its two largest units.
fn span(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m")];
    match ms {
        0..1_000 => return format!("{ms} ms"),
        1_000..60_000 => return format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => {}
    }
    let mut rest = ms;
    let mut parts = Vec::new();
    for (length, unit) in UNITS {
        if rest >= length {
            parts.push(format!("{} {unit}", rest / length));
        }
        rest %= length;
    }
    if rest >= 1_000 {
        parts.push(format!("{} s", rest / 1_000));
    }
    parts.truncate(2);
    parts.join(" ")
}

#[cfg(test)]
#[path = "explain_text_tests.rs"]
mod tests;
