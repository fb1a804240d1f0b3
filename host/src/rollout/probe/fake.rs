//! Minimal rules, and inputs for them: for the tests.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_contract::description::Description;
use saga_core::limits::TurnLimits;
use saga_core::message::{Message, Origin};
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use serde_json::{Value, json};

use super::{Inputs, NotPassed, Terms, Tolerance, probe};
use crate::base::generation::CompiledRules;
use crate::rollout::report;
use crate::store::read::StoredAggregate;
use crate::store::sample::{Keyed, Recorded};

pub(super) type Handle = fn(Option<&Value>, &Message) -> Result<Outcome, Disposition>;
pub(super) type Migrate = fn(u32, Value) -> Result<Value, String>;

/// Minimal rules; they trap on a state that they can't decode.
#[derive(Clone)]
pub(super) struct Fake {
    pub(super) description: Description,
    pub(super) handle: Handle,
    pub(super) migrate: Migrate,
    /// True if no instance can be created.
    pub(super) is_broken: bool,
}

impl CompiledRules for Fake {
    fn digest(&self) -> &str {
        "fake"
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        if self.is_broken {
            return Err(Fault::new(FaultKind::Trap, "no room"));
        }
        Ok(Box::new(self.clone()))
    }
}

impl Rules for Fake {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let version = self.description.state.version;
        let state = match state {
            Some(state) => {
                let state = serde_json::from_str(state).unwrap();
                let read = (self.migrate)(version, state);
                Some(read.map_err(|why| Fault::new(FaultKind::Trap, why))?)
            }
            None => None,
        };
        Ok(Decision {
            answer: (self.handle)(state.as_ref(), message),
            fuel: 1,
        })
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let migrated = (self.migrate)(version, serde_json::from_str(state).unwrap());
        migrated.map(|state| state.to_string()).map_err(|why| {
            Fault::new(
                FaultKind::Migration,
                format!("state of version {version}: {why}"),
            )
        })
    }
}

pub(super) fn description(version: u32) -> Description {
    serde_json::from_value(json!({
        "name": "shop", "version": "1.0.0", "summary": "Sells.",
        "state": {"version": version, "oldest_readable": 1, "schema": "true"},
        "endpoint": {"base_path": "", "port": 0},
        "commands": [
            {"name": "set", "summary": "s", "method": "PUT", "path": "/shops/{key}", "kind": "change",
             "key": {"path-parameter": "key"}, "request": null, "reply": "true", "refusals": []},
            {"name": "get", "summary": "s", "method": "GET", "path": "/shops/{key}", "kind": "read",
             "key": {"path-parameter": "key"}, "request": null, "reply": "true", "refusals": []},
        ],
        "subscriptions": [{"event_type": "sold", "topic": "sales", "group": "shop", "key": "/key", "untyped": false,
                           "schema": "true"}],
        "publications": [{"event_type": "changed", "topic": "changes", "schema": "true"}],
        "timers": [{"name": "later", "schema": "true"}],
        "listings": [{"name": "list", "summary": "s", "path": "/shops", "item": "get",
                      "filters": [{"parameter": "owner", "pointer": "/owner", "schema": "{\"type\":\"string\"}"}]}],
    }))
    .unwrap()
}

pub(super) fn done(state: StateChange) -> Result<Outcome, Disposition> {
    Ok(Outcome {
        state,
        events: Vec::new(),
        timers: Vec::new(),
        reply: Some(Reply::Done("1".into())),
    })
}

/// Rules that read every state and change none.
pub(super) fn rules() -> Fake {
    Fake {
        description: description(1),
        handle: |_, _| done(StateChange::Unchanged),
        migrate: |_, state| Ok(state),
        is_broken: false,
    }
}

/// Rules that need a member `credit` in their states.
pub(super) fn needing() -> Fake {
    Fake {
        migrate: |_, state| match state.get("credit") {
            Some(_) => Ok(state),
            None => Err("missing field `credit`".into()),
        },
        ..rules()
    }
}

pub(super) fn keyed(key: &str, state: Option<Value>) -> Keyed {
    Keyed {
        key: key.into(),
        stored: StoredAggregate {
            state: state.map(|state| state.to_string()),
            revision: 1,
            state_version: 1,
            correlation: None,
        },
    }
}

pub(super) fn states(states: Vec<Value>) -> Inputs {
    Inputs {
        states: states
            .into_iter()
            .map(|state| keyed("k", Some(state)))
            .collect(),
        ..Inputs::default()
    }
}

pub(super) fn try_on(
    candidate: &Fake,
    active: &Fake,
    inputs: &Inputs,
) -> Result<report::ProbeReport, Vec<String>> {
    try_with(candidate, Some(active), Tolerance::Nothing, inputs)
}

/// Probes with a tolerance, or without active rules.
pub(super) fn try_with(
    candidate: &Fake,
    active: Option<&Fake>,
    allowed: Tolerance,
    inputs: &Inputs,
) -> Result<report::ProbeReport, Vec<String>> {
    let limits = TurnLimits::default();
    let terms = Terms {
        limits: &limits,
        allowed,
        is_over: &|| false,
    };
    let active = active.map(|active| active as &dyn CompiledRules);
    probe(candidate, active, terms, inputs).map_err(|not_passed| match not_passed {
        NotPassed::NoInstance(why) => vec![why],
        NotPassed::Fails(reasons) => reasons,
    })
}

/// The single reason of a refusal.
pub(super) fn reason(candidate: &Fake, active: &Fake, inputs: &Inputs) -> String {
    let mut reasons = try_on(candidate, active, inputs).unwrap_err();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

pub(super) fn message(origin: Origin, name: &str) -> Message {
    Message {
        id: "m-1".into(),
        source: "/s".into(),
        origin,
        name: name.into(),
        key: "k".into(),
        time: 1,
        correlation: "c".into(),
        causation: None,
        caller: None,
        metadata: Vec::new(),
        version: 1,
        parameters: Vec::new(),
        body: r#"{"key":"k"}"#.into(),
    }
}

pub(super) fn recorded(
    message: &Message,
    state: Option<Value>,
    outcome: &Result<Outcome, Disposition>,
) -> Recorded {
    Recorded {
        state_version: 1,
        state: state.map(|state| state.to_string()),
        message: serde_json::to_string(message).unwrap(),
        outcome: serde_json::to_string(outcome.as_ref().unwrap()).unwrap(),
    }
}
