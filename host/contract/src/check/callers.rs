//! The check of the headers, claims and permissions that a participant asks for.

use std::collections::BTreeSet;

use super::Problems;
use crate::description::Description;

/// Most headers, claims, and permissions of a command.
const MOST: usize = 16;

/// Longest name, in bytes.
const LONGEST: usize = 128;

/// How the names of headers with secrets end, which a journal must not keep.
const SECRET: [&str; 22] = [
    "access-key",
    "access-token",
    "accesstoken",
    "api-key",
    "apikey",
    "assertion",
    "auth-token",
    "authorization",
    "cookie",
    "credential",
    "credentials",
    "csrf-token",
    "id-token",
    "oidc-data",
    "password",
    "private-token",
    "secret",
    "security-token",
    "session-token",
    "subscription-key",
    "vault-token",
    "xsrf-token",
];

/// Headers of the host's own, of the connection and of the body. Rules get what matters of them in
/// other ways, or it has no meaning for them.
const OWN: [&str; 43] = [
    "accept",
    "accept-encoding",
    "cache-control",
    "ce_causationid",
    "ce_correlationid",
    "ce_datacontenttype",
    "ce_dataversion",
    "ce_id",
    "ce_sagadigest",
    "ce_source",
    "ce_specversion",
    "ce_time",
    "ce_type",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expect",
    "host",
    "http2-settings",
    "idempotency-key",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "last-event-id",
    "max-forwards",
    "origin",
    "prefer",
    "proxy-authenticate",
    "proxy-connection",
    "range",
    "saga-correlation",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "www-authenticate",
];

/// Prefixes of such headers.
const OWN_PREFIXES: [&str; 2] = ["access-control-", "sec-"];

pub(super) fn check(description: &Description, found: &mut Problems) {
    names("metadata", "header", &description.metadata, found);
    for name in &description.metadata {
        if !name.bytes().all(is_of_header) {
            let reason = format!(
                "`{name}` is no name of a header: use lower-case letters, digits, `-`, `_`, `.`"
            );
            found.add("metadata", reason);
        }
        if SECRET.iter().any(|secret| ends_with(name, secret)) {
            let reason = format!(
                "`{name}` carries secrets, and messages are recorded: ask for claims of the caller instead"
            );
            found.add("metadata", reason);
        }
        let is_own = OWN.contains(&name.as_str())
            || OWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        if is_own {
            let reason = format!(
                "`{name}` is for the host, or for the connection, and not for rules: put what they need into a header \
                 of its own, or into the body"
            );
            found.add("metadata", reason);
        }
    }
    names("claims", "claim", &description.claims, found);
    for command in &description.commands {
        let place = format!("command {} requires", command.name);
        names(&place, "permission", &command.requires, found);
        for permission in &command.requires {
            // A token lists its permissions in one text, with spaces between them.
            if permission.contains(char::is_whitespace) {
                let reason =
                    format!("permission `{permission}` has a space in it: use `rooms:close`, say");
                found.add(&place, reason);
            }
        }
    }
}

fn names(place: &str, what: &str, names: &[String], found: &mut Problems) {
    if names.len() > MOST {
        let reason = format!("lists {} names, more than {MOST}", names.len());
        found.add(place, reason);
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() || name.len() > LONGEST {
            let reason = format!(
                "the name of a {what} has {} bytes: use 1 to {LONGEST}",
                name.len()
            );
            found.add(place, reason);
        }
        if !seen.insert(name) {
            found.add(place, format!("lists `{name}` twice"));
        }
    }
}

/// True if the name is these words, or ends with them.
fn ends_with(name: &str, words: &str) -> bool {
    let rest = name.strip_suffix(words);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with(['-', '_', '.']))
}

fn is_of_header(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
}
