//! Recorded decisions, as bytes: what a decision was made on, and the decision.
//!
//! Every decision is kept for a week or so, so its size matters more than that of anything else. The
//! bytes are [postcard](https://postcard.jamesmunns.com/wire-format.html), in which fields have no
//! names. Ids that are UUIDs take 16 bytes, an id that stands in the same message before takes one,
//! and of a new state only the part is there that differs from the state before. What stands next to
//! the bytes in a store is left out: the key, the time and the state before.
//!
//! A decision may be recorded without its payload ([`Outline`]): the fields are the same, texts are
//! empty, and their sizes follow.

mod outline;

pub use outline::{Outline, Sizes};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::{uuid_bytes, uuid_text};
use crate::message::{Caller, Message, Origin};
use crate::outcome::{Event, Outcome, Reply, StateChange, TimerChange};

/// The first byte of a recorded decision. Another arrangement of the fields gets another one.
const FORMAT: u8 = 1;

/// The first byte of one without its payload.
const OUTLINE: u8 = 2;

/// What is recorded of each decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kept {
    /// Everything, so that it can be made again.
    #[default]
    Full,
    /// No payload: its outline.
    NoPayloads,
}

/// A recorded decision that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a recorded decision can't be read: {0}")]
pub struct Unreadable(String);

/// The reason why a recorded decision can't be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWhole {
    /// It can't be read, for this reason.
    #[error("{0}")]
    Unreadable(String),
    /// It was recorded without its payload.
    #[error("payload not kept")]
    NoPayload(Box<Outline>),
}

impl From<Unreadable> for NotWhole {
    fn from(error: Unreadable) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// The beginning, by which decisions are told apart.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Subject<'d> {
    format: u8,
    origin: Origin,
    name: &'d str,
}

/// The rest of a message.
#[derive(Serialize, Deserialize)]
struct Circumstances<'d> {
    #[serde(borrow)]
    id: Id<'d>,
    source: &'d str,
    correlation: Id<'d>,
    causation: Option<Id<'d>>,
    version: u32,
    body: &'d str,
}

/// An id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Id<'d> {
    Uuid([u8; 16]),
    Text(&'d str),
    /// The id of the message.
    Message,
    /// The correlation of the message.
    Correlation,
}

/// A change of the state.
#[derive(Serialize, Deserialize)]
enum Change<'d> {
    Unchanged,
    Removed,
    /// The state before, without its middle: bytes kept at its beginning and at its end, and the
    /// bytes between them.
    Put(usize, usize, &'d [u8]),
}

/// The bytes of a decision on a message; `state` is the one before it, as the rules saw it.
///
/// # Errors
/// Never for the values of a turn; postcard's error otherwise.
pub fn encode(
    message: &Message,
    state: Option<&str>,
    outcome: &Outcome,
) -> Result<Vec<u8>, Unreadable> {
    encode_as(FORMAT, message, state, outcome)
}

/// The bytes of a decision without its payload.
///
/// # Errors
/// As [`encode`].
pub fn encode_outline(
    message: &Message,
    state: Option<&str>,
    outcome: &Outcome,
) -> Result<Vec<u8>, Unreadable> {
    Outline::of(message, state, outcome).encode()
}

impl Outline {
    /// Its bytes.
    ///
    /// # Errors
    /// As [`encode`].
    pub fn encode(&self) -> Result<Vec<u8>, Unreadable> {
        let bytes = encode_as(OUTLINE, &self.message, None, &self.outcome)?;
        postcard::to_extend(&self.sizes, bytes).map_err(|error| Unreadable(error.to_string()))
    }
}

fn encode_as(
    format: u8,
    message: &Message,
    state: Option<&str>,
    outcome: &Outcome,
) -> Result<Vec<u8>, Unreadable> {
    let subject = Subject {
        format,
        origin: message.origin,
        name: &message.name,
    };
    let correlation = Id::of(&message.correlation, [(&message.id, Id::Message)]);
    let known = [
        (&message.correlation, Id::Correlation),
        (&message.id, Id::Message),
    ];
    let circumstances = Circumstances {
        id: Id::of(&message.id, []),
        source: &message.source,
        correlation,
        causation: (message.causation.as_ref()).map(|causation| Id::of(causation, known)),
        version: message.version,
        body: &message.body,
    };
    let asked = (&message.caller, &message.metadata, &message.parameters);
    let change = Change::from(state.unwrap_or_default(), &outcome.state);
    let effects = (&outcome.events, &outcome.timers, &outcome.reply);
    let bytes = Vec::with_capacity(512);
    postcard::to_extend(&(subject, circumstances, asked, change, effects), bytes)
        .map_err(|error| Unreadable(error.to_string()))
}

/// Origin and name of the message of a recorded decision.
///
/// # Errors
/// They are of another format, or of none.
pub fn subject(bytes: &[u8]) -> Result<(Origin, &str), Unreadable> {
    begin(bytes).map(|(subject, _)| (subject.origin, subject.name))
}

/// True if a decision was recorded with its payload.
///
/// # Errors
/// As [`subject`].
pub fn has_payload(bytes: &[u8]) -> Result<bool, Unreadable> {
    begin(bytes).map(|(subject, _)| subject.format == FORMAT)
}

/// The message and the decision on it.
///
/// # Errors
/// The bytes are of another format, belong to another state, or have no payload.
pub fn decode(
    bytes: &[u8],
    (key, time): (&str, u64),
    state: Option<&str>,
) -> Result<(Message, Outcome), NotWhole> {
    type Asked = (Option<Caller>, Vec<(String, String)>, Vec<(String, String)>);
    type Effects = (Vec<Event>, Vec<TimerChange>, Option<Reply>);
    let (subject, rest) = begin(bytes)?;
    let (circumstances, rest) = take::<Circumstances<'_>>(rest)?;
    let ((caller, metadata, parameters), rest) = take::<Asked>(rest)?;
    let (change, rest) = take::<Change<'_>>(rest)?;
    let ((events, timers, reply), rest) = take::<Effects>(rest)?;
    let id = circumstances.id.text("", "");
    let correlation = circumstances.correlation.text(&id, "");
    let causation = circumstances.causation;
    let message = Message {
        origin: subject.origin,
        name: subject.name.to_owned(),
        key: key.to_owned(),
        time,
        source: circumstances.source.to_owned(),
        causation: causation.map(|causation| causation.text(&id, &correlation)),
        caller,
        metadata,
        version: circumstances.version,
        parameters,
        body: circumstances.body.to_owned(),
        id,
        correlation,
    };
    let is_outline = subject.format == OUTLINE;
    let state = state.filter(|_| !is_outline).unwrap_or_default();
    let outcome = Outcome {
        state: change.of(state)?,
        events,
        timers,
        reply,
    };
    if is_outline {
        let (sizes, _) = take::<Sizes>(rest)?;
        return Err(NotWhole::NoPayload(Box::new(Outline {
            message,
            outcome,
            sizes,
        })));
    }
    Ok((message, outcome))
}

/// The beginning, if it is of this format, and the rest.
fn begin(bytes: &[u8]) -> Result<(Subject<'_>, &[u8]), Unreadable> {
    let (subject, rest) = take::<Subject<'_>>(bytes)?;
    match subject.format {
        FORMAT | OUTLINE => Ok((subject, rest)),
        format => Err(Unreadable(format!(
            "its format is {format}, this build reads {FORMAT} and {OUTLINE}"
        ))),
    }
}

fn take<'d, T: Deserialize<'d>>(bytes: &'d [u8]) -> Result<(T, &'d [u8]), Unreadable> {
    postcard::take_from_bytes(bytes).map_err(|error| Unreadable(error.to_string()))
}

impl<'d> Id<'d> {
    /// The id in its shortest form; `known` are ids that stand elsewhere, and their forms.
    fn of<const N: usize>(text: &'d str, known: [(&String, Self); N]) -> Self {
        let known = known.into_iter().find(|(other, _)| *other == text);
        known.map_or_else(
            || uuid_bytes(text).map_or(Self::Text(text), Self::Uuid),
            |(_, id)| id,
        )
    }

    fn text(self, message: &str, correlation: &str) -> String {
        match self {
            Self::Uuid(bytes) => uuid_text(bytes),
            Self::Text(text) => text.to_owned(),
            Self::Message => message.to_owned(),
            Self::Correlation => correlation.to_owned(),
        }
    }
}

impl<'d> Change<'d> {
    fn from(before: &str, change: &'d StateChange) -> Self {
        let after = match change {
            StateChange::Unchanged => return Self::Unchanged,
            StateChange::Remove => return Self::Removed,
            StateChange::Put(after) => after.as_bytes(),
        };
        let same = |(one, other): &(&u8, &u8)| one == other;
        let before = before.as_bytes();
        let head = before.iter().zip(after).take_while(same).count();
        let (before, rest) = (
            before.get(head..).unwrap_or_default(),
            after.get(head..).unwrap_or_default(),
        );
        let pairs = before.iter().rev().zip(rest.iter().rev());
        let tail = pairs.take_while(same).count();
        let middle = rest.get(..rest.len() - tail).unwrap_or_default();
        Self::Put(head, tail, middle)
    }

    fn of(self, before: &str) -> Result<StateChange, Unreadable> {
        let (head, tail, middle) = match self {
            Self::Unchanged => return Ok(StateChange::Unchanged),
            Self::Removed => return Ok(StateChange::Remove),
            Self::Put(head, tail, middle) => (head, tail, middle),
        };
        let before = before.as_bytes();
        let other = || Unreadable("it was made on another state".to_owned());
        let end = before.len().checked_sub(tail).ok_or_else(other)?;
        let head = before.get(..head).ok_or_else(other)?;
        let tail = before.get(end..).ok_or_else(other)?;
        let after = String::from_utf8([head, middle, tail].concat()).map_err(|_| other())?;
        Ok(StateChange::Put(after))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use crate::outcome::{Refusal, Timer};
    use saga_contract::description::RefusalKind;

    const ID: &str = "01a2343a-4fe9-8079-bed4-210ab1d1f45a";
    const PLACE: (&str, u64) = ("17", 1_796_172_566_517);

    fn message(id: &str, correlation: &str, causation: Option<&str>) -> Message {
        Message {
            id: id.into(),
            source: "/saga/order".into(),
            origin: Origin::Event,
            name: "order.created".into(),
            key: PLACE.0.into(),
            time: PLACE.1,
            correlation: correlation.into(),
            causation: causation.map(str::to_owned),
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: r#"{"id":1}"#.into(),
        }
    }

    fn outcome(state: StateChange) -> Outcome {
        Outcome {
            state,
            events: Vec::new(),
            timers: Vec::new(),
            reply: None,
        }
    }

    #[track_caller]
    fn comes_back(message: &Message, state: Option<&str>, outcome: &Outcome) -> usize {
        let bytes = encode(message, state, outcome).unwrap();
        let read = decode(&bytes, PLACE, state).unwrap();
        assert_eq!(read, (message.clone(), outcome.clone()));
        assert_eq!(subject(&bytes).unwrap(), (message.origin, &*message.name));
        bytes.len()
    }

    #[test]
    fn everything_comes_back() {
        let full = Message {
            origin: Origin::Command,
            caller: Some(Caller {
                subject: "ann".into(),
                claims: r#"{"tenant":"t"}"#.into(),
            }),
            metadata: vec![("x-channel".into(), "web".into())],
            version: 3,
            parameters: vec![("orderId".into(), "17".into())],
            ..message("id of my own", ID, Some("another"))
        };
        let refusal = Refusal {
            kind: RefusalKind::Conflict,
            code: "closed".into(),
            detail: "It is closed.".into(),
            pointer: Some("/id".into()),
        };
        let replies = [
            Reply::Done("{}".into()),
            Reply::Pending("1".into()),
            Reply::Refused(refusal),
        ];
        for reply in replies.into_iter().map(Some).chain([None]) {
            let decided = Outcome {
                state: StateChange::Put(r#"{"open":true}"#.into()),
                events: vec![Event {
                    event_type: "order.opened".into(),
                    key: "9".into(),
                    body: "null".into(),
                }],
                timers: vec![
                    TimerChange::Cancel("late".into()),
                    TimerChange::Set(Timer {
                        name: "late".into(),
                        due: u64::MAX,
                        body: "2".into(),
                    }),
                ],
                reply,
            };
            comes_back(&full, Some(r#"{"open":false}"#), &decided);
        }
        for change in [StateChange::Unchanged, StateChange::Remove] {
            comes_back(&full, None, &outcome(change));
        }
    }

    #[test]
    fn without_its_payload_names_ids_and_sizes_are_left() {
        let asked = Message {
            caller: Some(Caller {
                subject: "secret".into(),
                claims: r#"["secret"]"#.into(),
            }),
            metadata: vec![("x".into(), "secret".into())],
            parameters: vec![("name".into(), "secret".into())],
            body: r#""secret""#.into(),
            ..message(ID, "c", Some(ID))
        };
        let refusal = Refusal {
            kind: RefusalKind::Conflict,
            code: "closed".into(),
            detail: "secret".into(),
            pointer: Some("/secret".into()),
        };
        let decided = Outcome {
            state: StateChange::Put(r#"["secret"]"#.into()),
            events: vec![Event {
                event_type: "e".into(),
                key: "k".into(),
                body: r#""secret""#.into(),
            }],
            timers: vec![
                TimerChange::Cancel("t".into()),
                TimerChange::Set(Timer {
                    name: "t".into(),
                    due: 7,
                    body: r#""secret""#.into(),
                }),
            ],
            reply: Some(Reply::Refused(refusal)),
        };
        let bytes = encode_outline(&asked, Some(r#"{"secret":1}"#), &decided).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("secret"));
        assert_eq!(subject(&bytes), Ok((Origin::Event, "order.created")));
        assert_eq!(has_payload(&bytes), Ok(false));
        // A store keeps an empty text where there was a state.
        let NotWhole::NoPayload(outline) = decode(&bytes, PLACE, Some("")).unwrap_err() else {
            panic!("it is read");
        };
        let bare = Message {
            body: String::new(),
            ..message(ID, "c", Some(ID))
        };
        assert_eq!(outline.message, bare);
        let sizes = Sizes {
            body: 8,
            state_before: Some(12),
            state: Some(10),
            events: vec![8],
            timers: vec![8],
            reply: Some(13),
        };
        assert_eq!(outline.sizes, sizes);
        assert_eq!(outline.outcome.state, StateChange::Put(String::new()));
        assert_eq!(outline.outcome.events[0].key, "k");
        let Some(TimerChange::Set(timer)) = outline.outcome.timers.last() else {
            panic!("it was set");
        };
        assert_eq!((timer.due, &*timer.body), (7, ""));
        let Some(Reply::Refused(refusal)) = &outline.outcome.reply else {
            panic!("it was refused");
        };
        assert_eq!((&*refusal.code, &*refusal.detail), ("closed", ""));
        for end in 0..bytes.len() {
            let part = decode(bytes.get(..end).unwrap(), PLACE, None);
            assert!(matches!(part, Err(NotWhole::Unreadable(_))), "{end}");
        }
        let whole = encode(&asked, None, &decided).unwrap();
        assert_eq!(has_payload(&whole), Ok(true));
    }

    #[test]
    fn ids_are_short_whatever_they_are() {
        let decided = outcome(StateChange::Unchanged);
        let other = "01a2343a-4fe9-8e8f-89d4-95d42245b5ab";
        let own = comes_back(&message(ID, ID, None), None, &decided);
        assert_eq!(
            comes_back(&message(ID, other, None), None, &decided),
            own + 16
        );
        assert_eq!(
            comes_back(&message(ID, other, Some(other)), None, &decided),
            own + 17
        );
        // Written otherwise, it is another id.
        for text in ["", "a", &ID.to_uppercase(), &ID.replace('-', "")] {
            comes_back(&message(text, ID, Some(text)), None, &decided);
        }
    }

    #[test]
    fn of_a_state_only_the_difference_is_kept() {
        let message = message(ID, ID, None);
        let before = r#"{"name":"Ann","limit":100,"available":60}"#;
        let least = comes_back(&message, Some(before), &outcome(StateChange::Unchanged));
        for (after, bytes) in [
            (before, 3),
            (r#"{"name":"Ann","limit":100,"available":55}"#, 5),
            (r#"{"name":"Ann"}"#, 3),
            (r#"{"name":"Ann","limit":100,"available":60}60}"#, 6),
        ] {
            let put = outcome(StateChange::Put(after.into()));
            let length = comes_back(&message, Some(before), &put);
            assert_eq!(length, least + bytes, "{after}");
        }
        for (before, after) in [
            ("", "x"),
            ("x", ""),
            ("aaa", "aa"),
            ("aa", "aaa"),
            ("ä", "ö"),
        ] {
            comes_back(
                &message,
                Some(before),
                &outcome(StateChange::Put(after.into())),
            );
        }
    }

    #[test]
    fn what_it_can_t_be_is_an_error() {
        let decided = outcome(StateChange::Put("abcdef".into()));
        let bytes = encode(&message(ID, ID, None), Some("abcxyz"), &decided).unwrap();
        let other = decode(&bytes, PLACE, Some("a")).unwrap_err().to_string();
        assert_eq!(
            other,
            "a recorded decision can't be read: it was made on another state"
        );
        for end in 0..bytes.len() {
            decode(bytes.get(..end).unwrap(), PLACE, Some("abcxyz")).unwrap_err();
        }
        let mut newer = bytes;
        if let Some(first) = newer.first_mut() {
            *first = 3;
        }
        let said = decode(&newer, PLACE, None).unwrap_err().to_string();
        assert!(
            said.ends_with("its format is 3, this build reads 1 and 2"),
            "{said}"
        );
    }

    /// Rows that were written stay readable: a change of this needs another [`FORMAT`].
    #[test]
    fn the_format_is_this_one() {
        let message = message(ID, "c", Some(ID));
        let decided = Outcome {
            events: vec![Event {
                event_type: "e".into(),
                key: "k".into(),
                body: "2".into(),
            }],
            timers: vec![TimerChange::Cancel("t".into())],
            reply: Some(Reply::Done("3".into())),
            state: StateChange::Put("[1]".into()),
        };
        let mut expected = vec![1, 1, 13];
        expected.extend(b"order.created");
        expected.push(0);
        expected.extend(uuid_bytes(ID).unwrap());
        expected.push(11);
        expected.extend(b"/saga/order");
        expected.extend([1, 1, b'c', 1, 2, 1, 8]);
        expected.extend(br#"{"id":1}"#);
        expected.extend([0, 0, 0, 2, 1, 1, 1, b'1']);
        expected.extend([1, 1, b'e', 1, b'k', 1, b'2', 1, 1, 1, b't', 1, 0, 1, b'3']);
        assert_eq!(encode(&message, Some("[]"), &decided).unwrap(), expected);
    }
}
