//! The kinds of the host's own problems: one table, from which answers, pages, the OpenAPI document
//! and `docs/problems.md` follow.
//!
//! Refusals of the rules are not in it: they are in the component's description. Must not know:
//! when a problem occurs.

use std::fmt::Write as _;

/// Declares [`Kind`] from rows of: name, word, status, meaning, remedy.
macro_rules! kinds {
    ($($name:ident $word:literal $status:literal: $meaning:literal, $remedy:literal;)*) => {
        /// A kind of problem.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $meaning] $name,)*
        }

        impl Kind {
            /// Every kind, by status and word.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            fn row(self) -> (&'static str, u16, &'static str, &'static str) {
                match self {
                    $(Self::$name => ($word, $status, $meaning, $remedy),)*
                }
            }
        }
    };
}

kinds! {
    BadCorrelation "bad-correlation" 400:
        "The header `Saga-Correlation` is not one id of 1 to 255 visible ASCII characters, or was sent more than once.",
        "Send the `Saga-Correlation` of an earlier answer, an id of your own, or none.";
    BadCursor "bad-cursor" 400:
        "The `cursor` is none of this list with these filters.",
        "Take it from `next` of the page before, and leave the other parameters as they were; without it the list begins again.";
    BadHead "bad-head" 400:
        "The head of the request can't be read, or does not name one host.",
        "Send one header `Host` (in HTTP/2 `:authority`), and a head as HTTP has it.";
    BadHeader "bad-header" 400:
        "A header that the rules ask for is too long, or not visible ASCII characters and spaces.",
        "Shorten or encode its value, or leave the header out.";
    BadIdempotencyKey "bad-idempotency-key" 400:
        "The header `Idempotency-Key` is not one key of 1 to 255 visible ASCII characters, or was sent more than once.",
        "Send one key of your making, a UUID for example.";
    BadJson "bad-json" 400:
        "The body is empty, not UTF-8, not JSON, or has two members of one name in an object.",
        "Send a JSON text in UTF-8; the detail says where reading stopped.";
    BadPath "bad-path" 400:
        "A parameter in the path is empty, longer than a key may be, or not percent-encoded UTF-8.",
        "Encode the parameter's UTF-8 bytes as `%XX`, and shorten it if need be.";
    BadQuery "bad-query" 400:
        "The query of the URL is not one that is known here.",
        "Leave it out, or write it as the detail says.";
    BodyBroken "body-broken" 400:
        "The connection broke off, or the framing of the body was wrong, before all of it had arrived.",
        "Send the request again.";
    Malformed "malformed" 400:
        "The rules can't make sense of the request, although it is as its schema says.",
        "Change the request as the detail says.";
    CallerMissing "caller-missing" 401:
        "The request must say who sends it, and does not.",
        "Send a token of the host's issuer as `Authorization: Bearer TOKEN`; where a proxy says who calls, send the request through it.";
    CallerRefused "caller-refused" 401:
        "The token, or the identity that a proxy states, is not valid here; the detail and `WWW-Authenticate` say why.",
        "Get a new token from the host's issuer, for the host's audience, and send it once.";
    Unauthorized "unauthorized" 401:
        "The admin interface asks for a token, and none or another one was shown.",
        "Send the host's token as `Authorization: Bearer TOKEN` (`--token-file` or SAGA__ADMIN__TOKEN for `saga apply` and the like).";
    ForeignHost "foreign-host" 403:
        "The host that the request names is none of this listener's: a listener on loopback serves the names of loopback and those in `http.hosts`; the admin interface without a token only the former.",
        "Ask at localhost or 127.0.0.1, or add the name to `http.hosts`; for the admin interface set `admin.token_file`.";
    ForeignOrigin "foreign-origin" 403:
        "A web page of another origin sent the request (`Origin`, `Sec-Fetch-Site`), and may not; the admin interface without a token takes no requests of web pages.",
        "Add the page's origin to `http.cors_origins` if it may send commands; for the admin interface set `admin.token_file`.";
    PermissionMissing "permission-missing" 403:
        "The caller lacks a permission that the command or the read requires.",
        "Ask for a token with the permissions that the detail names; the API document lists them for each operation.";
    MetricsOff "metrics-off" 404:
        "Nothing is counted: metrics are off.",
        "Set `metrics.enabled = true` and start the host again.";
    NoSuchRoute "no-such-route" 404:
        "Nothing is served at this path.",
        "Compare the path with the API document; a swap of the rules may have added or removed routes.";
    UnknownDeadLetter "unknown-dead-letter" 404:
        "The participant has no dead letter of this number.",
        "Look at `saga dead-letters list`; add `--ended` for those that were decided or discarded.";
    UnknownGeneration "unknown-generation" 404:
        "No generation of the participant fits what was asked for.",
        "Look at `saga generations`, and name one by the beginning of its digest.";
    UnknownParticipant "unknown-participant" 404:
        "The host runs no participant of this name.",
        "Look at `saga generations` for the names.";
    UnknownTopic "unknown-topic" 404:
        "The embedded log has no such topic or partition, or no participant of the host subscribes to the topic.",
        "Take one of those that the detail names.";
    MethodNotAllowed "method-not-allowed" 405:
        "The path is served, but not with this method.",
        "Use one of the methods in the header `Allow`.";
    BodyTooSlow "body-too-slow" 408:
        "The body did not arrive in time.",
        "Send the request again, over a better line.";
    Blocked "blocked" 409:
        "An earlier message of the aggregate could not be decided and is a dead letter; later ones wait behind it, and commands that would change the aggregate are not taken.",
        "Tell the operator: `saga dead-letters list` shows it, `redrive` or `discard` ends the wait. Then send the request again.";
    DeadLetterEnded "dead-letter-ended" 409:
        "The dead letter was decided or discarded before.",
        "Nothing is left to do; `saga dead-letters show` says what was done with it.";
    IdempotencyKeyInUse "idempotency-key-in-use" 409:
        "The first request with this `Idempotency-Key` is still being answered.",
        "Send the same request again after the seconds in `Retry-After`: it is then answered as the first was.";
    NotQuarantined "not-quarantined" 409:
        "The aggregate is not quarantined; nothing was changed.",
        "Look at `saga quarantine list` for the keys of those that are.";
    BodyTooLarge "body-too-large" 413:
        "The body is longer than the host takes.",
        "Send less; the detail names the limit, which `http.body_bytes` sets (`admin.component_bytes` for components).";
    UriTooLong "uri-too-long" 414:
        "The address of the request is longer than the host reads.",
        "Shorten it, the query first.";
    UnsupportedEncoding "unsupported-encoding" 415:
        "The body is compressed (`Content-Encoding`), and the host reads only what is not.",
        "Send the body as it is, without `Content-Encoding`.";
    UnsupportedMediaType "unsupported-media-type" 415:
        "The body is not announced as JSON; or a `POST` without a body has no header that the pages of other origins can't send.",
        "Send `Content-Type: application/json`; a `POST` without a body may have an `Idempotency-Key` instead.";
    ComponentRefused "component-refused" 422:
        "The component did not pass its checks; the rules that ran before go on.",
        "Correct what `reasons` lists; `saga verify` does the same checks without a host. `allowed_by` names the flags that override this (`drop-used`, `allow-breaking`, `acknowledge=HASH`).";
    DeadLetterRefused "dead-letter-refused" 422:
        "The active rules can't be offered the dead letter as it is; nothing was changed.",
        "Give a corrected value (`saga dead-letters redrive --edit FILE`), apply rules that take it, or discard it.";
    IdempotencyKeyReused "idempotency-key-reused" 422:
        "The `Idempotency-Key` was sent before, with another method, path or body, or with other headers that the rules ask for.",
        "Take a new key for each new request; repeat a request exactly as it was.";
    InvalidBody "invalid-body" 422:
        "The body is JSON, but not as the schema of the request says.",
        "Correct the places that `errors` lists.";
    RecordRefused "record-refused" 422:
        "The participants that read the topic could not take the record as it is; nothing was published.",
        "Correct what `reasons` lists. `saga publish --unchecked` publishes a record that nobody can take all the same.";
    HeadTooLarge "head-too-large" 431:
        "The head of the request has more bytes or headers than the host reads.",
        "Send fewer and shorter headers.";
    AnswerFailed "answer-failed" 500:
        "What would have been answered can't be written as JSON.",
        "Report it: it is a mistake of the host.";
    CheckFailed "check-failed" 500:
        "The body could not be checked against its schema; nothing was changed.",
        "Report it, with the body: it is a mistake of the host.";
    RulesBroke "rules-broke" 500:
        "The rules trapped, overran a limit or answered nonsense; nothing was changed.",
        "Report it to the author of the rules. The detail names the kind of break; if the rules trapped, the host's log has the reason under the `id` in the detail.";
    SwapFailed "swap-failed" 500:
        "Rules could not be swapped for a reason that is not the component's; those that ran before go on.",
        "See the detail and the host's log, then try again.";
    NoEmbeddedLog "no-embedded-log" 501:
        "Records travel over Kafka, so the host has no log of its own to read or to publish to.",
        "Use Kafka's own tools: kafka-console-consumer, kafka-console-producer, kcat, or those of the broker.";
    Busy "busy" 503:
        "As many swaps wait as the host lets wait.",
        "Try again after the seconds in `Retry-After`.";
    KeysMissing "keys-missing" 503:
        "The host could not load the keys that check tokens since it started, so it recognizes no caller.",
        "Try again after the seconds in `Retry-After`; the operator sees the cause in `/readyz` and the log.";
    OutcomeUnknown "outcome-unknown" 503:
        "The turn of the command was not over in time, because the store or the rules stand still: it may take effect yet, or have done so.",
        "Send the same request again under the same `Idempotency-Key`: it takes effect once, and is answered 409 until the outcome is known. Without a key, look at the aggregate first.";
    Quarantined "quarantined" 503:
        "The rules can't read the state of the aggregate, so it is quarantined: its events and timers are parked, nothing is lost.",
        "Tell the operator, and try again when rules that can read the state are active; `saga generations` lists what is quarantined.";
    StoreFailed "store-failed" 503:
        "The store could not be written; nothing was changed.",
        "Try again after the seconds in `Retry-After`; the operator sees the cause in `/readyz` and the log.";
    StoreUnusable "store-unusable" 503:
        "The store is damaged, or its files are gone; nothing is kept.",
        "Do not repeat the request before the operator has acted: `/readyz` and the log say what to do.";
    TooManyBytes "too-many-bytes" 503:
        "Requests in flight and answers that clients have not taken hold as many bytes as the host lets them.",
        "Try again after the seconds in `Retry-After`; the operator may raise `http.memory_bytes`.";
    TooManyIdempotencyKeys "too-many-idempotency-keys" 503:
        "As many idempotency keys are kept as the host keeps, so no request with a new one is taken.",
        "Try again later, when old keys have expired; the operator may raise `http.idempotency_keys`.";
    TooManyWait "too-many-wait" 503:
        "As many requests wait for changes as the host lets wait, so no further one may follow an aggregate.",
        "Try again after the seconds in `Retry-After`, or read without waiting; close streams that nobody needs.";
    TryLater "try-later" 503:
        "The request can't be taken at the moment: too many wait, the rules ask for patience, the machine lacks memory, or the host is being drained.",
        "Try again after the seconds in `Retry-After`.";
}

impl Kind {
    /// The kind with this word.
    #[must_use]
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// Its stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        self.row().0
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> u16 {
        self.row().1
    }

    /// True if only the admin interface answers with it.
    #[must_use]
    pub fn is_of_admin_only(self) -> bool {
        matches!(
            self,
            Self::AnswerFailed
                | Self::Busy
                | Self::ComponentRefused
                | Self::DeadLetterEnded
                | Self::DeadLetterRefused
                | Self::MetricsOff
                | Self::NoEmbeddedLog
                | Self::NotQuarantined
                | Self::RecordRefused
                | Self::SwapFailed
                | Self::Unauthorized
                | Self::UnknownDeadLetter
                | Self::UnknownGeneration
                | Self::UnknownParticipant
                | Self::UnknownTopic
        )
    }

    /// Its meaning, for the client. Words in backticks are literal.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().2
    }

    /// The remedy. Words in backticks are literal.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.row().3
    }
}

/// The path of the page of a problem, below this base path; the `type` of the problem.
#[must_use]
pub fn page(base_path: &str, word: &str) -> String {
    format!("{base_path}/problems/{}", percent_encode(word))
}

/// A word as a title: `credit-limit-exceeded` → `Credit limit exceeded`.
#[must_use]
pub fn title(word: &str) -> String {
    let mut title = word.replace(['-', '_'], " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

/// A text percent-encoded as one segment of a path.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        // The unreserved characters of RFC 3986.
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            // Writing to a text can't fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_in_order_and_their_words_are_words() {
        let order: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| (kind.status(), kind.word()))
            .collect();
        assert!(order.is_sorted_by(|a, b| a < b), "{order:?}");
        for kind in Kind::ALL {
            let word = kind.word();
            assert!(
                word.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{word}"
            );
            assert_eq!(Kind::of(word), Some(*kind));
            assert!((400..600).contains(&kind.status()), "{word}");
            for text in [kind.meaning(), kind.remedy()] {
                assert!(text.ends_with('.'), "{word}: {text}");
                assert_eq!(text.matches('`').count() % 2, 0, "{word}: {text}");
            }
        }
        assert_eq!(Kind::of("no-such-kind"), None);
    }

    #[test]
    fn a_word_of_any_component_is_one_segment_of_a_path() {
        assert_eq!(page("/a/b", "not-found"), "/a/b/problems/not-found");
        assert_eq!(page("", "a/b ü"), "/problems/a%2Fb%20%C3%BC");
        assert_eq!(title("credit-limit_exceeded"), "Credit limit exceeded");
        assert_eq!(title("über"), "über");
    }
}
