//! A participant that was built for the frozen contract 0.1, for the tests of the host.
//!
//! `POST /veteran/counters/{key}` (command `count`) adds 1 to the state `{"count":N}`, publishes
//! `counted` on `veteranTopic`, to which it listens too (key `/key`), and sets the timer `later`,
//! which is due at once; each adds 1.

use bindings::exports::saga::participant::rules::{Guest, Message};
use bindings::saga::participant::types as wit;
use serde_json::{Value, json};

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    reason = "generated; the items are documented in wit/"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../../../wit/0.1",
        world: "participant",
    });
}

struct Veteran;

const ANYTHING: &str = "true";

impl Guest for Veteran {
    fn describe() -> wit::Description {
        let command = |name: &str, method, kind| wit::Command {
            name: name.to_owned(),
            summary: "Counts.".to_owned(),
            method,
            path: "/counters/{key}".to_owned(),
            kind,
            key: wit::KeySource::PathParameter("key".to_owned()),
            request: None,
            reply: ANYTHING.to_owned(),
            refusals: vec![],
        };
        wit::Description {
            name: "veteran".to_owned(),
            version: "1.0.0".to_owned(),
            summary: "Counts, by the contract 0.1.".to_owned(),
            state: wit::StateDescription {
                version: 1,
                oldest_readable: 1,
                schema: ANYTHING.to_owned(),
            },
            endpoint: wit::Endpoint {
                base_path: "/veteran".to_owned(),
                port: 0,
            },
            commands: vec![
                command("count", wit::Method::Post, wit::CommandKind::Change),
                command("look", wit::Method::Get, wit::CommandKind::Read),
            ],
            subscriptions: vec![wit::Subscription {
                event_type: "counted".to_owned(),
                topic: "veteranTopic".to_owned(),
                group: "veteran".to_owned(),
                key: "/key".to_owned(),
                untyped: false,
                schema:
                    r#"{"type":"object","properties":{"key":{"type":"string"}},"required":["key"]}"#
                        .to_owned(),
            }],
            publications: vec![wit::Publication {
                event_type: "counted".to_owned(),
                topic: "veteranTopic".to_owned(),
                schema:
                    r#"{"type":"object","properties":{"key":{"type":"string"}},"required":["key"]}"#
                        .to_owned(),
            }],
            timers: vec![wit::TimerDescription {
                name: "later".to_owned(),
                schema: ANYTHING.to_owned(),
            }],
            listings: vec![],
        }
    }

    fn handle(state: Option<String>, message: Message) -> Result<wit::Outcome, wit::Disposition> {
        let state = state.unwrap_or_else(|| json!({"count": 0}).to_string());
        let mut outcome = wit::Outcome {
            state: wit::StateChange::Unchanged,
            events: vec![],
            timers: vec![],
            reply: None,
        };
        if message.name == "look" {
            outcome.reply = Some(wit::Reply::Done(state));
            return Ok(outcome);
        }
        let count: Value = serde_json::from_str(&state)
            .map_err(|error| wit::Disposition::Malformed(error.to_string()))?;
        let count = count.get("count").and_then(Value::as_i64).unwrap_or(0);
        let state = json!({"count": count + 1}).to_string();
        outcome.state = wit::StateChange::Put(state.clone());
        if message.origin == wit::Origin::Command {
            outcome.events.push(wit::Event {
                event_type: "counted".to_owned(),
                key: message.key.clone(),
                body: json!({"key": message.key}).to_string(),
            });
            outcome.timers.push(wit::TimerChange::Set(wit::Timer {
                name: "later".to_owned(),
                due: message.time,
                body: "null".to_owned(),
            }));
            outcome.reply = Some(wit::Reply::Done(state));
        }
        Ok(outcome)
    }

    fn migrate(_: u32, state: String) -> Result<String, wit::Disposition> {
        Ok(state)
    }
}

#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "generated: the exports of the component ABI")]
mod component {
    use super::{Veteran, bindings};

    bindings::export!(Veteran with_types_in bindings);
}
