//! [`replay`]: recorded decisions, made again by the rules as they are now.

use std::fmt::Write as _;

use saga_contract::cases::{self, Case, CaseMessage, Generation};
use saga_contract::difference::differences;
use saga_contract::json::parse;
use serde_json::{Map, Value, json};

use super::together::panics::caught;
use super::{assert_in_order, default_settings, fail};
use crate::bindings::saga::participant::types::{
    Caller, Disposition, Header, Message, Origin, Outcome, Parameter, Reply, StateChange,
    TimerChange,
};
use crate::check::refusal_kind;
use crate::participant::Participant;
use crate::router::Rules;

/// Most decisions that a failure shows, and most places of one.
const SHOWN: usize = 20;

/// Most characters of a value that a failure shows.
const VALUE: usize = 200;

/// Makes the decisions of a file again, each on its recorded state, with the recorded settings. The
/// file is what `saga journal export` writes. [`replay!`](crate::replay) reads it by its path.
///
/// # Panics
/// Where the file can't be read or is of another participant, and where the contract of `P` has
/// mistakes.
#[track_caller]
pub fn replay<P: Participant>(file: &str) -> Replayed {
    let rules = Rules::<P>::new();
    assert_in_order(&rules.problems());
    let description = rules.describe();
    let (header, cases) = match cases::read(file) {
        Ok(read) => read,
        Err(reason) => fail(&format!("the recorded decisions can't be read: {reason}")),
    };
    if header.participant != description.name {
        fail(&format!(
            "the recorded decisions are of the participant {:?}, and these are the rules of {:?}",
            header.participant, description.name
        ));
    }
    let defaults = default_settings(&description);
    let replay = Replay {
        rules,
        state_version: description.state.version,
        defaults: match parse(&defaults) {
            Ok(Value::Object(defaults)) => defaults,
            _ => Map::new(),
        },
    };
    let changed = cases.iter().filter_map(|case| {
        let mut generations = header.generations.iter();
        let generation = generations.find(|one| one.digest == case.generation)?;
        replay.change(case, generation)
    });
    Replayed {
        changed: changed.collect(),
        decisions: cases.len(),
    }
}

/// Makes the decisions of a file again that `saga journal export` wrote; its path is relative to the
/// crate's folder: `replay!(OrderService, "tests/cases/late.jsonl").unchanged()`.
#[macro_export]
macro_rules! replay {
    ($participant:ty, $path:literal $(,)?) => {
        $crate::testing::replay::<$participant>(::core::include_str!(::core::concat!(
            ::core::env!("CARGO_MANIFEST_DIR"),
            "/",
            $path
        )))
    };
}

/// Recorded decisions that were made again.
#[must_use = "a replay tests nothing before `unchanged` or `changed`"]
#[derive(Debug)]
pub struct Replayed {
    decisions: usize,
    /// For each decision that is another one, its differences.
    changed: Vec<String>,
}

impl Replayed {
    /// The number of decisions in the file.
    #[must_use]
    pub fn decisions(&self) -> usize {
        self.decisions
    }

    /// All decisions are the recorded ones.
    ///
    /// # Panics
    /// Where one is not, with the places that differ.
    #[track_caller]
    pub fn unchanged(self) {
        self.changed(0);
    }

    /// This many decisions are others than the recorded ones.
    ///
    /// # Panics
    /// Where more or fewer are, with the places that differ.
    #[track_caller]
    pub fn changed(self, expected: usize) {
        let found = self.changed.len();
        if found == expected {
            return;
        }
        let mut told = format!(
            "{found} of {} recorded decisions changed, and {expected} were expected to",
            self.decisions
        );
        for one in self.changed.iter().take(SHOWN) {
            let _ = write!(told, "\n{one}");
        }
        if found > SHOWN {
            let _ = write!(told, "\nand {} more", found - SHOWN);
        }
        fail(&told);
    }
}

struct Replay<P: Participant> {
    rules: Rules<P>,
    state_version: u32,
    defaults: Map<String, Value>,
}

impl<P: Participant> Replay<P> {
    /// How a decision differs now; none if it does not.
    fn change(&self, case: &Case, generation: &Generation) -> Option<String> {
        let decided = caught(|| self.decide(case, generation));
        let (recorded, now) = match decided {
            Ok(Ok(both)) => both,
            Ok(Err(why)) => (case.outcome.clone(), json!({ "answer": why })),
            Err(panic) => (case.outcome.clone(), json!({ "answer": panic })),
        };
        let found = match now.get("answer") {
            Some(answer) => vec![(String::new(), Some(&recorded), Some(answer))],
            None => differences(Some(&recorded), Some(&now), SHOWN),
        };
        if found.is_empty() {
            return None;
        }
        let CaseMessage {
            origin,
            name,
            key,
            id,
            ..
        } = &case.message;
        let mut told = format!(
            "key {key:?}, {origin} {name:?} (decision {}, message {id:?}):",
            case.seq
        );
        for (pointer, recorded, now) in found {
            let (recorded, now) = (shown(recorded), shown(now));
            let pointer = if pointer.is_empty() {
                "the decision"
            } else {
                &pointer
            };
            let _ = write!(told, "\n  {pointer}: recorded {recorded}, now {now}");
        }
        Some(told)
    }

    /// The recorded decision and the one of today, in one shape, or why there is none.
    fn decide(&self, case: &Case, generation: &Generation) -> Result<(Value, Value), String> {
        let version = generation.state_version;
        let state = match &case.state {
            Some(state) if version != self.state_version => Some(self.migrated(version, state)?),
            Some(state) => Some(state.to_string()),
            None => None,
        };
        let mut settings = self.defaults.clone();
        settings.extend(generation.settings.clone());
        let message = message(&case.message);
        let is_command = message.origin == Origin::Command;
        let mut outcome =
            match self
                .rules
                .handle(state, message, Value::Object(settings).to_string())
            {
                Ok(outcome) => outcome,
                Err(Disposition::Malformed(why)) => return Err(format!("malformed: {why}")),
                Err(Disposition::RetryLater(why)) => return Err(format!("retry later: {why}")),
            };
        if !is_command {
            // Without a client, a reply is not recorded.
            outcome.reply = None;
        }
        let mut recorded = case.outcome.clone();
        let mut now = told(&outcome);
        // States are compared as these rules read them.
        if recorded.get("state") != now.get("state") {
            for (outcome, version) in [(&mut recorded, version), (&mut now, self.state_version)] {
                if let Some(put) = outcome.pointer_mut("/state/put") {
                    *put = value(&self.migrated(version, put)?);
                }
            }
        }
        Ok((recorded, now))
    }

    fn migrated(&self, version: u32, state: &Value) -> Result<String, String> {
        let migrated = self.rules.migrate(version, state.to_string());
        migrated.map_err(|undecided| match undecided {
            Disposition::Malformed(why) | Disposition::RetryLater(why) => {
                format!("a state of version {version} can't be read: {why}")
            }
        })
    }
}

fn message(message: &CaseMessage) -> Message {
    let header = |(name, value): &(String, String)| Header {
        name: name.clone(),
        value: value.clone(),
    };
    let parameter = |(name, value): &(String, String)| Parameter {
        name: name.clone(),
        value: value.clone(),
    };
    let caller = |(subject, claims): &(String, Value)| Caller {
        subject: subject.clone(),
        claims: claims.to_string(),
    };
    Message {
        id: message.id.clone(),
        source: message.source.clone(),
        origin: match &*message.origin {
            "command" => Origin::Command,
            "event" => Origin::Event,
            _ => Origin::Timer,
        },
        name: message.name.clone(),
        key: message.key.clone(),
        time: message.time,
        correlation: message.correlation.clone(),
        causation: message.causation.clone(),
        caller: message.caller.as_ref().map(caller),
        metadata: message.metadata.iter().map(header).collect(),
        version: message.version,
        parameters: message.parameters.iter().map(parameter).collect(),
        body: message.body.to_string(),
    }
}

/// A decision in the shape of a file.
fn told(outcome: &Outcome) -> Value {
    let events = outcome.events.iter().map(
        |event| json!({"type": event.event_type, "key": event.key, "body": value(&event.body)}),
    );
    let timers = outcome.timers.iter().map(|timer| match timer {
        TimerChange::Set(timer) => {
            json!({"set": {"name": timer.name, "due": timer.due, "body": value(&timer.body)}})
        }
        TimerChange::Cancel(name) => json!({ "cancel": name }),
    });
    let mut told = json!({
        "state": match &outcome.state {
            StateChange::Unchanged => json!("unchanged"),
            StateChange::Remove => json!("removed"),
            StateChange::Put(state) => json!({"put": value(state)}),
        },
        "events": events.collect::<Vec<_>>(),
        "timers": timers.collect::<Vec<_>>(),
    });
    if let (Some(reply), Value::Object(members)) = (&outcome.reply, &mut told) {
        let reply = match reply {
            Reply::Done(body) => json!({"done": value(body)}),
            Reply::Pending(body) => json!({"pending": value(body)}),
            Reply::Refused(refusal) => json!({"refused": {
                "kind": refusal_kind(refusal.kind).word(),
                "code": refusal.code,
                "detail": refusal.detail,
                "pointer": refusal.pointer,
            }}),
        };
        members.insert("reply".to_owned(), reply);
    }
    told
}

fn value(text: &str) -> Value {
    parse(text).unwrap_or_else(|_| text.into())
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(VALUE) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
