//! Calls of rules outside of any turn: as a turn would call them, but without effect. Outputs are
//! always checked against their schemas.

use saga_contract::description::{CommandKind, Description, KeySource, Method, path_parameters};
use saga_contract::outputs::{MISMATCH, Output, OutputSchemas};
use saga_core::identity;
use saga_core::journal::Kept;
use saga_core::limits::TurnLimits;
use saga_core::message::{Envelope, Message, Origin};
use saga_core::outcome::{Disposition, Outcome, Reply, StateChange};
use saga_core::rules::{Decision, Fault, FaultKind, Rules};
use saga_core::settle::{self, Before, OutputTerms};

use super::purity::{self, Comparable};
use crate::base::generation::CompiledRules;
use crate::store::read::StoredAggregate;

/// Rules under trial.
pub(in crate::rollout) struct TrialRun<'b> {
    pub(super) description: &'b Description,
    pub(super) limits: &'b TurnLimits,
    /// Time of all calls, in milliseconds since the Unix epoch.
    pub(super) now: u64,
    rules: Box<dyn Rules + Send>,
    /// The same with an instance for each call; `None` if calls are made only once.
    fresh: Option<Box<dyn Rules + Send>>,
    /// The reason why the rules are no function of their input.
    impurity: Option<String>,
    pub(super) schemas: Option<&'b dyn OutputSchemas>,
}

/// A state that could not be brought into the shape of the rules.
#[derive(Debug, thiserror::Error)]
#[error("{why}")]
pub(in crate::rollout) struct NotShaped {
    /// The kind of the fault: `Migration`, unless the clock or the machine was its cause.
    pub(in crate::rollout) kind: FaultKind,
    why: String,
}

impl From<NotShaped> for String {
    fn from(error: NotShaped) -> Self {
        error.why
    }
}

/// The answer of rules to a message.
pub(in crate::rollout) enum TrialAnswer {
    /// Decided.
    Decided(Box<Outcome>),
    /// Can never be decided.
    Malformed(String),
    /// Not decided now.
    RetryLater(String),
}

impl<'b> TrialRun<'b> {
    /// # Errors
    /// If no instance can be created.
    pub(in crate::rollout) fn new(
        build: &'b dyn CompiledRules,
        limits: &'b TurnLimits,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self::with(build.instance()?, build, limits, now))
    }

    fn with(
        rules: Box<dyn Rules + Send>,
        build: &'b dyn CompiledRules,
        limits: &'b TurnLimits,
        now: u64,
    ) -> Self {
        Self {
            description: build.description(),
            limits,
            now,
            rules,
            fresh: None,
            impurity: None,
            schemas: build.schemas(),
        }
    }

    /// Rules each of whose calls is made on an instance of its own.
    ///
    /// # Errors
    /// If no instance can be created.
    pub(in crate::rollout) fn fresh(
        build: &'b dyn CompiledRules,
        limits: &'b TurnLimits,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self::with(build.fresh_instances()?, build, limits, now))
    }

    /// Rules whose calls are also made on fresh instances, to see if they are a function of their
    /// input.
    ///
    /// # Errors
    /// If no instance can be created.
    pub(super) fn compared(
        build: &'b dyn CompiledRules,
        limits: &'b TurnLimits,
        now: u64,
    ) -> Result<Self, Fault> {
        Ok(Self {
            fresh: Some(build.fresh_instances()?),
            ..Self::new(build, limits, now)?
        })
    }

    /// Takes out the reason why the rules are no function of their input.
    pub(super) fn impurity(&mut self) -> Option<String> {
        self.impurity.take()
    }

    fn terms(&self) -> OutputTerms<'b> {
        OutputTerms {
            description: self.description,
            limits: self.limits,
            schemas: self.schemas,
            kept: Kept::Full,
        }
    }

    /// The description of the rules.
    pub(in crate::rollout) fn description(&self) -> &'b Description {
        self.description
    }

    /// Version of the state's shape.
    pub(in crate::rollout) fn version(&self) -> u32 {
        self.description.state.version
    }

    /// True if states of this version are declared as readable.
    pub(in crate::rollout) fn reads(&self, version: u32) -> bool {
        let state = &self.description.state;
        (state.oldest_readable..=state.version).contains(&version)
    }

    /// A state as a turn would pass it to the rules: migrated if its version is older.
    ///
    /// # Errors
    /// If migration fails.
    pub(in crate::rollout) fn shaped(
        &mut self,
        version: u32,
        state: &str,
    ) -> Result<String, NotShaped> {
        if version == self.version() {
            return Ok(state.to_owned());
        }
        self.migrated(version, state)
    }

    /// The same, decoded by the rules and encoded again.
    ///
    /// # Errors
    /// If that fails.
    pub(in crate::rollout) fn decoded(
        &mut self,
        version: u32,
        state: &str,
    ) -> Result<String, NotShaped> {
        let shaped = self.shaped(version, state)?;
        self.migrated(self.version(), &shaped)
    }

    fn migrated(&mut self, version: u32, state: &str) -> Result<String, NotShaped> {
        let limits = self.limits;
        let name = || format!("a state of version {version}");
        let migrated = self.called(name, |rules| {
            let state = again_if_late(|| rules.migrate(version, state))?;
            settle::check_state(limits, &state)?;
            Ok(state)
        });
        migrated.map_err(|fault| {
            let why = match fault.kind {
                FaultKind::Migration => {
                    let said = format!("state of version {version}: ");
                    let detail = fault.detail.strip_prefix(&said);
                    detail.unwrap_or(&fault.detail).to_owned()
                }
                _ => fault.to_string(),
            };
            let kind = match fault.may_pass() {
                true => fault.kind,
                false => FaultKind::Migration,
            };
            NotShaped { kind, why }
        })
    }

    /// Checks a state against the schema in the description.
    ///
    /// # Errors
    /// The mismatches and their places.
    pub(super) fn fits(&self, state: &str) -> Result<(), String> {
        match self.schemas {
            Some(schemas) => schemas.check(Output::State, state).map_err(|reason| {
                let places = reason.strip_prefix(MISMATCH);
                places.map_or(reason.clone(), str::to_owned)
            }),
            None => Ok(()),
        }
    }

    /// Calls every read that needs nothing but a key.
    ///
    /// # Errors
    /// The read that fails, and its error.
    pub(super) fn shown(&mut self, key: &str, state: &str) -> Result<(), String> {
        let description = self.description;
        for read in &description.commands {
            let KeySource::PathParameter(parameter) = &read.key else {
                continue;
            };
            let takes_only_a_key = matches!(read.kind, CommandKind::Read)
                && read.method == Method::Get
                && read.request.is_none()
                && path_parameters(&read.path).len() == 1;
            if !takes_only_a_key {
                continue;
            }
            let mut message = self.message(Origin::Command, "commands", &read.name, key, "null");
            message.parameters = vec![(parameter.clone(), key.to_owned())];
            let failed = |why: String| format!("read `{}`: {why}", read.name);
            let terms = self.terms();
            let answer = self.called(
                || format!("the {}", purity::name_of(&message)),
                |rules| {
                    let decision = again_if_late(|| rules.handle(Some(state), &message))?;
                    match decision.answer {
                        Ok(outcome) => {
                            let reply = settle::read_reply(terms, &read.name, outcome)?;
                            Ok(Ok(only(reply)))
                        }
                        Err(disposition) => Ok(Err(disposition)),
                    }
                },
            );
            match answer.map_err(|fault| failed(fault.to_string()))? {
                Err(Disposition::Malformed(why)) => {
                    return Err(failed(format!("malformed: {why}")));
                }
                Ok(_) | Err(Disposition::RetryLater(_)) => {}
            }
        }
        Ok(())
    }

    /// A message as this host would create it.
    pub(super) fn message(
        &self,
        origin: Origin,
        source: &str,
        name: &str,
        key: &str,
        body: &str,
    ) -> Message {
        let participant = identity::source_of(&self.description.name);
        Message {
            id: "probe".into(),
            source: format!("{participant}/{source}"),
            origin,
            name: name.to_owned(),
            key: key.to_owned(),
            time: self.now,
            correlation: "probe".into(),
            causation: None,
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// The answer to a message for an aggregate as it is stored.
    ///
    /// # Errors
    /// A fault, or the reason why the state can't be read.
    pub(super) fn answer(
        &mut self,
        stored: &StoredAggregate,
        message: &Message,
    ) -> Result<TrialAnswer, String> {
        let state = self.shaped_if_any(stored.state_version, stored.state.as_deref())?;
        let answer = self.decide(state.as_deref(), message);
        answer.map_err(|fault| fault.to_string())
    }

    /// An optional state as a turn would pass it to the rules.
    ///
    /// # Errors
    /// If it can't be read.
    pub(super) fn shaped_if_any(
        &mut self,
        version: u32,
        state: Option<&str>,
    ) -> Result<Option<String>, String> {
        let shaped = state.map(|state| self.shaped(version, state)).transpose();
        shaped.map_err(|why| format!("its state (version {version}) can't be read: {why}"))
    }

    /// The answer to a message for an aggregate with a migrated state.
    ///
    /// # Errors
    /// A fault.
    pub(in crate::rollout) fn decide(
        &mut self,
        state: Option<&str>,
        message: &Message,
    ) -> Result<TrialAnswer, Fault> {
        let terms = self.terms();
        let answer = self.called(
            || format!("the {}", purity::name_of(message)),
            |rules| {
                let decision = again_if_late(|| rules.handle(state, message))?;
                match decision.answer {
                    Ok(outcome) => settled(terms, state, message, outcome).map(Ok),
                    Err(disposition) => Ok(Err(disposition)),
                }
            },
        );
        match answer? {
            Ok(outcome) => Ok(TrialAnswer::Decided(Box::new(outcome))),
            Err(Disposition::Malformed(why)) => Ok(TrialAnswer::Malformed(why)),
            Err(Disposition::RetryLater(why)) => Ok(TrialAnswer::RetryLater(why)),
        }
    }

    /// The answer to a message as the rules give it, not checked, and its fuel.
    ///
    /// # Errors
    /// A fault.
    pub(in crate::rollout) fn answered(
        &mut self,
        state: Option<&str>,
        message: &Message,
    ) -> Result<Decision, Fault> {
        again_if_reused(&mut *self.rules, |rules| {
            again_if_late(|| rules.handle(state, message))
        })
    }

    /// An outcome that the rules answered, checked and as the journal would record it.
    ///
    /// # Errors
    /// A fault if it violates the contract or a limit.
    pub(in crate::rollout) fn settled(
        &self,
        state: Option<&str>,
        message: &Message,
        outcome: Outcome,
    ) -> Result<Outcome, Fault> {
        settled(self.terms(), state, message, outcome)
    }

    /// Makes a call. If calls are compared, makes it again on the same instance and on a fresh one:
    /// results that differ are noted as an impurity.
    fn called<T: Comparable>(
        &mut self,
        on: impl Fn() -> String,
        attempt: impl Fn(&mut (dyn Rules + Send)) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let result = again_if_reused(&mut *self.rules, &attempt);
        let Some(fresh) = &mut self.fresh else {
            return result;
        };
        if self.impurity.is_some() {
            return result;
        }
        let of_fresh = attempt(&mut **fresh);
        let again = again_if_reused(&mut *self.rules, &attempt);
        let difference = purity::difference(&result, &of_fresh)
            .or_else(|| purity::difference(&again, &of_fresh));
        self.impurity = difference.map(|difference| {
            let told = difference.told(
                "on an instance that had been called before",
                "on a fresh one",
            );
            purity::reason(&on(), &told)
        });
        result
    }

    /// True if the description lists such messages.
    pub(in crate::rollout) fn takes(&self, message: &Message) -> bool {
        let name = &message.name;
        match message.origin {
            Origin::Command => self.description.command(name).is_some(),
            Origin::Event => {
                let mut subscriptions = self.description.subscriptions.iter();
                subscriptions.any(|subscription| subscription.event_type == *name)
            }
            Origin::Timer => self
                .description
                .timers
                .iter()
                .any(|timer| timer.name == *name),
        }
    }
}

impl TrialAnswer {
    /// The decision as JSON, or the reason why there is none.
    pub(in crate::rollout) fn in_words(&self) -> String {
        match self {
            Self::Decided(outcome) => serde_json::to_string(outcome).unwrap_or_default(),
            Self::Malformed(why) => format!("malformed: {why}"),
            Self::RetryLater(why) => format!("retry later: {why}"),
        }
    }

    /// Turns `Malformed` into a failure for a message without a client, which would be given up.
    ///
    /// # Errors
    /// The reason that the rules gave.
    pub(super) fn or_malformed(self) -> Result<Self, String> {
        match self {
            Self::Malformed(why) => Err(format!("malformed: {why}")),
            answer => Ok(answer),
        }
    }
}

fn settled(
    terms: OutputTerms<'_>,
    state: Option<&str>,
    message: &Message,
    outcome: Outcome,
) -> Result<Outcome, Fault> {
    let envelope = Envelope {
        made_at: message.time,
        message: message.clone(),
        traceparent: None,
    };
    let before = Before {
        state,
        revision: 0,
        correlation: None,
    };
    let settlement = settle::settle(terms, &envelope, before, outcome, 0)?;
    // As the journal would record it.
    let recorded = settlement.journal.read(&message.key);
    let recorded = recorded.map(|(_, outcome)| outcome);
    recorded.map_err(|error| Fault::new(FaultKind::BadOutput, error.to_string()))
}

/// An outcome that is nothing but this reply.
fn only(reply: Reply) -> Outcome {
    Outcome {
        state: StateChange::Unchanged,
        events: Vec::new(),
        timers: Vec::new(),
        reply: Some(reply),
    }
}

/// Retries on a fresh instance if a reused one faults: as in a turn, leftovers of earlier calls
/// may be the cause.
fn again_if_reused<T>(
    rules: &mut (dyn Rules + Send),
    attempt: impl Fn(&mut (dyn Rules + Send)) -> Result<T, Fault>,
) -> Result<T, Fault> {
    match attempt(rules) {
        Err(fault) if !fault.may_pass() && rules.renew() => attempt(rules),
        result => result,
    }
}

/// Retries a call that missed its deadline, which may be the machine's fault.
fn again_if_late<T>(mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    match call() {
        Err(fault) if fault.may_pass() => call(),
        result => result,
    }
}
