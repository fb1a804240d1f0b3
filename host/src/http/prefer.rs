//! `Prefer: wait=N` (RFC 7240): a command is answered when the saga has decided.
//!
//! What the client gets is the command's own reply with the members that have changed meanwhile, so its shape is
//! that of every other answer to the command. Whatever goes wrong while it waits, the command took place, and
//! is answered as pending.

use std::fmt;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use saga_core::outcome::Reply;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use super::answer::Answered;
use super::waiting::Reading;

/// What a client would like.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Which of it was heeded.
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The seconds that a client is ready to wait. Preferences that are unknown or make no sense are ignored, as the
/// RFC wants it; of several waits the first counts.
pub(super) fn wait(headers: &HeaderMap) -> Option<u64> {
    let lists = headers.get_all(PREFER).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    let first = lists.flat_map(preferences).find_map(|preference| {
        // What follows a `;` are parameters; `wait` has none that is known.
        let preference = preference.split(';').next().unwrap_or_default();
        let (name, value) = preference.split_once('=').unwrap_or((preference, ""));
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').to_owned())
    })?;
    let is_number = !first.is_empty() && first.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large is as good as the longest.
    is_number.then(|| first.parse().unwrap_or(u64::MAX))
}

/// The preferences of one list; commas in quoted values separate nothing.
fn preferences(list: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    list.split(move |character| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match character {
            '\\' if is_quoted => is_escaped = !was_escaped,
            '"' if !was_escaped => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    })
}

/// Says which wait was granted.
pub(super) fn applied(response: &mut Answered, seconds: u64) {
    if let Ok(value) = HeaderValue::from_str(&format!("wait={seconds}")) {
        response.headers_mut().insert(PREFERENCE_APPLIED, value);
    }
}

/// The reply to a command, whose own is `pending`, once the read says that the saga has decided; the same reply where it
/// has not within so many seconds, or the host is drained.
pub(super) async fn decided(mut reading: Reading, pending: String, seconds: u64) -> Reply {
    let read = async {
        loop {
            match reading.ask().await {
                Ok(seen) if !seen.is_pending => return Some(seen.body),
                Ok(_) => {}
                // Where it can't be read there is nothing to wait for.
                Err(_) => return None,
            }
            if !reading.changed().await {
                return None;
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(seconds), read).await {
        Ok(Some(read)) => Reply::Done(brought_up_to_date(pending, &read)),
        Ok(None) | Err(_) => Reply::Pending(pending),
    }
}

/// A reply with the members that another has too as they are there. What is no object stays as it is.
fn brought_up_to_date(own: String, read: &str) -> String {
    let members = serde_json::from_str::<Members<'_>>(&own);
    let (Ok(mut members), Ok(newer)) = (members, serde_json::from_str::<Members<'_>>(read)) else {
        return own;
    };
    for (name, value) in &mut members.0 {
        if let Some((_, newer)) = newer.0.iter().find(|(newer, _)| newer == name) {
            *value = newer;
        }
    }
    serde_json::to_string(&members).unwrap_or(own)
}

/// The members of an object, in their order and with every digit as it was written.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn waits(lists: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for list in lists {
            headers.append(PREFER, list.parse().unwrap());
        }
        wait(&headers)
    }

    #[test]
    fn a_wait_is_found_wherever_it_stands() {
        for lists in [
            vec!["wait=5"],
            vec!["Wait = 5"],
            vec!["wait=\"5\""],
            vec!["respond-async, wait=5"],
            vec!["respond-async", "wait=5"],
            vec!["wait=5; foo=bar"],
            vec!["wait=5, wait=9"],
            vec!["wait=5", "wait=9"],
            vec!["a=\"x, wait=9\", wait=5"],
            vec!["a=\"\\\", wait=9\", wait=5"],
            vec![" , ,wait=5,"],
        ] {
            assert_eq!(waits(&lists), Some(5), "{lists:?}");
        }
        assert_eq!(waits(&["wait=99999999999999999999999"]), Some(u64::MAX));
        assert_eq!(waits(&["wait=0"]), Some(0));
    }

    #[test]
    fn what_is_unknown_or_makes_no_sense_is_ignored() {
        for list in [
            "",
            "wait",
            "wait=",
            "wait=-1",
            "wait=+1",
            "wait=1.5",
            "wait=5s",
            "wait=\"\"",
            "await=5",
            "waiting=5",
            "respond-async",
            "return=minimal",
            "handling=strict; wait=5",
            "a=\"wait=5\"",
            "=5",
            "wait=x, wait=5",
        ] {
            assert_eq!(waits(&[list]), None, "{list}");
        }
        assert_eq!(waits(&[]), None);
    }

    #[test]
    fn members_that_the_read_has_too_are_brought_up_to_date() {
        for (own, read, expected) in [
            (
                r#"{"orderId":1,"orderState":"PENDING","customerId":1,"orderTotal":300.10}"#,
                r#"{"orderId":1,"orderState":"APPROVED","note":"not asked for"}"#,
                r#"{"orderId":1,"orderState":"APPROVED","customerId":1,"orderTotal":300.10}"#,
            ),
            (
                r#"{"z":1,"a":{"b":[1]}}"#,
                r#"{"a":{"c":12345678901234567890.10}}"#,
                r#"{"z":1,"a":{"c":12345678901234567890.10}}"#,
            ),
            (
                r#"{"quoted\"":1}"#,
                r#"{"quoted\"":2}"#,
                r#"{"quoted\"":2}"#,
            ),
            ("{}", r#"{"a":1}"#, "{}"),
            ("17", r#"{"a":1}"#, "17"),
            (r#"{"a":1}"#, "17", r#"{"a":1}"#),
            (r#"[{"a":1}]"#, r#"{"a":2}"#, r#"[{"a":1}]"#),
        ] {
            assert_eq!(brought_up_to_date(own.to_owned(), read), expected);
        }
    }
}
