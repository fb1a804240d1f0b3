//! A component, called without a host, and the vectors that rules in every language run.

use std::path::Path;
use std::sync::Arc;

use saga_core::message::{Message, Origin};
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange, TimerChange};
use saga_core::rules::Rules;
use saga_host::base::generation::{CompiledRules as _, RuleSettings};
use saga_host::plugin::{CodeCache, GuestLimits, InstanceUse, LoadedComponent, Runtime, compile};
use serde_json::{Value, json};

/// How the reasons begin that are an SDK's: each SDK has its own words for them.
const SDK_REASONS: [&str; 3] = ["the body is not", "the key ", "these rules know no"];

/// The rules of a component.
pub fn rules(component: &Path, settings: &str) -> Box<dyn Rules + Send> {
    let bytes = std::fs::read(component).unwrap();
    let runtime = Runtime::new(GuestLimits::default()).unwrap();
    let digest = compile::digest(&bytes);
    let origin = component.display().to_string();
    let loaded = LoadedComponent::load(&runtime, &CodeCache::none(), &bytes, &digest, &origin);
    let loaded = Arc::new(loaded.unwrap());
    let configured = loaded.configured(InstanceUse::Reused, RuleSettings::new(), settings);
    configured.instance().unwrap()
}

/// A message as vectors have it.
pub fn message(message: &Value) -> Message {
    let text = |name: &str| message[name].as_str().unwrap().to_owned();
    Message {
        id: text("id"),
        source: text("source"),
        origin: match &*text("origin") {
            "command" => Origin::Command,
            "event" => Origin::Event,
            _ => Origin::Timer,
        },
        name: text("name"),
        key: text("key"),
        time: message["time"].as_u64().unwrap(),
        correlation: text("correlation"),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: text("body"),
    }
}

/// A decision, as vectors have it.
fn told(answer: Result<Outcome, Disposition>) -> Value {
    // A reason, if the rules gave it.
    let own = |text: String| {
        let is_own = !SDK_REASONS.iter().any(|start| text.starts_with(start));
        is_own.then_some(text)
    };
    let outcome = match answer {
        Ok(outcome) => outcome,
        Err(Disposition::Malformed(text)) => return json!({"malformed": own(text)}),
        Err(Disposition::RetryLater(text)) => return json!({"retry-later": own(text)}),
    };
    let events = outcome.events.into_iter();
    let timers = outcome.timers.into_iter().map(|timer| match timer {
        TimerChange::Set(timer) => {
            json!({"set": {"name": timer.name, "due": timer.due, "body": timer.body}})
        }
        TimerChange::Cancel(name) => json!({"cancel": name}),
    });
    json!({"outcome": {
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
                "kind": refusal.kind,
                "code": refusal.code,
                "detail": refusal.detail,
                "pointer": refusal.pointer,
            }}),
        }),
    }})
}

/// Compares what a component of the order rules decides with the vectors, byte for byte.
pub fn decides_as_the_vectors_say(component: &Path) {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/../sdk/vectors/order.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(vectors).unwrap()).unwrap();
    let cases = vectors["cases"].as_array().unwrap();
    let mut settings: Vec<_> = cases
        .iter()
        .map(|case| case["settings"].as_str().unwrap())
        .collect();
    settings.sort_unstable();
    settings.dedup();
    let mut decided = 0;
    for settings in settings {
        let mut rules = rules(component, settings);
        for case in cases.iter().filter(|case| case["settings"] == settings) {
            let answer = rules.handle(case["state"].as_str(), &message(&case["message"]));
            assert_eq!(
                told(answer.unwrap().answer),
                case["result"],
                "{}",
                case["name"]
            );
            decided += 1;
        }
        for case in vectors["migrations"].as_array().unwrap() {
            let version = u32::try_from(case["version"].as_u64().unwrap()).unwrap();
            let migrated = match rules.migrate(version, case["state"].as_str().unwrap()) {
                Ok(state) => json!({"state": state}),
                Err(_) => json!({"malformed": null}),
            };
            assert_eq!(migrated, case["result"], "{}", case["name"]);
        }
    }
    assert_eq!(decided, cases.len());
}
