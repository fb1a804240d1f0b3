//! [`Timeline`]: what happened in a run, for a reader.

use std::fmt::Write as _;

use crate::bindings::saga::participant::types::{
    Disposition, Message, Origin, Outcome, Reply, StateChange, TimerChange,
};

/// Most characters of a state or a body in a report.
const SHOWN: usize = 400;

/// The steps of a run, oldest first.
#[derive(Default)]
pub(super) struct Timeline {
    steps: Vec<Step>,
}

struct Step {
    after: u64,
    text: String,
}

impl Timeline {
    /// Notes a step, so many milliseconds after the start of the run.
    pub(super) fn note(&mut self, after: u64, text: String) {
        self.steps.push(Step { after, text });
    }

    /// The number of steps.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    /// The last steps, or all.
    pub(super) fn show(&self, last: Option<usize>) -> String {
        let all = self.steps.len();
        let skipped = all.saturating_sub(last.unwrap_or(all));
        let mut text = match skipped {
            0 => format!("All {all} steps:\n"),
            _ => format!("The last {} of {all} steps:\n", all - skipped),
        };
        for (number, step) in self.steps.iter().enumerate().skip(skipped) {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{:>4}  +{}  {}",
                number + 1,
                span(step.after),
                step.text
            );
        }
        text
    }
}

/// A turn: who decided on what, and the effect.
pub(super) fn turn(
    participant: &str,
    message: &Message,
    before: Option<&str>,
    outcome: &Outcome,
    now: u64,
) -> String {
    let mut text = format!(
        "{} decided on {}",
        aggregate(participant, message),
        what(message)
    );
    let mut line = |line: String| {
        let _ = write!(text, "\n        {line}");
    };
    if message.body != "null" {
        line(format!("body      {}", short(&message.body)));
    }
    match &outcome.state {
        StateChange::Unchanged => line(format!("unchanged {}", state(before))),
        StateChange::Put(after) => {
            line(format!("before    {}", state(before)));
            line(format!("after     {}", short(after)));
        }
        StateChange::Remove => {
            line(format!("before    {}", state(before)));
            line("removed".to_owned());
        }
    }
    for event in &outcome.events {
        line(format!(
            "publishes {} to {}: {}",
            event.event_type,
            event.key,
            short(&event.body)
        ));
    }
    for timer in &outcome.timers {
        line(match timer {
            TimerChange::Set(timer) => format!(
                "sets      timer {}, due in {}",
                timer.name,
                span(timer.due.saturating_sub(now))
            ),
            TimerChange::Cancel(name) => format!("cancels   timer {name}"),
        });
    }
    match &outcome.reply {
        Some(Reply::Done(body)) => line(format!("replies   {}", short(body))),
        Some(Reply::Pending(body)) => line(format!("replies   {} (pending)", short(body))),
        Some(Reply::Refused(refusal)) => {
            line(format!("refuses   {}: {}", refusal.code, refusal.detail));
        }
        None => {}
    }
    text
}

/// A message that was not decided.
pub(super) fn undecided(participant: &str, message: &Message, why: &Disposition) -> String {
    let aggregate = aggregate(participant, message);
    let what = what(message);
    match why {
        Disposition::Malformed(why) => format!("{aggregate} found {what} malformed: {why}"),
        Disposition::RetryLater(why) => format!("{aggregate} put off {what}: {why}"),
    }
}

/// The message that a participant decides on.
pub(super) fn what(message: &Message) -> String {
    let origin = match message.origin {
        Origin::Command => "command",
        Origin::Event => "event",
        Origin::Timer => "timer",
    };
    format!("{origin} {} ({})", message.name, message.id)
}

pub(super) fn aggregate(participant: &str, message: &Message) -> String {
    format!("{participant} {}", message.key)
}

fn state(state: Option<&str>) -> String {
    state.map_or_else(|| "nothing".to_owned(), short)
}

/// A text of bounded length.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{} ...", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Milliseconds as people write them.
pub(super) fn span(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0..60 => format!("{seconds}.{:03}s", millis % 1_000),
        60..3_600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}
