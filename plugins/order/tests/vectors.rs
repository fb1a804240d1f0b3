//! The vectors that the order rules of every language run (`sdk/vectors/order.json`): what these
//! rules decide is what stands there, byte for byte.
//!
//! `SAGA_WRITE_VECTORS=1 cargo test -p order --test vectors` writes down what they decide now.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::PathBuf;

use order::OrderService;
use saga_sdk::native::{Disposition, Message, Origin, Outcome, Reply, Rules};
use saga_sdk::native::{RefusalKind, StateChange, TimerChange};
use serde_json::{Value, json};

/// How the reasons begin that are the SDK's: each SDK has its own words for them.
const SDK_REASONS: [&str; 3] = ["the body is not", "the key ", "these rules know no"];

/// A list of vectors, and what these rules make of each.
type Kind = (&'static str, fn(&Value) -> Value);

const KINDS: &[Kind] = &[("cases", decided), ("migrations", migrated)];

fn file() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../sdk/vectors/order.json")
}

fn message(message: &Value) -> Message {
    let text = |name: &str| message[name].as_str().unwrap().to_owned();
    Message {
        id: text("id"),
        source: text("source"),
        origin: match &*text("origin") {
            "command" => Origin::Command,
            "event" => Origin::Event,
            "timer" => Origin::Timer,
            other => unreachable!("{other}"),
        },
        name: text("name"),
        key: text("key"),
        time: message["time"].as_u64().unwrap(),
        correlation: text("correlation"),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: u32::try_from(message["version"].as_u64().unwrap()).unwrap(),
        parameters: Vec::new(),
        body: text("body"),
    }
}

fn outcome(outcome: Outcome) -> Value {
    let events = outcome.events.into_iter();
    let timers = outcome.timers.into_iter().map(|timer| match timer {
        TimerChange::Set(timer) => {
            json!({"set": {"name": timer.name, "due": timer.due, "body": timer.body}})
        }
        TimerChange::Cancel(name) => json!({"cancel": name}),
    });
    json!({
        "state": match outcome.state {
            StateChange::Unchanged => json!("unchanged"),
            StateChange::Put(state) => json!({"put": state}),
            StateChange::Remove => json!("remove"),
        },
        "events": events
            .map(|event| json!({"type": event.event_type, "key": event.key, "body": event.body}))
            .collect::<Vec<_>>(),
        "timers": timers.collect::<Vec<_>>(),
        "reply": outcome.reply.map(|reply| match reply {
            Reply::Done(body) => json!({"done": body}),
            Reply::Pending(body) => json!({"pending": body}),
            Reply::Refused(refusal) => json!({"refused": {
                "kind": match refusal.kind {
                    RefusalKind::Invalid => "invalid",
                    RefusalKind::NotFound => "not-found",
                    RefusalKind::Conflict => "conflict",
                    RefusalKind::Forbidden => "forbidden",
                },
                "code": refusal.code,
                "detail": refusal.detail,
                "pointer": refusal.pointer,
            }}),
        }),
    })
}

/// A reason, if the rules gave it.
fn reason(text: String) -> Option<String> {
    let is_own = !SDK_REASONS.iter().any(|start| text.starts_with(start));
    is_own.then_some(text)
}

fn decided(case: &Value) -> Value {
    let state = case["state"].as_str().map(str::to_owned);
    let settings = case["settings"].as_str().unwrap().to_owned();
    let rules = Rules::<OrderService>::new();
    match rules.handle(state, message(&case["message"]), settings) {
        Ok(decided) => json!({"outcome": outcome(decided)}),
        Err(Disposition::Malformed(text)) => json!({"malformed": reason(text)}),
        Err(Disposition::RetryLater(text)) => json!({"retry-later": reason(text)}),
    }
}

fn migrated(case: &Value) -> Value {
    let version = u32::try_from(case["version"].as_u64().unwrap()).unwrap();
    let state = case["state"].as_str().unwrap().to_owned();
    match Rules::<OrderService>::new().migrate(version, state) {
        Ok(state) => json!({"state": state}),
        Err(_) => json!({"malformed": null}),
    }
}

/// One vector a line, so that a change of one is a change of one line.
fn write(vectors: &Value) {
    let lines = |list: &str| {
        let vectors = vectors[list].as_array().unwrap().iter();
        let lines: Vec<_> = vectors.map(|vector| format!("    {vector}")).collect();
        format!("  \"{list}\": [\n{}\n  ]", lines.join(",\n"))
    };
    let text = format!(
        "{{\n  \"participant\": {},\n{},\n{}\n}}\n",
        vectors["participant"],
        lines("cases"),
        lines("migrations")
    );
    std::fs::write(file(), text).unwrap();
}

#[test]
fn the_vectors_are_what_these_rules_decide() {
    let mut vectors: Value = serde_json::from_slice(&std::fs::read(file()).unwrap()).unwrap();
    let is_writing = std::env::var_os("SAGA_WRITE_VECTORS").is_some();
    for (list, decide) in KINDS {
        for case in vectors[*list].as_array_mut().unwrap() {
            let found = decide(case);
            if is_writing {
                case["result"] = found;
            } else {
                assert_eq!(case["result"], found, "{}", case["name"]);
            }
        }
    }
    if is_writing {
        write(&vectors);
    }
}
