//! What a participant asks to know of senders and callers: headers, claims and permissions.

use std::collections::BTreeSet;

use super::Problems;
use crate::description::Description;

/// Most headers, claims, and permissions of a command.
const MOST: usize = 16;

/// Longest name, in bytes.
const LONGEST: usize = 128;

/// Headers with secrets, which a journal must not keep.
const SECRET: [&str; 4] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
];

pub(super) fn check(description: &Description, found: &mut Problems) {
    names("metadata", "header", &description.metadata, found);
    for name in &description.metadata {
        if !name.bytes().all(is_of_header) {
            let reason = format!(
                "`{name}` is no name of a header: use lower-case letters, digits, `-`, `_`, `.`"
            );
            found.add("metadata", reason);
        }
        if SECRET.contains(&name.as_str()) {
            let reason = format!(
                "`{name}` carries secrets, and messages are recorded: ask for claims of the caller instead"
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

fn is_of_header(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte)
}
