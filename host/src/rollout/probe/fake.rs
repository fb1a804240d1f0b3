//! Minimal rules, and inputs for them: for the tests.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use saga_contract::description::Description;
use saga_contract::outputs::{Output, OutputSchemas};
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
use saga_contract::values::outputs::DeclaredOutputs;

pub(in crate::rollout) type Handle = fn(Option<&Value>, &Message) -> Result<Outcome, Disposition>;
pub(in crate::rollout) type Migrate = fn(u32, Value) -> Result<Value, String>;

/// Minimal rules; they trap on a state that they can't decode.
#[derive(Clone)]
pub(in crate::rollout) struct Fake {
    pub(in crate::rollout) description: Description,
    pub(in crate::rollout) handle: Handle,
    pub(in crate::rollout) migrate: Migrate,
    /// True if no instance can be created.
    pub(in crate::rollout) is_broken: bool,
    /// What an instance does with the number of its calls.
    pub(in crate::rollout) keeps: Keeps,
    pub(in crate::rollout) calls: usize,
}

/// A use of the number of calls that an instance had before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rollout) enum Keeps {
    /// None.
    Nothing,
    /// Replies with it.
    InReply,
    /// Writes it into migrated states.
    InState,
    /// Traps unless it is zero.
    TrapsLater,
    /// Traps if it is zero.
    TrapsFirst,
    /// Writes the members of the state in another order each time.
    InOrder,
    /// None, but migrations miss their deadline.
    MigratesLate,
}

/// The same rules, with an instance for each call.
struct EachFresh(Fake);

impl Rules for EachFresh {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        self.0.clone().handle(state, message)
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        self.0.clone().migrate(version, state)
    }
}

impl Fake {
    /// Counts a call.
    fn called(&mut self) -> Result<usize, Fault> {
        let before = self.calls;
        self.calls += 1;
        match (self.keeps, before) {
            (Keeps::TrapsFirst, 0) | (Keeps::TrapsLater, 1..) => {
                Err(Fault::new(FaultKind::Trap, "was called"))
            }
            _ => Ok(before),
        }
    }
}

impl CompiledRules for Fake {
    fn digest(&self) -> &str {
        "fake"
    }

    fn description(&self) -> &Description {
        &self.description
    }

    fn schemas(&self) -> Option<&dyn OutputSchemas> {
        Some(self)
    }

    fn instance(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        if self.is_broken {
            return Err(Fault::new(FaultKind::Trap, "no room"));
        }
        Ok(Box::new(self.clone()))
    }

    fn fresh_instances(&self) -> Result<Box<dyn Rules + Send>, Fault> {
        Ok(Box::new(EachFresh(self.clone())))
    }
}

impl OutputSchemas for Fake {
    fn check(&self, output: Output<'_>, text: &str) -> Result<(), String> {
        DeclaredOutputs::of(&self.description).check(output, text)
    }
}

impl Rules for Fake {
    fn handle(&mut self, state: Option<&str>, message: &Message) -> Result<Decision, Fault> {
        let before = self.called()?;
        let version = self.description.state.version;
        let state = match state {
            Some(state) => {
                let state = serde_json::from_str(state).unwrap();
                let read = (self.migrate)(version, state);
                Some(read.map_err(|why| Fault::new(FaultKind::Trap, why))?)
            }
            None => None,
        };
        let mut answer = (self.handle)(state.as_ref(), message);
        if let (Ok(outcome), Keeps::InReply) = (&mut answer, self.keeps) {
            outcome.reply = Some(Reply::Done(before.to_string()));
        }
        Ok(Decision { answer, fuel: 1 })
    }

    fn renew(&mut self) -> bool {
        std::mem::take(&mut self.calls) > 1
    }

    fn migrate(&mut self, version: u32, state: &str) -> Result<String, Fault> {
        let before = self.called()?;
        match self.keeps {
            Keeps::InState => return Ok(json!({"calls": before}).to_string()),
            Keeps::InOrder if before % 2 == 1 => return Ok(r#"{"a":1,"b":2.0}"#.into()),
            Keeps::InOrder => return Ok(r#"{"b":2,"a":1}"#.into()),
            Keeps::MigratesLate => return Err(Fault::new(FaultKind::Deadline, "took too long")),
            _ => {}
        }
        let migrated = (self.migrate)(version, serde_json::from_str(state).unwrap());
        migrated.map(|state| state.to_string()).map_err(|why| {
            Fault::new(
                FaultKind::Migration,
                format!("state of version {version}: {why}"),
            )
        })
    }
}

pub(in crate::rollout) fn description(version: u32) -> Description {
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

pub(in crate::rollout) fn done(state: StateChange) -> Result<Outcome, Disposition> {
    Ok(Outcome {
        state,
        events: Vec::new(),
        timers: Vec::new(),
        reply: Some(Reply::Done("1".into())),
    })
}

/// Rules that read every state and change none.
pub(in crate::rollout) fn rules() -> Fake {
    Fake {
        description: description(1),
        handle: |_, _| done(StateChange::Unchanged),
        migrate: |_, state| Ok(state),
        is_broken: false,
        keeps: Keeps::Nothing,
        calls: 0,
    }
}

/// Rules that need a member `credit` in their states.
pub(in crate::rollout) fn needing() -> Fake {
    Fake {
        migrate: |_, state| match state.get("credit") {
            Some(_) => Ok(state),
            None => Err("missing field `credit`".into()),
        },
        ..rules()
    }
}

pub(in crate::rollout) fn keyed(key: &str, state: Option<Value>) -> Keyed {
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

pub(in crate::rollout) fn states(states: Vec<Value>) -> Inputs {
    Inputs {
        states: states
            .into_iter()
            .map(|state| keyed("k", Some(state)))
            .collect(),
        ..Inputs::default()
    }
}

pub(in crate::rollout) fn try_on(
    candidate: &Fake,
    active: &Fake,
    inputs: &Inputs,
) -> Result<report::ProbeReport, Vec<String>> {
    try_with(candidate, Some(active), Tolerance::Nothing, inputs)
}

/// Probes with a tolerance, or without active rules.
pub(in crate::rollout) fn try_with(
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
pub(in crate::rollout) fn reason(candidate: &Fake, active: &Fake, inputs: &Inputs) -> String {
    let mut reasons = try_on(candidate, active, inputs).unwrap_err();
    assert_eq!(reasons.len(), 1, "{reasons:?}");
    reasons.remove(0)
}

pub(in crate::rollout) fn message(origin: Origin, name: &str) -> Message {
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

pub(in crate::rollout) fn recorded(
    message: &Message,
    state: Option<Value>,
    outcome: &Result<Outcome, Disposition>,
) -> Recorded {
    Recorded {
        digest: "recorded".into(),
        state_version: 1,
        state: state.map(|state| state.to_string()),
        message: message.clone(),
        outcome: outcome.clone().unwrap(),
    }
}
