//! [`Call`]: a command of a client, and its [`Answer`].

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::attempt::Attempted;
use super::hosted::Behind;
use super::record;
use super::world::World;
use crate::bindings::saga::participant::types::{
    CommandKind, Header, KeySource, Message, Origin, Parameter, Refusal, Reply,
};
use crate::codec;
use crate::refusal::RefusalType;
use crate::testing::{fail, lacking, parameters_of};
use crate::turn::Caller;

/// A command that is about to be sent.
#[must_use = "a command is sent by `send`"]
pub struct Call<'w> {
    world: &'w mut World,
    place: usize,
    name: String,
    key: Option<String>,
    parameters: Vec<Parameter>,
    caller: Option<Caller>,
    metadata: Vec<Header>,
}

/// The answer to a command.
#[derive(Clone, Debug)]
pub struct Answer {
    key: String,
    given: Given,
}

#[derive(Clone, Debug)]
enum Given {
    Done(String),
    Refused(Refusal),
    /// The body does not fit its schema, or the rules find it malformed.
    Malformed(String),
    /// The caller lacks a permission.
    Forbidden(String),
    TryLater(String),
    Blocked,
}

impl<'w> Call<'w> {
    pub(super) fn new(world: &'w mut World, place: usize, name: &str) -> Self {
        Self {
            world,
            place,
            name: name.to_owned(),
            key: None,
            parameters: Vec::new(),
            caller: None,
            metadata: Vec::new(),
        }
    }

    /// Key of the aggregate, where it is in the path.
    pub fn key(mut self, key: impl Display) -> Self {
        self.key = Some(key.to_string());
        self
    }

    /// A parameter in the path besides the key.
    pub fn parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push(Parameter {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// Sets the sender, whom the rules see only if it is set. The permissions that the command requires are checked
    /// if the caller has [some or none](Caller::with_permissions).
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = Some(caller);
        self
    }

    /// A header, for which the contract must ask.
    pub fn metadata(mut self, name: &str, value: &str) -> Self {
        self.metadata.push(Header {
            name: name.to_owned(),
            value: value.to_owned(),
        });
        self
    }

    /// Sends it, and waits for the answer. `&()` where it takes no body.
    ///
    /// # Panics
    /// Where there is no such command, or its key or a parameter is missing.
    #[track_caller]
    pub fn send<B: Serialize + ?Sized>(self, body: &B) -> Answer {
        let body = codec::encode(body, "the command's body");
        let world = self.world;
        world.wait_until_up(self.place);
        let Some(hosted) = world.hosted.get_mut(self.place) else {
            fail("there is no such participant");
        };
        let rules = hosted.rules.clone();
        let commands = &rules.description().commands;
        let Some(command) = commands.iter().find(|one| one.name == self.name) else {
            let names: Vec<_> = commands.iter().map(|one| &one.name).collect();
            fail(&format!(
                "{} has no command {:?}, only {names:?}",
                hosted.name, self.name
            ));
        };
        // As a host does, before the rules are called and a number is given.
        if let Some(why) = lacking(rules.declared(), &self.name, self.caller.as_ref()) {
            return Answer::early(self.key, Given::Forbidden(why));
        }
        if let Some(why) = rules.declared().request(&self.name, &body) {
            return Answer::early(self.key, Given::Malformed(why));
        }
        let key = match (&command.key, self.key) {
            (KeySource::Generated, _) => {
                hosted.last_number += 1;
                hosted.last_number.to_string()
            }
            (KeySource::PathParameter(_), Some(key)) => key,
            (KeySource::PathParameter(name), None) => fail(&format!(
                "say the key, which is {name:?} in {:?}",
                command.path
            )),
            (KeySource::Body(pointer), _) => {
                match record::key_at(&body, pointer, &world.blueprint.limits) {
                    Ok(key) => key,
                    Err(why) => return Answer::early(None, Given::Malformed(why)),
                }
            }
        };
        let asked = &rules.description().metadata;
        let unasked = self
            .metadata
            .iter()
            .find(|header| !asked.contains(&header.name));
        if let Some(Header { name, .. }) = unasked {
            fail(&format!(
                "the contract does not ask for the header {name:?}: add it to .metadata(…)"
            ));
        }
        let kind = &command.kind;
        let behind = hosted.waiting.get(&key).map(|waiting| waiting.behind);
        let is_behind_letter = behind
            == Some(Behind::Letter {
                blocks_commands: true,
            });
        if is_behind_letter && *kind == CommandKind::Change {
            return Answer {
                key,
                given: Given::Blocked,
            };
        }
        let correlation = hosted
            .aggregates
            .get(&key)
            .map(|one| one.correlation.clone());
        let id = world.next_id("c");
        let message = Message {
            parameters: parameters_of(command, &key, &self.parameters),
            source: format!("/saga/{}/commands", rules.description().name),
            origin: Origin::Command,
            name: self.name,
            key: key.clone(),
            time: world.now,
            correlation: correlation.unwrap_or_else(|| id.clone()),
            causation: None,
            caller: self.caller.map(Caller::into_wit),
            metadata: self.metadata,
            version: 1,
            body,
            id,
        };
        let is_read = *kind == CommandKind::Read;
        let given = match world.attempt(self.place, &message, is_read) {
            Attempted::Decided(outcome) => match outcome.reply {
                Some(Reply::Done(body) | Reply::Pending(body)) => Given::Done(body),
                Some(Reply::Refused(refusal)) => Given::Refused(refusal),
                None => fail("a command was left without a reply"),
            },
            Attempted::Malformed(why) => Given::Malformed(why),
            Attempted::RetryLater(why) => Given::TryLater(why),
        };
        Answer { key, given }
    }
}

impl Answer {
    /// An answer that was given before the key was looked for.
    fn early(key: Option<String>, given: Given) -> Self {
        Self {
            key: key.unwrap_or_default(),
            given,
        }
    }

    /// Key of the aggregate; empty if the command was answered before the key was known.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// True if it was done, or accepted as pending.
    pub fn is_done(&self) -> bool {
        matches!(self.given, Given::Done(_))
    }

    /// True if it was refused so.
    pub fn is_refused(&self, refusal: RefusalType) -> bool {
        matches!(&self.given, Given::Refused(given) if given.code == refusal.code())
    }

    /// True if the body does not fit the command's schema, to which a host answers 422, or if the rules find it
    /// malformed (400).
    pub fn is_malformed(&self) -> bool {
        matches!(self.given, Given::Malformed(_))
    }

    /// True if the caller lacks a permission that the command requires.
    pub fn is_forbidden(&self) -> bool {
        matches!(self.given, Given::Forbidden(_))
    }

    /// True if the rules can't decide now, and the client is to ask again.
    pub fn is_put_off(&self) -> bool {
        matches!(self.given, Given::TryLater(_))
    }

    /// Why it was not done; none if it was.
    pub fn problem(&self) -> Option<&str> {
        match &self.given {
            Given::Done(_) => None,
            Given::Refused(refusal) => Some(&refusal.detail),
            Given::Malformed(why) | Given::Forbidden(why) | Given::TryLater(why) => Some(why),
            Given::Blocked => Some("a dead letter of the aggregate has to be decided first"),
        }
    }

    /// The body of the reply.
    ///
    /// # Panics
    /// If the command was not done, or the reply is no `R`.
    #[track_caller]
    pub fn reply<R: DeserializeOwned>(&self) -> R {
        let body = match &self.given {
            Given::Done(body) => body,
            _ => fail(&format!(
                "expected a reply, got: {}",
                self.problem().unwrap_or_default()
            )),
        };
        match codec::decode(body) {
            Ok(reply) => reply,
            Err(error) => fail(&format!("the reply can't be read: {error}\n{body}")),
        }
    }
}
