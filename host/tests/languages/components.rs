//! A component, called without a host, and the vectors that rules in every language run.
//!
//! `SAGA_WRITE_VECTORS=1 cargo test --release --workspace --test languages -- vectors` writes down what the Rust rules of the
//! fulfilment saga decide now; the order rules have a test of their own (`plugins/order/tests/vectors.rs`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use saga_core::message::{Message, Origin};
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange, TimerChange};
use saga_core::rules::Rules;
use saga_host::base::generation::{CompiledRules as _, RuleSettings};
use saga_host::plugin::{CodeCache, GuestLimits, InstanceUse, LoadedComponent, Runtime, compile};
use serde_json::{Value, json};

use crate::support::share_compiled_code;

/// How the reasons begin that are an SDK's: each SDK has its own words for them.
const SDK_REASONS: [&str; 3] = ["the body is not", "the key ", "these rules know no"];

/// The rules of a component.
pub fn rules(component: &Path, settings: &str) -> Box<dyn Rules + Send> {
    let bytes = std::fs::read(component).unwrap();
    let runtime = Runtime::new(GuestLimits::default()).unwrap();
    let digest = compile::digest(&bytes);
    let origin = component.display().to_string();
    // All tests share what was compiled.
    let data = tempfile::tempdir().unwrap();
    share_compiled_code(data.path());
    let cache = CodeCache::new(data.path());
    let loaded = LoadedComponent::load(&runtime, &cache, &bytes, &digest, &origin);
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

/// The lists of vectors, and what a component makes of each.
const KINDS: [(&str, Decide); 2] = [("cases", decided), ("migrations", migrated)];

type Decide = fn(&mut (dyn Rules + Send), &Value) -> Value;

fn decided(rules: &mut (dyn Rules + Send), case: &Value) -> Value {
    let answer = rules.handle(case["state"].as_str(), &message(&case["message"]));
    told(answer.unwrap().answer)
}

fn migrated(rules: &mut (dyn Rules + Send), case: &Value) -> Value {
    let version = u32::try_from(case["version"].as_u64().unwrap()).unwrap();
    match rules.migrate(version, case["state"].as_str().unwrap()) {
        Ok(state) => json!({"state": state}),
        Err(_) => json!({"malformed": null}),
    }
}

fn file(participant: &str) -> PathBuf {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdk/vectors");
    vectors.join(format!("{participant}.json"))
}

/// Compares what a component of this participant decides with its vectors, byte for byte. Gives their number.
pub fn decides_as_the_vectors_say(participant: &str, component: &Path) -> usize {
    let text = std::fs::read(file(participant)).unwrap();
    let mut vectors: Value = serde_json::from_slice(&text).unwrap();
    assert_eq!(vectors["participant"], participant);
    each(&mut vectors, component, |case, found| {
        assert_eq!(case["result"], found, "{}", case["name"]);
    })
}

/// Writes down what a component of this participant decides, one vector a line.
pub fn write_vectors(participant: &str, component: &Path) {
    let text = std::fs::read(file(participant)).unwrap();
    let mut vectors: Value = serde_json::from_slice(&text).unwrap();
    each(&mut vectors, component, |case, found| {
        case["result"] = found;
    });
    let lists = KINDS.map(|(list, _)| {
        let vectors = vectors[list].as_array().unwrap().iter();
        let lines: Vec<_> = vectors.map(|vector| format!("\n    {vector}")).collect();
        format!("  \"{list}\": [{}\n  ]", lines.join(","))
    });
    let text = format!(
        "{{\n  \"participant\": \"{participant}\",\n{}\n}}\n",
        lists.join(",\n")
    );
    std::fs::write(file(participant), text).unwrap();
}

/// Gives every vector with what the component makes of it; returns their number.
fn each(vectors: &mut Value, component: &Path, mut then: impl FnMut(&mut Value, Value)) -> usize {
    let (mut count, mut loaded) = (0, Vec::<(String, Box<dyn Rules + Send>)>::new());
    for (list, decide) in KINDS {
        for case in vectors[list].as_array_mut().unwrap() {
            // A migration has no settings.
            let settings = case["settings"].as_str().unwrap_or("{}").to_owned();
            if !loaded.iter().any(|(known, _)| *known == settings) {
                loaded.push((settings.clone(), rules(component, &settings)));
            }
            let with_settings = loaded.iter_mut().find(|(known, _)| *known == settings);
            let found = decide(with_settings.unwrap().1.as_mut(), case);
            then(case, found);
            count += 1;
        }
    }
    count
}
