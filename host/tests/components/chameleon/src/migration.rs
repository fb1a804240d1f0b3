//! The migration of states of an older shape.

use crate::acts::{spin, trap};
use crate::settings::Settings;
use saga_sdk::bindings::saga::participant::types::Disposition;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// How `migrate` behaves.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Migrate {
    /// It keeps what the state says and adds the version that it came from: `"migrated_from":1`. A state
    /// that is no object becomes the member `old`.
    #[default]
    Ok,
    /// It answers `malformed`.
    Fail,
    /// It answers `malformed` for a state with all of these members, and is `ok` for others.
    FailIf(Map<String, Value>),
    /// It gives these members other names, and keeps the others.
    Rename(BTreeMap<String, String>),
    /// It answers `retry-later`.
    RetryLater,
    /// It answers text that is no JSON.
    Garbage,
    /// It traps.
    Trap,
    /// It never returns.
    Spin,
}

/// Brings a state of an older shape to the present one, or fails as the settings say. One of the present shape is read as
/// on a message, unless it is not to be looked at.
///
/// # Errors
/// As the settings say.
pub fn migrate(settings: &Settings, version: u32, state: &str) -> Result<String, Disposition> {
    if version == settings.state.version {
        if settings.state.decoded {
            settings.state.read(state).map_err(Disposition::Malformed)?;
        }
        return Ok(state.to_owned());
    }
    let failed = || {
        Err(Disposition::Malformed(format!(
            "the settings refuse to migrate from version {version}"
        )))
    };
    let old: Value =
        serde_json::from_str(state).map_err(|error| Disposition::Malformed(error.to_string()))?;
    match &settings.migrate {
        Migrate::Ok => Ok(migrated(version, old)),
        Migrate::Fail => failed(),
        Migrate::FailIf(members) => {
            let has_all = members
                .iter()
                .all(|(name, value)| old.get(name) == Some(value));
            if has_all {
                failed()
            } else {
                Ok(migrated(version, old))
            }
        }
        Migrate::Rename(names) => Ok(renamed(names, old)),
        Migrate::RetryLater => Err(Disposition::RetryLater("the settings say so".to_owned())),
        Migrate::Garbage => Ok("{not json".to_owned()),
        Migrate::Trap => trap(),
        Migrate::Spin => spin(),
    }
}

fn renamed(names: &BTreeMap<String, String>, old: Value) -> String {
    let Value::Object(members) = old else {
        return old.to_string();
    };
    let renamed = members.into_iter().map(|(name, value)| {
        let new = names.get(&name).cloned();
        (new.unwrap_or(name), value)
    });
    Value::Object(renamed.collect()).to_string()
}

fn migrated(version: u32, old: Value) -> String {
    let mut state = match old {
        Value::Object(members) => members,
        other => Map::from_iter([("old".to_owned(), other)]),
    };
    state.insert("migrated_from".to_owned(), json!(version));
    Value::Object(state).to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_state_says_where_it_came_from() {
        let settings = Settings::read(br#"{"state":{"version":2},"migrate":"ok"}"#);
        let state = migrate(&settings, 1, r#"{"count":3}"#).unwrap();
        assert_eq!(state, r#"{"count":3,"migrated_from":1}"#);
    }

    #[test]
    fn a_state_of_the_present_shape_is_read_unless_it_is_not_to_be_looked_at() {
        let state = r#"{"count":3}"#;
        let reading = |more: &str| {
            let text = format!(r#"{{"state":{{"needs":["total"]{more}}}}}"#);
            migrate(&Settings::read(text.as_bytes()), 1, state)
        };
        let error = Disposition::Malformed("missing field `total`".to_owned());
        assert_eq!(reading(""), Err(error));
        assert_eq!(reading(r#","decoded":false"#), Ok(state.to_owned()));
    }

    #[test]
    fn members_can_be_renamed() {
        let settings = Settings::read(br#"{"state":{"version":2},"migrate":{"rename":{"a":"b"}}}"#);
        let state = migrate(&settings, 1, r#"{"a":1.50,"c":2}"#).unwrap();
        assert_eq!(state, r#"{"b":1.50,"c":2}"#);
    }

    #[test]
    fn some_states_can_be_refused() {
        let settings =
            Settings::read(br#"{"state":{"version":2},"migrate":{"fail-if":{"count":3}}}"#);
        assert!(migrate(&settings, 1, r#"{"count":3,"by":"1"}"#).is_err());
        assert!(migrate(&settings, 1, r#"{"count":4,"by":"1"}"#).is_ok());
    }
}
