//! [`Limits`]: a host's default limits on the input and the outcome of a turn.

use crate::bindings::saga::participant::types::{
    Message, Origin, Outcome, Reply, StateChange, TimerChange,
};

/// The limits of a turn that a host has by default, by their settings. A turn beyond one is a fault: in
/// production nothing of it takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `turn.record_bytes`: bytes of an event that arrives.
    pub record_bytes: usize,
    /// `http.body_bytes`: bytes of the body of a command.
    pub body_bytes: usize,
    /// `turn.key_bytes`: bytes of a key, of the aggregate and of the events that are published.
    pub key_bytes: usize,
    /// `turn.state_bytes`: bytes of the state.
    pub state_bytes: usize,
    /// `turn.event_bytes`: bytes of the body of an event that is published, or of a timer that is set.
    pub event_bytes: usize,
    /// `turn.reply_bytes`: bytes of the body of a reply, or of the words of a refusal.
    pub reply_bytes: usize,
    /// `turn.events`: events that one turn publishes.
    pub events: usize,
    /// `turn.timers`: timers that one turn sets or cancels.
    pub timers: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            record_bytes: 1 << 20,
            body_bytes: 1 << 20,
            key_bytes: 512,
            state_bytes: 256 << 10,
            event_bytes: 512 << 10,
            reply_bytes: 1 << 20,
            events: 64,
            timers: 16,
        }
    }
}

impl Limits {
    /// Sets the limit of this name, for hosts with other settings than the default.
    ///
    /// # Panics
    /// Where there is no such setting.
    #[must_use]
    #[track_caller]
    pub fn with(mut self, setting: &str, value: usize) -> Self {
        let limit = match setting {
            "turn.record_bytes" => &mut self.record_bytes,
            "http.body_bytes" => &mut self.body_bytes,
            "turn.key_bytes" => &mut self.key_bytes,
            "turn.state_bytes" => &mut self.state_bytes,
            "turn.event_bytes" => &mut self.event_bytes,
            "turn.reply_bytes" => &mut self.reply_bytes,
            "turn.events" => &mut self.events,
            "turn.timers" => &mut self.timers,
            _ => super::fail(&format!("there is no limit {setting:?}")),
        };
        *limit = value;
        self
    }

    /// Input that a host would not offer to the rules.
    pub(super) fn of_message(&self, state: Option<&str>, message: &Message) -> Vec<String> {
        let mut found = Found::default();
        let state = state.map_or(0, str::len);
        found.bytes(
            "the given state",
            state,
            "turn.state_bytes",
            self.state_bytes,
        );
        found.bytes(
            "the key",
            message.key.len(),
            "turn.key_bytes",
            self.key_bytes,
        );
        let body = message.body.len();
        match message.origin {
            Origin::Command => {
                found.bytes(
                    "the command's body",
                    body,
                    "http.body_bytes",
                    self.body_bytes,
                );
            }
            Origin::Event => found.bytes("the event", body, "turn.record_bytes", self.record_bytes),
            Origin::Timer => found.bytes("the timer", body, "turn.event_bytes", self.event_bytes),
        }
        found.0
    }

    /// Parts of an outcome that a host would not accept.
    pub(super) fn of_outcome(&self, outcome: &Outcome) -> Vec<String> {
        let mut found = Found::default();
        if let StateChange::Put(state) = &outcome.state {
            found.bytes(
                "the state",
                state.len(),
                "turn.state_bytes",
                self.state_bytes,
            );
        }
        found.number(
            "publishes",
            "events",
            outcome.events.len(),
            "turn.events",
            self.events,
        );
        for event in &outcome.events {
            let name = format!("the event {:?}", event.event_type);
            found.bytes(
                &name,
                event.body.len(),
                "turn.event_bytes",
                self.event_bytes,
            );
            let key = format!("the key of {name}");
            found.bytes(&key, event.key.len(), "turn.key_bytes", self.key_bytes);
        }
        let timers = outcome.timers.len();
        found.number(
            "sets or cancels",
            "timers",
            timers,
            "turn.timers",
            self.timers,
        );
        for timer in &outcome.timers {
            if let TimerChange::Set(timer) = timer {
                let name = format!("the timer {:?}", timer.name);
                found.bytes(
                    &name,
                    timer.body.len(),
                    "turn.event_bytes",
                    self.event_bytes,
                );
            }
        }
        let reply = match &outcome.reply {
            Some(Reply::Done(body) | Reply::Pending(body)) => body.len(),
            Some(Reply::Refused(refusal)) => {
                let pointer = refusal.pointer.as_ref().map_or(0, String::len);
                refusal.detail.len() + refusal.code.len() + pointer
            }
            None => 0,
        };
        found.bytes("the reply", reply, "turn.reply_bytes", self.reply_bytes);
        found.0
    }
}

/// Values beyond a limit, one sentence each.
#[derive(Default)]
struct Found(Vec<String>);

impl Found {
    fn bytes(&mut self, what: &str, bytes: usize, setting: &str, limit: usize) {
        if bytes > limit {
            self.say(&format!("{what} has {bytes} bytes"), setting, limit);
        }
    }

    fn number(&mut self, does: &str, what: &str, number: usize, setting: &str, limit: usize) {
        if number > limit {
            self.say(&format!("it {does} {number} {what}"), setting, limit);
        }
    }

    fn say(&mut self, what: &str, setting: &str, limit: usize) {
        self.0.push(format!(
            "{what}, and a host takes {limit} unless its operator raises `{setting}`"
        ));
    }
}
