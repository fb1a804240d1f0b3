//! A caller: its name, its permissions, its claims.

use std::collections::BTreeSet;

use saga_core::message::Caller;
use serde_json::{Map, Value};

/// Longest name of a caller, in bytes.
const SUBJECT_BYTES: usize = 255;

/// A caller whose token or proxy was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::http) struct CallerIdentity {
    /// Its name.
    pub(super) subject: String,
    /// Its permissions.
    pub(super) permissions: BTreeSet<String>,
    /// All that is said of it.
    pub(super) claims: Map<String, Value>,
    /// The time, in milliseconds since the Unix epoch, after which it is not valid any more.
    pub(super) expires: Option<u64>,
}

impl CallerIdentity {
    /// Its name.
    pub(in crate::http) fn subject(&self) -> &str {
        &self.subject
    }

    /// The caller as the rules see it, with the claims of these names.
    pub(in crate::http) fn caller(&self, names: &[String]) -> Caller {
        let claim = |name: &String| Some((name.clone(), self.claims.get(name)?.clone()));
        let claims: Map<String, Value> = names.iter().filter_map(claim).collect();
        Caller {
            subject: self.subject.clone(),
            claims: Value::from(claims).to_string(),
        }
    }

    /// The permissions of these that it lacks.
    pub(super) fn lacks<'p>(&self, requires: &'p [String]) -> Vec<&'p str> {
        let required = requires.iter().map(String::as_str);
        required
            .filter(|one| !self.permissions.contains(*one))
            .collect()
    }
}

/// Checks the name of a caller.
///
/// # Errors
/// The problem, as text that follows what the name was taken from.
pub(super) fn check_subject(subject: &str) -> Result<(), String> {
    if subject.is_empty() {
        return Err("is empty".into());
    }
    if subject.len() > SUBJECT_BYTES {
        return Err(format!("has more than {SUBJECT_BYTES} bytes"));
    }
    if subject.chars().any(char::is_control) {
        return Err("has control characters".into());
    }
    Ok(())
}

/// The permissions in a text, with one of these characters between each two.
pub(super) fn listed<'t>(
    text: &'t str,
    between: &'static [char],
) -> impl Iterator<Item = String> + 't {
    let permissions = text.split(between);
    permissions.filter(|one| !one.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ann() -> CallerIdentity {
        let Value::Object(claims) = json!({"sub": "ann", "tenant": 7, "email": "a@b.example"})
        else {
            unreachable!()
        };
        CallerIdentity {
            subject: "ann".into(),
            permissions: listed("orders:read  orders:cancel,admin", &[' ', ',']).collect(),
            claims,
            expires: None,
        }
    }

    #[test]
    fn the_rules_are_told_the_claims_that_they_name_and_no_others() {
        let names = ["tenant".to_owned(), "absent".to_owned()];
        let told = ann().caller(&names);
        assert_eq!((&*told.subject, &*told.claims), ("ann", r#"{"tenant":7}"#));
        assert_eq!(ann().caller(&[]).claims, "{}");
    }

    #[test]
    fn all_required_permissions_are_needed() {
        let of = |names: &[&str]| {
            names
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(ann().lacks(&of(&["orders:cancel", "admin"])), [""; 0]);
        let required = of(&["admin", "orders", "refunds"]);
        assert_eq!(ann().lacks(&required), ["orders", "refunds"]);
    }
}
