//! Values that are replaced in a file of recorded decisions.
//!
//! A string becomes a marker that follows from it and from a key of this file, which nobody keeps:
//! equal strings have equal markers, and a marker can't be found again by trying strings. Numbers and
//! booleans are refused: any other value of theirs would change what the rules decide, and a
//! boolean's marker would tell it. In objects and lists all values are replaced.

use saga_contract::cases::Case;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// What is redacted, and where.
pub(super) struct Redaction {
    pointers: Vec<Pointer>,
    key: [u8; 32],
}

struct Pointer {
    text: String,
    tokens: Vec<String>,
    is_found: bool,
}

impl Redaction {
    /// For the values at these JSON pointers; `*` stands for any item of a list.
    pub(super) fn new(pointers: &[String]) -> Result<Self, String> {
        let mut key = [0; 32];
        getrandom::fill(&mut key).map_err(|error| error.to_string())?;
        let read = |text: &String| {
            let Some(rest) = text.strip_prefix('/') else {
                return Err(format!(
                    "{text}: is no JSON pointer to a member; it begins with `/`, such as /address/street"
                ));
            };
            let token = |token: &str| token.replace("~1", "/").replace("~0", "~");
            Ok(Pointer {
                text: text.clone(),
                tokens: rest.split('/').map(token).collect(),
                is_found: false,
            })
        };
        Ok(Self {
            pointers: pointers.iter().map(read).collect::<Result<_, _>>()?,
            key,
        })
    }

    /// A case with all such values replaced: in its states, bodies, events, timers, reply and claims.
    pub(super) fn redacted(&mut self, mut case: Case) -> Result<Case, String> {
        let Self { pointers, key } = self;
        for pointer in pointers {
            let mut places: Vec<(&str, &mut Value)> = vec![("the body", &mut case.message.body)];
            places.extend(case.state.as_mut().map(|state| ("the state", state)));
            let caller = case.message.caller.as_mut();
            places.extend(caller.map(|(_, claims)| ("the claims", claims)));
            if let Value::Object(outcome) = &mut case.outcome {
                for (name, part) in outcome {
                    match (name.as_str(), part) {
                        ("state", Value::Object(put)) => {
                            places.extend(put.values_mut().map(|put| ("the new state", put)));
                        }
                        ("events", Value::Array(events)) => {
                            let bodies = events.iter_mut().filter_map(|one| one.get_mut("body"));
                            places.extend(bodies.map(|body| ("an event", body)));
                        }
                        ("timers", Value::Array(timers)) => {
                            let bodies = timers.iter_mut();
                            let bodies = bodies.filter_map(|one| one.pointer_mut("/set/body"));
                            places.extend(bodies.map(|body| ("a timer", body)));
                        }
                        ("reply", Value::Object(reply)) => {
                            let bodies = reply.iter_mut().filter(|(kind, _)| *kind != "refused");
                            places.extend(bodies.map(|(_, body)| ("the reply", body)));
                        }
                        _ => {}
                    }
                }
            }
            for (what, value) in places {
                let is_found = at(value, &pointer.tokens, &mut |value| replace(value, key))
                    .map_err(|kind| refused(&pointer.text, what, kind))?;
                pointer.is_found |= is_found;
            }
        }
        Ok(case)
    }

    /// The pointers at which nothing was found.
    pub(super) fn not_found(&self) -> Vec<String> {
        let pointers = self.pointers.iter().filter(|one| !one.is_found);
        pointers.map(|one| one.text.clone()).collect()
    }
}

fn refused(pointer: &str, what: &str, kind: &str) -> String {
    format!(
        "{what} has a {kind} at {pointer}, and only strings can be redacted: with another {kind} the rules would decide \
         otherwise; leave the pointer out, or name the strings below it"
    )
}

/// Replaces what is at a pointer; true if there was something.
fn at(
    value: &mut Value,
    tokens: &[String],
    replace: &mut dyn FnMut(&mut Value) -> Result<(), &'static str>,
) -> Result<bool, &'static str> {
    let Some((token, rest)) = tokens.split_first() else {
        return replace(value).map(|()| true);
    };
    match value {
        Value::Object(members) => match members.get_mut(token) {
            Some(member) => at(member, rest, replace),
            None => Ok(false),
        },
        Value::Array(items) if token == "*" => {
            let mut is_found = false;
            for item in items {
                is_found |= at(item, rest, replace)?;
            }
            Ok(is_found)
        }
        Value::Array(items) => {
            let item = token
                .parse()
                .ok()
                .and_then(|place: usize| items.get_mut(place));
            item.map_or(Ok(false), |item| at(item, rest, replace))
        }
        _ => Ok(false),
    }
}

fn replace(value: &mut Value, key: &[u8; 32]) -> Result<(), &'static str> {
    match value {
        Value::Null => Ok(()),
        Value::Bool(_) => Err("boolean"),
        Value::Number(_) => Err("number"),
        Value::String(text) => {
            let digest = Sha256::new()
                .chain_update(key)
                .chain_update(&*text)
                .finalize();
            let hex: String = digest
                .iter()
                .take(8)
                .map(|byte| format!("{byte:02x}"))
                .collect();
            *text = format!("redacted-{hex}");
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| replace(item, key)),
        Value::Object(members) => members.values_mut().try_for_each(|one| replace(one, key)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use saga_contract::cases::CaseMessage;
    use serde_json::json;

    use super::*;

    fn case(body: Value) -> Case {
        Case {
            seq: 1,
            revision: 1,
            generation: "3f".to_owned(),
            state: Some(json!({"name": "Ann"})),
            message: CaseMessage {
                id: "m".to_owned(),
                source: "/s".to_owned(),
                origin: "command".to_owned(),
                name: "rename".to_owned(),
                key: "1".to_owned(),
                time: 1,
                correlation: "c".to_owned(),
                causation: None,
                caller: Some(("ann".to_owned(), json!({"name": "Ann"}))),
                metadata: Vec::new(),
                version: 1,
                parameters: Vec::new(),
                body,
            },
            outcome: json!({
                "state": {"put": {"name": "Bo"}},
                "events": [{"type": "t", "key": "Ann", "body": {"name": "Ann"}}],
                "timers": [{"set": {"name": "Ann", "due": 1, "body": {"name": "Ann"}}}],
                "reply": {"done": {"name": "Bo"}},
            }),
        }
    }

    fn pointers(texts: &[&str]) -> Redaction {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        Redaction::new(&texts).unwrap()
    }

    #[test]
    fn equal_strings_have_equal_markers_in_every_part_of_a_decision() {
        let mut redaction = pointers(&["/name", "/lines/*/to", "/gone"]);
        let body =
            json!({"name": "Bo", "total": 1, "lines": [{"to": ["Ann", null]}, {"to": "Bo"}]});
        let done = redaction.redacted(case(body)).unwrap();
        let (ann, bo) = (done.state.clone().unwrap(), &done.message.body["name"]);
        let ann = &ann["name"];
        assert!(ann.as_str().unwrap().starts_with("redacted-"));
        assert_ne!(ann, bo);
        assert_eq!(
            done.message.body,
            json!({"name": bo, "total": 1, "lines": [{"to": [ann, null]}, {"to": bo}]})
        );
        assert_eq!(
            done.message.caller,
            Some(("ann".to_owned(), json!({"name": ann})))
        );
        assert_eq!(
            done.outcome,
            json!({
                "state": {"put": {"name": bo}},
                "events": [{"type": "t", "key": "Ann", "body": {"name": ann}}],
                "timers": [{"set": {"name": "Ann", "due": 1, "body": {"name": ann}}}],
                "reply": {"done": {"name": bo}},
            })
        );
        assert_eq!(redaction.not_found(), ["/gone"]);
        let other = pointers(&["/name"]).redacted(case(json!(null))).unwrap();
        assert_ne!(
            &other.state.unwrap()["name"],
            ann,
            "each file has its own key"
        );
    }

    #[test]
    fn a_number_is_not_redacted_and_the_reason_is_told() {
        let refused = pointers(&["/a"])
            .redacted(case(json!({"a": {"b": 1}})))
            .unwrap_err();
        assert!(
            refused.starts_with(
                "the body has a number at /a, and only strings can be redacted: with another number the rules"
            ),
            "{refused}"
        );
        let refused = pointers(&["/a"])
            .redacted(case(json!({"a": true})))
            .unwrap_err();
        assert!(
            refused.starts_with("the body has a boolean at /a"),
            "{refused}"
        );
        assert!(Redaction::new(&["name".to_owned()]).is_err());
    }
}
