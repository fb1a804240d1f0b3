//! `Idempotency-Key`: a command that is repeated under the same key takes effect once and gets the
//! same answer (draft-ietf-httpapi-idempotency-key-header).
//!
//! Owns the header and its answers. The turn loop decides which request is the first, and the store
//! keeps the rules' reply, from which the same answer is made again. A client that prefers to wait
//! does so on a repeat too, since the kept reply was made before the saga decided. Undecided
//! requests (a body that fails its check, a fault, a busy host) are not kept, and their key may be
//! used again.

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::answer::Answered;
use super::problem::{Problem, try_later};
use super::reply::store_failed;
use super::routes::Route;
use crate::apidocs::problems::Kind;
use crate::store::{Claim, Fingerprint};
use crate::turn::{Answer, Met, Participant};

/// The request header.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The response header of a replayed answer.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest key, in characters.
const LONGEST: usize = 255;

/// Seconds until a retry while the first request is in flight.
const IN_USE_RETRY: u32 = 1;

/// Seconds until a retry while no further key is accepted: old ones expire one by one.
const FULL_RETRY: u32 = 60;

/// A command, apart from its body.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    /// Its head.
    pub(super) head: &'a Parts,
    /// The name of its caller.
    pub(super) caller: Option<&'a str>,
    /// The headers that the rules ask for.
    pub(super) names: &'a [String],
    /// Those of them that it has.
    pub(super) metadata: &'a [(String, String)],
}

impl Asked<'_> {
    /// Tells the request from others: method, path and query, body, and the headers that the rules
    /// ask for.
    fn fingerprint(&self, body: &str) -> Fingerprint {
        let target = self.head.uri.path_and_query();
        let target = target.map_or("", |target| target.as_str());
        let request = [self.head.method.as_str(), target, body];
        Fingerprint::of(request, self.names, self.metadata)
    }
}

/// Claims the key of a request that has one; returns the first reply if the command was answered
/// before. Reads ignore the key, since repeating them changes nothing.
///
/// # Errors
/// The key is malformed, was used for another request or is in use; no further key is accepted; the
/// store failed or was not read in time.
pub(super) async fn replied_before(
    participant: &Participant,
    route: &Route,
    asked: Asked<'_>,
    body: &str,
    claim: &mut Option<Arc<Claim>>,
) -> Result<Option<Answer>, Problem> {
    let Asked { head, caller, .. } = asked;
    if route.reads || claim.is_some() {
        return Ok(None);
    }
    let Some(key) = key(&head.headers)? else {
        return Ok(None);
    };
    // No key has a space. One caller must not get the answer to another one.
    let key = match caller {
        Some(caller) => format!("{key} {caller}"),
        None => key,
    };
    let (kind, detail, retry) = match participant.meet(key, asked.fingerprint(body)).await {
        Met::First(first) => {
            *claim = Some(first);
            return Ok(None);
        }
        Met::Replied(replied) => return Ok(Some(Answer::Replied(replied))),
        Met::StoreFailed(fault) => return Err(store_failed(&fault)),
        Met::TryLater(reason) => return Err(try_later(reason)),
        Met::Reused => (
            Kind::IdempotencyKeyReused,
            "this Idempotency-Key was used for a request with another method, path or body, or with other headers that the rules ask for; take a new key for a new request"
                .to_owned(),
            None,
        ),
        Met::InUse => (
            Kind::IdempotencyKeyInUse,
            "the first request with this Idempotency-Key is not answered yet; send the same again in a moment"
                .to_owned(),
            Some(IN_USE_RETRY),
        ),
        Met::Full(most) => (
            Kind::TooManyIdempotencyKeys,
            format!(
                "all {most} Idempotency-Keys that are kept at a time ([http] idempotency_keys) are in use; send the \
                 request later, or without a key"
            ),
            Some(FULL_RETRY),
        ),
    };
    let problem = Problem::new(kind, detail);
    Err(match retry {
        Some(seconds) => problem.retry_after(seconds),
        None => problem,
    })
}

/// Marks the answer as a replay.
pub(super) fn replayed(answered: &mut Answered) {
    let replayed = HeaderValue::from_static("true");
    answered.headers_mut().insert(REPLAYED, replayed);
}

/// The key of a request: an RFC 9651 string, or the bare characters.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(bad_key("is given several times"));
    }
    let text = value
        .to_str()
        .map_err(|_| bad_key("has characters that are not visible ASCII"))?;
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)
            .ok_or_else(|| bad_key("begins with a quote, and is no string in quotes"))?,
        // Nor is a list that a proxy joined from several headers.
        None if text.contains(['"', ',']) => {
            return Err(bad_key("has a quote or a comma; put it in quotes"));
        }
        None => text.to_owned(),
    };
    if key.is_empty() {
        return Err(bad_key("is empty"));
    }
    if key.len() > LONGEST {
        return Err(bad_key("is too long"));
    }
    if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(bad_key("has a space"));
    }
    Ok(Some(key))
}

/// The content of a string, from after its opening quote to its closing one, which must be the end.
fn unquoted(text: &str) -> Option<String> {
    let mut content = String::with_capacity(text.len());
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return characters.next().is_none().then_some(content),
            '\\' => match characters.next()? {
                escaped @ ('"' | '\\') => content.push(escaped),
                _ => return None,
            },
            other => content.push(other),
        }
    }
}

fn bad_key(what: &str) -> Problem {
    let detail = format!(
        "the Idempotency-Key {what}; send one of 1 to {LONGEST} visible ASCII characters, such as a UUID"
    );
    Problem::new(Kind::BadIdempotencyKey, detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(KEY, HeaderValue::from_bytes(value).unwrap());
        }
        key(&headers).map_err(|problem| problem.detail)
    }

    #[test]
    fn a_key_is_a_string_in_quotes_or_bare() {
        assert_eq!(read(&[]), Ok(None));
        let longest = "k".repeat(LONGEST);
        let in_quotes = format!("\"{longest}\"");
        for (sent, key) in [
            (
                "8e03978e-40d5-43e8-bc93-6894a57f9324",
                "8e03978e-40d5-43e8-bc93-6894a57f9324",
            ),
            (
                "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
                "8e03978e-40d5-43e8-bc93-6894a57f9324",
            ),
            ("k", "k"),
            ("a/b+c==;d:e", "a/b+c==;d:e"),
            (r#""a\"b\\c,d""#, r#"a"b\c,d"#),
            (&longest, &longest),
            (&in_quotes, &longest),
        ] {
            assert_eq!(read(&[sent.as_bytes()]), Ok(Some(key.to_owned())), "{sent}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        let too_long = "k".repeat(LONGEST + 1);
        let quoted_too_long = format!("\"{too_long}\"");
        for (sent, reason) in [
            (&b""[..], "is empty"),
            (b"\"\"", "is empty"),
            (b"a b", "has a space"),
            (b"\"a b\"", "has a space"),
            (b"a\tb", "has a space"),
            (b"k\xc3\xbc", "not visible ASCII"),
            (b"a,b", "a quote or a comma"),
            (b"a\"", "a quote or a comma"),
            (b"\"a", "no string in quotes"),
            (b"\"a\\", "no string in quotes"),
            (b"\"a\\n\"", "no string in quotes"),
            (b"\"a\"; p=1", "no string in quotes"),
            (b"\"a\", \"b\"", "no string in quotes"),
            (too_long.as_bytes(), "too long"),
            (quoted_too_long.as_bytes(), "too long"),
        ] {
            let refused = read(&[sent]).unwrap_err();
            assert!(refused.contains(reason), "{sent:?}: {refused}");
        }
        let twice = read(&[b"a", b"a"]).unwrap_err();
        assert!(twice.contains("several times"), "{twice}");
    }

    #[test]
    fn requests_differ_by_method_path_query_body_and_headers() {
        let named = |value: &str| vec![("x-tenant".to_owned(), value.to_owned())];
        let requests = [
            ("POST", "/a", "{}", named("acme")),
            ("PUT", "/a", "{}", named("acme")),
            ("POST", "/b", "{}", named("acme")),
            ("POST", "/a?b", "{}", named("acme")),
            ("POST", "/a", "{ }", named("acme")),
            ("POST", "/a{}", "", named("acme")),
            ("POST", "/a", "{}", named("globex")),
            ("POST", "/a", "{}", vec![]),
        ];
        let fingerprints: Vec<_> = (requests.iter())
            .map(|(method, path, body, metadata)| {
                let request = hyper::Request::builder().method(*method).uri(*path);
                let (head, ()) = request.body(()).unwrap().into_parts();
                let names = ["x-tenant".to_owned()];
                let asked = Asked {
                    head: &head,
                    caller: None,
                    names: &names,
                    metadata,
                };
                asked.fingerprint(body)
            })
            .collect();
        for (at, one) in fingerprints.iter().enumerate() {
            for (other_at, other) in fingerprints.iter().enumerate() {
                assert_eq!(one.is_repeat_of(&other.bytes()), at == other_at);
            }
        }
    }
}
