//! The headers of a record that an operator publishes: the version of its event, and those that
//! rules ask for.

use std::collections::BTreeMap;

use saga_core::record::{Attributes, header};

use super::publish::{BY, Taker};
use crate::apidocs::problems::Kind;
use crate::http::problem::Problem;

/// Most headers; rules of one participant ask for sixteen at most.
const MOST: usize = 64;

/// Longest name, in bytes; that of a header that rules can ask for.
const LONGEST: usize = 128;

/// Headers that no request gives: the host writes them, or their own members of a request do.
const WRITTEN: [&str; 5] = [
    header::SPEC_VERSION,
    header::TIME,
    header::DATA_VERSION,
    header::CONTENT_TYPE,
    BY,
];

/// Checks what has to hold for the headers of every record, whoever takes it.
pub(super) fn check(headers: &BTreeMap<String, String>) -> Result<(), Problem> {
    let refused = |detail: String| Err(Problem::new(Kind::RecordRefused, detail));
    if headers.len() > MOST {
        let detail = format!("{} headers are over the limit of {MOST}", headers.len());
        return refused(detail);
    }
    let attributes = Attributes::default();
    let named = attributes.named().map(|(name, _)| name);
    let mut seen = Vec::new();
    for name in headers.keys() {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() || name.len() > LONGEST || !name.bytes().all(is_plain) {
            let detail = format!(
                "`{name}` is no name of a header: use 1 to {LONGEST} letters, digits, `-`, `_`, `.`"
            );
            return refused(detail);
        }
        let is_it = |other: &&str| other.eq_ignore_ascii_case(name);
        if named.iter().chain(&WRITTEN).any(is_it) {
            return refused(reserved(name));
        }
        if seen.iter().any(is_it) {
            return refused(format!("the header `{name}` is given twice"));
        }
        seen.push(name.as_str());
    }
    Ok(())
}

fn reserved(name: &str) -> String {
    let member = match name.to_ascii_lowercase().as_str() {
        header::ID => "`id` (`--id`)",
        header::SOURCE => "`source` (`--source`)",
        header::TYPE => "`type` (`--type`)",
        header::CORRELATION => "`correlation` (`--correlation`)",
        header::DATA_VERSION => "`version` (`--event-version`)",
        _ => return format!("the host alone writes the header `{name}`"),
    };
    format!("the header `{name}` is given by {member}")
}

/// The reasons why a header reaches nobody: no participant that takes the record asks for it.
pub(super) fn unasked(
    headers: &BTreeMap<String, String>,
    takers: &[Taker],
    participants: &[String],
) -> Vec<String> {
    let takers = takers.iter();
    let takers = takers.filter(|taker| participants.contains(&taker.participant));
    let mut asked: Vec<_> = takers
        .flat_map(|taker| taker.active.description().metadata.clone())
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let is_asked = |name: &&String| asked.iter().any(|other| other.eq_ignore_ascii_case(name));
    let unasked = headers.keys().filter(|name| !is_asked(name));
    let by = participants.join(" and ");
    let others = match asked.is_empty() {
        true => "none".to_owned(),
        false => asked.join(", "),
    };
    unasked
        .map(|name| format!("nobody asks for the header `{name}` (asked for by {by}: {others})"))
        .collect()
}

/// The version of the event unless one is given: the present one of the participants that take it.
/// `None` if nobody takes it.
pub(super) fn present_version(
    takers: &[Taker],
    event_type: Option<&str>,
) -> Result<Option<u32>, Problem> {
    let mut versions = BTreeMap::<u32, Vec<&str>>::new();
    for taker in takers {
        let description = taker.active.description();
        let subscription = description.subscription(&taker.declared_topic, event_type);
        if let Some(subscription) = subscription {
            let of = versions.entry(subscription.version).or_default();
            of.push(&taker.participant);
        }
    }
    if versions.len() < 2 {
        return Ok(versions.into_keys().next());
    }
    let versions = versions.into_iter();
    let versions: Vec<_> = versions
        .map(|(version, of)| format!("{} version {version}", of.join(" and ")))
        .collect();
    let detail = format!(
        "the present versions of the event differ ({}); give the record a `version` (`--event-version`)",
        versions.join(", ")
    );
    Err(Problem::new(Kind::RecordRefused, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(names: &[&str]) -> Option<String> {
        let headers = names
            .iter()
            .map(|name| ((*name).to_owned(), "x".to_owned()));
        check(&headers.collect())
            .err()
            .map(|problem| problem.detail)
    }

    #[test]
    fn a_header_that_is_written_otherwise_is_refused() {
        assert_eq!(detail(&["x-tenant", "ce_subject"]), None);
        for (name, says) in [
            ("ce_id", "is given by `id` (`--id`)"),
            ("CE_Type", "is given by `type` (`--type`)"),
            (
                "ce_dataversion",
                "is given by `version` (`--event-version`)",
            ),
            ("traceparent", "the host alone writes"),
            ("saga-published-by", "the host alone writes"),
            ("Content-Type", "the host alone writes"),
            ("", "is no name of a header"),
            ("a b", "is no name of a header"),
            ("a\n", "is no name of a header"),
        ] {
            let told = detail(&[name]).unwrap_or_default();
            assert!(told.contains(says), "{name}: {told}");
        }
        let twice = detail(&["X-Tenant", "x-tenant"]).unwrap_or_default();
        assert!(twice.contains("`x-tenant` is given twice"), "{twice}");
        let many: Vec<_> = (0..=MOST).map(|number| format!("h{number}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(detail(&many).is_some_and(|told| told.contains("over the limit of 64")));
        assert_eq!(detail(&many[1..]), None);
    }
}
