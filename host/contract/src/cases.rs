//! Files of recorded decisions: a host writes them, and the test kit of the SDK decides them again.
//!
//! A file is JSON lines: a [`Header`], one [`Case`] for each decision in the order of their commits,
//! and a last line with their number, by which a file that was cut off is recognised. States,
//! bodies, events, replies and claims are JSON values, which keep all digits of their numbers.

use serde_json::{Map, Value, json};

use crate::json::parse;

/// The name of the format, in the first line.
const FORMAT: &str = "saga-cases";

/// The version of the format that is written and read.
pub const VERSION: u64 = 1;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The participant that decided.
    pub participant: String,
    /// The generations of its rules that made the decisions of the file.
    pub generations: Vec<Generation>,
    /// JSON pointers to the values that were redacted.
    pub redacted: Vec<String>,
}

/// A generation of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Digest of component and settings.
    pub digest: String,
    /// The version that it declares.
    pub version: String,
    /// Version of the states that it reads and writes.
    pub state_version: u32,
    /// The settings that an operator gave to it: an object.
    pub settings: Map<String, Value>,
}

/// A recorded decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// Its number in the journal.
    pub seq: i64,
    /// Revision of the aggregate before it.
    pub revision: u64,
    /// Digest of the generation that decided.
    pub generation: String,
    /// The state before it; none if there was no aggregate.
    pub state: Option<Value>,
    /// The message, as the rules saw it.
    pub message: CaseMessage,
    /// The decision: `state` (`unchanged`, `removed` or an object with `put`), `events`, `timers`
    /// and, where there is one, `reply`.
    pub outcome: Value,
}

/// A message, as the rules saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseMessage {
    /// Id, unique within the source.
    pub id: String,
    /// The producer.
    pub source: String,
    /// `command`, `event` or `timer`.
    pub origin: String,
    /// Command name, event type or timer name.
    pub name: String,
    /// Key of the aggregate.
    pub key: String,
    /// Time of the turn, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Id shared by all messages of a saga.
    pub correlation: String,
    /// Id of the message whose decision made this one.
    pub causation: Option<String>,
    /// Name and claims of the caller.
    pub caller: Option<(String, Value)>,
    /// Headers, with their values.
    pub metadata: Vec<(String, String)>,
    /// Version of an event's body.
    pub version: u32,
    /// Path parameters, with their values.
    pub parameters: Vec<(String, String)>,
    /// The body.
    pub body: Value,
}

impl Header {
    /// True if the generation that decided a case is among those of the file.
    #[must_use]
    pub fn names(&self, case: &Case) -> bool {
        let mut generations = self.generations.iter();
        generations.any(|one| one.digest == case.generation)
    }

    /// The first line of a file, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let generation = |one: &Generation| {
            json!({
                "digest": one.digest,
                "version": one.version,
                "state_version": one.state_version,
                "settings": one.settings,
            })
        };
        let generations: Vec<_> = self.generations.iter().map(generation).collect();
        json!({
            "format": FORMAT,
            "format_version": VERSION,
            "participant": self.participant,
            "generations": generations,
            "redacted": self.redacted,
        })
        .to_string()
    }
}

impl Case {
    /// The line of a decision, without its end.
    #[must_use]
    pub fn line(&self) -> String {
        let message = &self.message;
        let mut told = json!({
            "id": message.id,
            "source": message.source,
            "origin": message.origin,
            "name": message.name,
            "key": message.key,
            "time": message.time,
            "correlation": message.correlation,
            "metadata": message.metadata,
            "version": message.version,
            "parameters": message.parameters,
            "body": message.body,
        });
        if let Some(causation) = &message.causation {
            set(&mut told, "causation", json!(causation));
        }
        if let Some((subject, claims)) = &message.caller {
            set(
                &mut told,
                "caller",
                json!({"subject": subject, "claims": claims}),
            );
        }
        let mut line = json!({
            "seq": self.seq,
            "revision": self.revision,
            "generation": self.generation,
            "message": told,
            "outcome": self.outcome,
        });
        if let Some(state) = &self.state {
            set(&mut line, "state", state.clone());
        }
        line.to_string()
    }
}

/// The last line of a file with this many decisions, without its end.
#[must_use]
pub fn last_line(decisions: u64) -> String {
    json!({"decisions": decisions}).to_string()
}

fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// Reads a file.
///
/// # Errors
/// An error, with its line.
pub fn read(text: &str) -> Result<(Header, Vec<Case>), String> {
    let mut lines = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty());
    let (first, number) = lines
        .next()
        .ok_or("the file is empty; `saga journal export` writes such files")?;
    let header = in_line(number, read_header(first))?;
    let mut cases = Vec::new();
    let mut end = None;
    for (line, number) in lines {
        if end.is_some() {
            return Err(format!(
                "line {number}: follows the line that ends the file"
            ));
        }
        let value = in_line(
            number,
            parse(line).map_err(|reason| format!("the line {reason}")),
        )?;
        if let Some(decisions) = value.get("decisions") {
            end = Some(in_line(number, whole(decisions, "decisions"))?);
            continue;
        }
        let case = in_line(number, read_case(value))?;
        if !header.names(&case) {
            return Err(format!(
                "line {number}: the first line does not name the generation {}",
                case.generation
            ));
        }
        cases.push(case);
    }
    match end {
        None => Err("the file was cut off: its last line, with the number of decisions, is missing; export it again".to_owned()),
        Some(count) if count != cases.len() as u64 => Err(format!(
            "the last line says {count} decisions, and the file has {}; after removing lines, change that number too",
            cases.len()
        )),
        Some(_) => Ok((header, cases)),
    }
}

fn in_line<T>(number: usize, read: Result<T, String>) -> Result<T, String> {
    read.map_err(|reason| format!("line {number}: {reason}"))
}

fn read_header(line: &str) -> Result<Header, String> {
    let value = parse(line).map_err(|reason| format!("the line {reason}"))?;
    if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(format!(
            "is not the first line of a file of recorded decisions: `format` is not `{FORMAT}`; `saga journal export` writes such files"
        ));
    }
    let version = whole(member(&value, "format_version")?, "format_version")?;
    if version != VERSION {
        return Err(format!(
            "the file has version {version} of its format, and this program reads version {VERSION}; export it with a saga of the same version as the SDK"
        ));
    }
    let generation = |one: &Value| -> Result<Generation, String> {
        Ok(Generation {
            digest: text(one, "digest")?,
            version: text(one, "version")?,
            state_version: small(one, "state_version")?,
            settings: member(one, "settings")?
                .as_object()
                .ok_or("`settings` is not an object")?
                .clone(),
        })
    };
    let generations = list(&value, "generations")?.iter().map(generation);
    let redacted = list(&value, "redacted")?.iter().map(|one| {
        let pointer = one.as_str().map(str::to_owned);
        pointer.ok_or_else(|| "`redacted` has a value that is not a string".to_owned())
    });
    Ok(Header {
        participant: text(&value, "participant")?,
        generations: generations.collect::<Result<_, _>>()?,
        redacted: redacted.collect::<Result<_, _>>()?,
    })
}

fn read_case(mut value: Value) -> Result<Case, String> {
    let message = member(&value, "message")?;
    let caller = match message.get("caller") {
        None => None,
        Some(caller) => Some((text(caller, "subject")?, member(caller, "claims")?.clone())),
    };
    let origin = text(message, "origin")?;
    if !["command", "event", "timer"].contains(&origin.as_str()) {
        return Err(format!(
            "`origin` is `{origin}`, and not command, event or timer"
        ));
    }
    let message = CaseMessage {
        id: text(message, "id")?,
        source: text(message, "source")?,
        origin,
        name: text(message, "name")?,
        key: text(message, "key")?,
        time: whole(member(message, "time")?, "time")?,
        correlation: text(message, "correlation")?,
        causation: match message.get("causation") {
            None => None,
            Some(_) => Some(text(message, "causation")?),
        },
        caller,
        metadata: pairs(message, "metadata")?,
        version: small(message, "version")?,
        parameters: pairs(message, "parameters")?,
        body: member(message, "body")?.clone(),
    };
    let outcome = member(&value, "outcome")?.clone();
    for name in ["state", "events", "timers"] {
        member(&outcome, name).map_err(|reason| format!("in `outcome`, {reason}"))?;
    }
    Ok(Case {
        seq: member(&value, "seq")?
            .as_i64()
            .ok_or("`seq` is not a whole number")?,
        revision: whole(member(&value, "revision")?, "revision")?,
        generation: text(&value, "generation")?,
        message,
        outcome,
        state: (value.as_object_mut()).and_then(|members| members.remove("state")),
    })
}

fn member<'v>(value: &'v Value, name: &str) -> Result<&'v Value, String> {
    let found = value.get(name);
    found.ok_or_else(|| format!("there is no `{name}`"))
}

fn text(value: &Value, name: &str) -> Result<String, String> {
    let text = member(value, name)?.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("`{name}` is not a string"))
}

fn list<'v>(value: &'v Value, name: &str) -> Result<&'v [Value], String> {
    let list = member(value, name)?.as_array().map(Vec::as_slice);
    list.ok_or_else(|| format!("`{name}` is not a list"))
}

fn whole(value: &Value, name: &str) -> Result<u64, String> {
    let number = value.as_u64();
    number.ok_or_else(|| format!("`{name}` is not a whole number"))
}

fn small(value: &Value, name: &str) -> Result<u32, String> {
    let number = u32::try_from(whole(member(value, name)?, name)?);
    number.map_err(|_| format!("`{name}` is too large"))
}

fn pairs(value: &Value, name: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |one: &Value| match one.as_array().map(Vec::as_slice) {
        Some([Value::String(name), Value::String(value)]) => Ok((name.clone(), value.clone())),
        _ => Err(format!(
            "`{name}` has a value that is not a pair of strings"
        )),
    };
    list(value, name)?.iter().map(pair).collect()
}

#[cfg(test)]
#[path = "cases_tests.rs"]
mod tests;
