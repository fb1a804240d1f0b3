//! The acts, as the settings name them.

use crate::settings::{Acts, Settings};
use saga_sdk::bindings::saga::participant::types::{
    Disposition, Event, Message, Outcome, Refusal, RefusalKind, Reply, StateChange, Timer,
    TimerChange,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::hint::black_box;

/// One thing to do on a message. Where several are listed, each goes on from what those before it did.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Adds so much to `count`, notes the version of the rules in `by`, and replies with the state. What
    /// else is in the state stays.
    Count(i64),
    /// Replies with the state, or `null`, and leaves it as it is.
    Look,
    /// Replies with the settings that it was given, and with the message's `id`, `correlation` and
    /// `causation`.
    Tell,
    /// Replies with this, and leaves the state as it is.
    Reply(Value),
    /// Puts the message's body as the state, to the letter; replies with it.
    Store,
    /// Removes the aggregate; replies with what was.
    Remove,
    /// Refuses with this code: a conflict.
    Refuse(String),
    /// Publishes an event.
    Publish {
        /// Its type.
        event_type: String,
        /// Its key. Default: that of the message.
        key: Option<String>,
        /// Its body. Default: the state as it is to become.
        body: Option<Value>,
    },
    /// Sets a timer.
    SetTimer {
        /// Its name.
        name: String,
        /// Milliseconds from now.
        after_ms: u64,
        /// Its body.
        #[serde(default)]
        body: Value,
    },
    /// Cancels a timer.
    CancelTimer(String),
    /// Answers `malformed`, saying this.
    Malformed(String),
    /// Answers `retry-later`, saying this.
    RetryLater(String),
    /// Does this where there is a state with all of these members (of none for any state).
    IfState(Map<String, Value>, Box<Act>),
    /// Does this where there is no state.
    IfNone(Box<Act>),
    /// Does this where the message's body has all of these members.
    IfBody(Map<String, Value>, Box<Act>),
    /// Sets a member of the state, as counting sets `count`; replies with the state.
    Set(String, Value),
    /// Replies with the number of calls of its instance that came before.
    TellCalls,
    /// Replies with names in the order of a hash map.
    TellHashOrder,
    /// Replies with two random numbers of the standard library's own source.
    TellRandom,
    /// Traps.
    Trap,
    /// Never returns.
    Spin,
    /// Takes memory without end.
    Grow,
    /// Replies with a string of so many bytes.
    Huge(usize),
    /// Puts a state that is no JSON.
    GarbageState,
    /// Publishes an event that is not declared.
    GarbageEvent,
    /// Gives no reply.
    NoReply,
}

/// Does what the settings say for the message's name.
///
/// # Errors
/// The undecided answer that it gives.
pub fn act(
    settings: &Settings,
    state: Option<&str>,
    message: &Message,
    given: &str,
) -> Result<Outcome, Disposition> {
    let (count, look) = (Act::Count(1), Act::Look);
    let acts = match settings.handle.get(&message.name) {
        Some(Acts::One(act)) => std::slice::from_ref(act),
        Some(Acts::All(acts)) => acts.as_slice(),
        None if settings.is_read(&message.name) => std::slice::from_ref(&look),
        None => std::slice::from_ref(&count),
    };
    if let Some(Err(error)) = state.map(|state| settings.state.read(state)) {
        unreadable(&error);
    }
    let mut turn = Turn {
        message,
        given,
        version: &settings.version,
        state: state.map_or("null", |state| state).to_owned(),
        outcome: Outcome {
            state: StateChange::Unchanged,
            events: vec![],
            timers: vec![],
            reply: None,
        },
    };
    turn.reply(turn.state.clone());
    for act in acts {
        turn.act(act)?;
    }
    Ok(turn.outcome)
}

/// A message that is being decided on.
struct Turn<'a> {
    message: &'a Message,
    given: &'a str,
    version: &'a str,
    /// The state as it is to become; `null` for none.
    state: String,
    outcome: Outcome,
}

impl Turn<'_> {
    fn act(&mut self, act: &Act) -> Result<(), Disposition> {
        match act {
            Act::Count(step) => {
                self.state = counted(&self.state, *step, self.version);
                self.outcome.state = StateChange::Put(self.state.clone());
                self.reply(self.state.clone());
            }
            Act::Look => self.reply(self.state.clone()),
            Act::Tell => {
                let Message {
                    id,
                    correlation,
                    causation,
                    version,
                    body,
                    ..
                } = self.message;
                let caller = (self.message.caller.as_ref())
                    .map(|caller| json!({"subject": caller.subject, "claims": caller.claims}));
                let metadata = self.message.metadata.iter();
                let metadata: Vec<_> = metadata.map(|one| json!([one.name, one.value])).collect();
                let given: Value = serde_json::from_str(self.given).unwrap_or_default();
                let told = json!({"settings": given, "id": id, "correlation": correlation, "causation": causation,
                    "caller": caller, "metadata": metadata, "version": version, "body": body});
                self.reply(told.to_string());
            }
            Act::Reply(value) => self.reply(value.to_string()),
            Act::Store => {
                self.state.clone_from(&self.message.body);
                self.outcome.state = StateChange::Put(self.state.clone());
                self.reply(self.state.clone());
            }
            Act::Remove => {
                self.outcome.state = StateChange::Remove;
                self.state = "null".to_owned();
            }
            Act::Refuse(code) => self.outcome.reply = Some(refused(code)),
            Act::Publish {
                event_type,
                key,
                body,
            } => {
                let key = key.as_ref().unwrap_or(&self.message.key).clone();
                let body = body.as_ref().map_or(self.state.clone(), Value::to_string);
                self.publish(event_type, key, body);
            }
            Act::SetTimer {
                name,
                after_ms,
                body,
            } => self.outcome.timers.push(TimerChange::Set(Timer {
                name: name.clone(),
                due: self.message.time.saturating_add(*after_ms),
                body: body.to_string(),
            })),
            Act::CancelTimer(name) => {
                self.outcome.timers.push(TimerChange::Cancel(name.clone()));
            }
            Act::Malformed(text) => return Err(Disposition::Malformed(text.clone())),
            Act::RetryLater(text) => return Err(Disposition::RetryLater(text.clone())),
            Act::IfState(members, act) if self.state != "null" && has(&self.state, members) => {
                return self.act(act);
            }
            Act::IfNone(act) if self.state == "null" => return self.act(act),
            Act::IfBody(members, act) if has(&self.message.body, members) => return self.act(act),
            Act::IfState(..) | Act::IfNone(_) | Act::IfBody(..) => {}
            Act::Set(name, value) => {
                let mut state: Map<String, Value> =
                    serde_json::from_str(&self.state).unwrap_or_default();
                state.insert(name.clone(), value.clone());
                self.state = Value::Object(state).to_string();
                self.outcome.state = StateChange::Put(self.state.clone());
                self.reply(self.state.clone());
            }
            Act::TellCalls => self.reply(calls_before().to_string()),
            Act::TellHashOrder => self.reply(hash_order()),
            Act::TellRandom => self.reply(random()),
            Act::Trap => trap(),
            Act::Spin => spin(),
            Act::Grow => grow(),
            Act::Huge(size) => self.reply(format!("\"{}\"", "x".repeat(*size))),
            Act::GarbageState => self.outcome.state = StateChange::Put("{not json".to_owned()),
            Act::GarbageEvent => {
                self.publish("no-such-event", self.message.key.clone(), "1".to_owned());
            }
            Act::NoReply => self.outcome.reply = None,
        }
        Ok(())
    }

    fn reply(&mut self, body: String) {
        self.outcome.reply = Some(Reply::Done(body));
    }

    fn publish(&mut self, event_type: &str, key: String, body: String) {
        self.outcome.events.push(Event {
            event_type: event_type.to_owned(),
            key,
            body,
        });
    }
}

/// The state after counting; one that is no object begins anew.
fn counted(state: &str, step: i64, version: &str) -> String {
    let mut members: Map<String, Value> = serde_json::from_str(state).unwrap_or_default();
    let count = members.get("count").and_then(Value::as_i64).unwrap_or(0);
    members.insert("count".to_owned(), json!(count.saturating_add(step)));
    members.insert("by".to_owned(), json!(version));
    Value::Object(members).to_string()
}

/// True if JSON text is an object with all of these members.
fn has(text: &str, members: &Map<String, Value>) -> bool {
    let value: Value = serde_json::from_str(text).unwrap_or_default();
    let has = |(name, member): (&String, &Value)| value.get(name) == Some(member);
    members.iter().all(has)
}

/// Traps as rules of the SDK do on a state that they can't read.
#[allow(
    clippy::panic,
    reason = "the host shows what a guest says when it breaks"
)]
fn unreadable(error: &str) -> ! {
    panic!("the stored state can't be read by these rules: {error}")
}

fn refused(code: &str) -> Reply {
    Reply::Refused(Refusal {
        kind: RefusalKind::Conflict,
        code: code.to_owned(),
        detail: "The settings say so.".to_owned(),
        pointer: None,
    })
}

/// Calls of this instance that came before.
fn calls_before() -> usize {
    static CALLS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    CALLS.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}

fn hash_order() -> String {
    let names: std::collections::HashSet<u32> = (0..100).collect();
    json!(names.into_iter().collect::<Vec<_>>()).to_string()
}

/// Two numbers of the host's random source.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "the standard library has no function for them")]
fn random() -> String {
    #[link(wasm_import_module = "wasi:random/random@0.2.6")]
    unsafe extern "C" {
        #[link_name = "get-random-u64"]
        fn get_random_u64() -> i64;
    }
    // SAFETY: takes nothing and gives a number, as the interface says.
    let numbers = unsafe { [get_random_u64(), get_random_u64()] };
    json!(numbers).to_string()
}

#[cfg(not(target_family = "wasm"))]
fn random() -> String {
    "[]".to_owned()
}

/// Traps.
pub(crate) fn trap() -> ! {
    std::process::abort()
}

/// Never returns.
pub(crate) fn spin() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

fn grow() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1_u8; 1 << 20]));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use saga_sdk::bindings::saga::participant::types::Origin;

    fn message(name: &str) -> Message {
        Message {
            id: "1".to_owned(),
            source: "/test".to_owned(),
            origin: Origin::Command,
            name: name.to_owned(),
            key: "k".to_owned(),
            time: 7,
            correlation: "1".to_owned(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: vec![],
            body: "null".to_owned(),
        }
    }

    #[test]
    fn by_default_a_command_counts_and_a_read_looks() {
        let settings = Settings::read(b"{}");
        let state = r#"{"by":"1.0.0","count":1}"#;
        let counted = act(&settings, None, &message("count"), "{}").unwrap();
        assert_eq!(counted.state, StateChange::Put(state.to_owned()));
        assert_eq!(counted.reply, Some(Reply::Done(state.to_owned())));
        let looked = act(&settings, Some(state), &message("look"), "{}").unwrap();
        assert_eq!(looked.state, StateChange::Unchanged);
        assert_eq!(looked.reply, Some(Reply::Done(state.to_owned())));
    }

    #[test]
    fn acts_that_are_listed_go_on_from_each_other() {
        let settings = Settings::read(
            br#"{"handle":{"count":[{"count":5},{"publish":{"event_type":"changed"}},
            {"set-timer":{"name":"later","after_ms":3}},{"refuse":"no"}]}}"#
                .iter()
                .copied()
                .filter(|byte| *byte != b'\n')
                .collect::<Vec<_>>()
                .as_slice(),
        );
        let outcome = act(&settings, None, &message("count"), "{}").unwrap();
        let state = r#"{"by":"1.0.0","count":5}"#;
        assert_eq!(outcome.state, StateChange::Put(state.to_owned()));
        assert_eq!(outcome.events.first().unwrap().body, state);
        let set = TimerChange::Set(Timer {
            name: "later".to_owned(),
            due: 10,
            body: "null".to_owned(),
        });
        assert_eq!(outcome.timers, [set]);
        assert!(matches!(outcome.reply, Some(Reply::Refused(_))));
    }
}
