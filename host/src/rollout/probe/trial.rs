//! A build that is called outside of any turn: as a turn would call it, and nothing takes effect.

use saga_contract::description::{CommandKind, Description, KeySource, Method, path_parameters};
use saga_core::identity;
use saga_core::limits::TurnLimits;
use saga_core::message::{Envelope, Message, Origin};
use saga_core::outcome::{Disposition, Outcome};
use saga_core::rules::{Fault, FaultKind, Rules};
use saga_core::settle::{self, Before};

use crate::base::generation::Build;
use crate::schema::Schema;
use crate::store::read::StoredAggregate;

/// A build that is tried.
pub(super) struct Trial<'b> {
    pub(super) description: &'b Description,
    pub(super) limits: &'b TurnLimits,
    /// Time of all its calls, in milliseconds since the Unix epoch.
    pub(super) now: u64,
    rules: Box<dyn Rules + Send>,
    /// Of the state; none where it is no schema.
    schema: Option<Schema>,
}

/// What a build answers to a message.
pub(super) enum Answer {
    /// It decides.
    Decided(Box<Outcome>),
    /// It can never decide.
    Malformed(String),
    /// It does not decide now.
    RetryLater(String),
}

impl<'b> Trial<'b> {
    /// # Errors
    /// That no instance can be made, and why.
    pub(super) fn new(
        build: &'b dyn Build,
        limits: &'b TurnLimits,
        now: u64,
    ) -> Result<Self, Fault> {
        let description = build.description();
        Ok(Self {
            description,
            limits,
            now,
            rules: build.instance()?,
            schema: Schema::compile(&description.state.schema).ok(),
        })
    }

    /// Version of the shape of its states.
    pub(super) fn version(&self) -> u32 {
        self.description.state.version
    }

    /// Whether it says that it reads states of this version.
    pub(super) fn reads(&self, version: u32) -> bool {
        let state = &self.description.state;
        (state.oldest_readable..=state.version).contains(&version)
    }

    /// A state as a turn hands it to the rules: migrated where it is of an older version.
    ///
    /// # Errors
    /// Why it can't be.
    pub(super) fn shaped(&mut self, version: u32, state: &str) -> Result<String, String> {
        if version == self.version() {
            return Ok(state.to_owned());
        }
        self.migrated(version, state)
    }

    /// The same, decoded by the rules and encoded again.
    ///
    /// # Errors
    /// Why it can't be.
    pub(super) fn decoded(&mut self, version: u32, state: &str) -> Result<String, String> {
        let shaped = self.shaped(version, state)?;
        self.migrated(self.version(), &shaped)
    }

    fn migrated(&mut self, version: u32, state: &str) -> Result<String, String> {
        let limits = self.limits;
        let migrated = self.again_if_reused(|rules| {
            let state = again_if_late(|| rules.migrate(version, state))?;
            settle::check_state(limits, &state)?;
            Ok(state)
        });
        migrated.map_err(|fault| match fault.kind {
            FaultKind::Migration => {
                let said = format!("state of version {version}: ");
                let detail = fault.detail.strip_prefix(&said);
                detail.unwrap_or(&fault.detail).to_owned()
            }
            _ => fault.to_string(),
        })
    }

    /// Checks a state against the schema that the build gives for its states.
    ///
    /// # Errors
    /// What does not fit, and where.
    pub(super) fn fits(&self, state: &str) -> Result<(), String> {
        let Some(schema) = &self.schema else {
            return Ok(());
        };
        let value = saga_contract::json::parse(state)?;
        schema.check(&value, state.len()).map_err(|wrong| {
            let places = wrong.places();
            let places = places.iter().take(3);
            let places: Vec<_> = places
                .map(|place| match place.pointer.as_str() {
                    "" => place.detail.clone(),
                    pointer => format!("{pointer}: {}", place.detail),
                })
                .collect();
            places.join("; ")
        })
    }

    /// Answers every read that takes nothing but a key, on a state in its shape.
    ///
    /// # Errors
    /// Which read fails, and how.
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
            let rules = &mut self.rules;
            let failed = |why: String| format!("read `{}`: {why}", read.name);
            let answer = again_if_late(|| rules.handle(Some(state), &message))
                .map_err(|fault| failed(fault.to_string()))?
                .answer;
            match answer {
                Ok(outcome) => {
                    settle::read_reply(self.limits, outcome)
                        .map_err(|fault| failed(fault.to_string()))?;
                }
                Err(Disposition::Malformed(why)) => {
                    return Err(failed(format!("malformed: {why}")));
                }
                Err(Disposition::RetryLater(_)) => {}
            }
        }
        Ok(())
    }

    /// A message as this host would make it.
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
            parameters: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// What it answers to a message for an aggregate as it is stored.
    ///
    /// # Errors
    /// How it breaks, or why it can't read the state.
    pub(super) fn answer(
        &mut self,
        stored: &StoredAggregate,
        message: &Message,
    ) -> Result<Answer, String> {
        let state = self.shaped_if_any(stored.state_version, stored.state.as_deref())?;
        self.decide(state.as_deref(), message)
    }

    /// A state, if there is one, as a turn hands it to the rules.
    ///
    /// # Errors
    /// That it can't be read, and why.
    pub(super) fn shaped_if_any(
        &mut self,
        version: u32,
        state: Option<&str>,
    ) -> Result<Option<String>, String> {
        let shaped = state.map(|state| self.shaped(version, state)).transpose();
        shaped.map_err(|why| format!("its state (version {version}) can't be read: {why}"))
    }

    /// What it answers to a message for an aggregate with a state in its shape.
    ///
    /// # Errors
    /// How it breaks.
    pub(super) fn decide(
        &mut self,
        state: Option<&str>,
        message: &Message,
    ) -> Result<Answer, String> {
        let (description, limits) = (self.description, self.limits);
        let envelope = Envelope {
            made_at: message.time,
            message: message.clone(),
            traceparent: None,
        };
        let before = Before { state, revision: 0 };
        let settled = self.again_if_reused(|rules| {
            let decision = again_if_late(|| rules.handle(state, message))?;
            let fuel = decision.fuel;
            match decision.answer {
                Ok(outcome) => {
                    settle::settle(description, limits, &envelope, before, outcome, fuel).map(Ok)
                }
                Err(disposition) => Ok(Err(disposition)),
            }
        });
        match settled.map_err(|fault| fault.to_string())? {
            // As it would be recorded.
            Ok(settlement) => serde_json::from_str(&settlement.journal.outcome)
                .map(|outcome| Answer::Decided(Box::new(outcome)))
                .map_err(|error| error.to_string()),
            Err(Disposition::Malformed(why)) => Ok(Answer::Malformed(why)),
            Err(Disposition::RetryLater(why)) => Ok(Answer::RetryLater(why)),
        }
    }

    /// Tries again on a fresh instance where one that had been called before breaks the contract: as in a turn, what
    /// earlier calls left may be why.
    fn again_if_reused<T>(
        &mut self,
        attempt: impl Fn(&mut (dyn Rules + Send)) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        match attempt(&mut *self.rules) {
            Err(fault) if !fault.may_pass() && self.rules.renew() => attempt(&mut *self.rules),
            result => result,
        }
    }

    /// Whether it takes such messages at all.
    pub(super) fn takes(&self, message: &Message) -> bool {
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

impl Answer {
    /// Of a message that can't be answered by anybody: that it can't be decided is a failure, for it would be given up.
    ///
    /// # Errors
    /// What the rules said.
    pub(super) fn or_malformed(self) -> Result<Self, String> {
        match self {
            Self::Malformed(why) => Err(format!("malformed: {why}")),
            answer => Ok(answer),
        }
    }
}

/// The clock is not the candidate's fault: what was late is tried once more.
fn again_if_late<T>(mut call: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    match call() {
        Err(fault) if fault.may_pass() => call(),
        result => result,
    }
}
