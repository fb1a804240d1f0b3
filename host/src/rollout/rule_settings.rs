//! The settings that an operator gives to the rules of a participant.
//!
//! They belong to a generation, beside its component: a change of settings is a swap, with the same
//! checks, record and way back. Rules get them over the default ones of their description.

use saga_contract::description::Description;
use saga_contract::json;
use saga_contract::schema::{out_of_range, write_integers};
use serde_json::{Number, Value};

use super::given_settings::{GivenSettings, hint};
pub use crate::base::generation::RuleSettings;
use saga_contract::values::Schema;

/// The settings of a candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum CandidateSettings {
    /// Those of the active generation, with these changes.
    Changed(SettingsChange),
    /// Exactly these, which an earlier generation had.
    Exactly(RuleSettings),
    /// Exactly these, which stand in the settings of the host.
    Configured(RuleSettings),
}

impl Default for CandidateSettings {
    fn default() -> Self {
        Self::Changed(SettingsChange::default())
    }
}

/// A change of settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SettingsChange {
    /// The settings that get a value.
    pub set: RuleSettings,
    /// The settings that get their default value again.
    pub unset: Vec<String>,
}

impl SettingsChange {
    /// True if it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.unset.is_empty()
    }

    /// The change as a JSON merge patch (RFC 7396): `null` for the default value.
    #[must_use]
    pub fn to_patch(&self) -> RuleSettings {
        let unset = self.unset.iter().map(|name| (name.clone(), Value::Null));
        self.set.clone().into_iter().chain(unset).collect()
    }

    /// Reads a JSON merge patch.
    #[must_use]
    pub fn of_patch(patch: RuleSettings) -> Self {
        let mut change = Self::default();
        for (name, value) in patch {
            match value {
                Value::Null => change.unset.push(name),
                value => {
                    change.set.insert(name, value);
                }
            }
        }
        change
    }
}

impl CandidateSettings {
    /// The settings with the places where they stand, given those of the active generation.
    #[must_use]
    pub fn given(&self, active: Option<&RuleSettings>) -> GivenSettings {
        let before = active.cloned().unwrap_or_default();
        self.given_over(&GivenSettings::from(before))
    }

    /// The settings with the places where they stand, given those before.
    #[must_use]
    pub fn given_over(&self, before: &GivenSettings) -> GivenSettings {
        let set = match self {
            Self::Changed(change) => change.set.keys().cloned().collect(),
            Self::Exactly(_) | Self::Configured(_) => Vec::new(),
        };
        let is_configured = match self {
            Self::Changed(_) => before.is_configured,
            Self::Exactly(_) => false,
            Self::Configured(_) => true,
        };
        GivenSettings {
            values: self.over(Some(&before.values)),
            set,
            is_configured,
        }
    }

    /// The settings, given those of the active generation.
    #[must_use]
    pub fn over(&self, active: Option<&RuleSettings>) -> RuleSettings {
        match self {
            Self::Exactly(settings) | Self::Configured(settings) => settings.clone(),
            Self::Changed(change) => {
                let mut settings = active.cloned().unwrap_or_default();
                settings.retain(|name, _| !change.unset.contains(name));
                settings.extend(change.set.clone());
                settings
            }
        }
    }
}

/// The values that a setting can have, in words.
pub const VALUES: &str =
    "a value that JSON has: true or false, a finite number, a text, a list or a table";

/// Reads a setting from the command line or the environment: a TOML value (`3`, `true`, `"30s"`,
/// `[1, 2]`), or else a text without quotes (`30s`). `None` as in [`from_toml`].
#[must_use]
pub fn value(text: &str) -> Option<Value> {
    let parsed: Result<toml::Table, _> = format!("value = {text}").parse();
    match parsed.map(|mut table| (table.remove("value"), table.is_empty())) {
        Ok((Some(value), true)) => from_toml(value),
        _ => Some(Value::from(text)),
    }
}

/// A TOML value as JSON; a date becomes a text. `None` if a number in it is infinite or `nan`, which
/// JSON does not have.
#[must_use]
pub fn from_toml(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => Number::from_f64(number)?.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => {
            let values = values.into_iter().map(from_toml);
            Value::Array(values.collect::<Option<_>>()?)
        }
        toml::Value::Table(table) => {
            let members = table.into_iter();
            let members = members.map(|(name, value)| Some((name, from_toml(value)?)));
            Value::Object(members.collect::<Option<_>>()?)
        }
    })
}

/// All settings of the rules as JSON text: the given ones over the default ones. `{}` for rules that
/// take none.
///
/// # Errors
/// The given settings that the rules don't have, and the values that their schema does not accept.
pub fn effective(description: &Description, given: &GivenSettings) -> Result<String, Vec<String>> {
    let Some(declared) = &description.settings else {
        return match given.values.keys().next() {
            None => Ok("{}".into()),
            Some(name) => Err(vec![format!(
                "`{name}` is given, but {} {} takes no settings; {}",
                description.name,
                description.version,
                given.advice(name, [].iter(), &description.name)
            )]),
        };
    };
    let default = json::parse(&declared.default).map_err(|reason| vec![reason])?;
    let Value::Object(mut settings) = default else {
        return Err(vec!["settings: the default is not an object".into()]);
    };
    let unknown: Vec<_> = (given.values.keys())
        .filter(|name| !settings.contains_key(*name))
        .map(|name| {
            let known: Vec<_> = settings.keys().map(|name| format!("`{name}`")).collect();
            format!(
                "{} {} has no setting `{name}`, only {}; {}",
                description.name,
                description.version,
                known.join(", "),
                given.advice(name, settings.keys(), &description.name)
            )
        })
        .collect();
    if !unknown.is_empty() {
        return Err(unknown);
    }
    settings.extend(given.values.clone());
    let mut settings = Value::Object(settings);
    let bytes = settings.to_string().len();
    let schema = Schema::compile(&declared.schema).map_err(|reason| vec![reason])?;
    schema.check(&settings, bytes).map_err(|error| {
        let places = error.places().into_iter();
        let shape = json::parse(&declared.schema).unwrap_or_default();
        let places = places.map(|place| {
            let hint = hint(&shape, &place.pointer);
            let hint = hint.map_or_else(String::new, |hint| format!("; {hint}"));
            wrong(&place.pointer, &format!("{}{hint}", place.detail))
        });
        places.collect::<Vec<_>>()
    })?;
    let beyond = out_of_range(&settings, &declared.schema);
    if !beyond.is_empty() {
        let places = beyond.iter();
        return Err(places.map(|(at, reason)| wrong(at, reason)).collect());
    }
    write_integers(&mut settings, &declared.schema);
    Ok(settings.to_string())
}

/// The reason why a setting, by its JSON pointer, is refused.
fn wrong(pointer: &str, reason: &str) -> String {
    let name = pointer.trim_start_matches('/').replace('/', ".");
    match name.as_str() {
        "" => format!("settings: {reason}"),
        name => format!("setting `{name}`: {reason}"),
    }
}

/// Settings as an operator would write them: `answer_timeout = "30s", size = 3`.
#[must_use]
pub fn told(settings: &RuleSettings) -> String {
    let settings = settings.iter();
    let settings: Vec<_> = settings
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    settings.join(", ")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use serde_json::json;

    use super::*;
    use saga_contract::description::SettingsDescription;
    use saga_testkit::description::description;

    fn described(settings: Option<(Value, Value)>) -> Description {
        Description {
            settings: settings.map(|(schema, default)| SettingsDescription {
                schema: schema.to_string(),
                default: default.to_string(),
            }),
            ..description("clerk")
        }
    }

    fn given(settings: Value) -> RuleSettings {
        settings.as_object().cloned().unwrap()
    }

    fn patient() -> Description {
        let schema = json!({"type": "object", "properties": {
            "patience": {"type": "integer", "minimum": 1},
            "greeting": {"type": "string", "examples": ["hello"]},
        }});
        described(Some((schema, json!({"patience": 3, "greeting": "hello"}))))
    }

    #[test]
    fn given_settings_replace_the_default_ones() {
        let effective = |settings| effective(&patient(), &given(settings).into()).unwrap();
        let read = |text: String| serde_json::from_str::<Value>(&text).unwrap();
        let default = json!({"patience": 3, "greeting": "hello"});
        assert_eq!(read(effective(json!({}))), default);
        assert_eq!(
            read(effective(json!({"patience": 9}))),
            json!({"patience": 9, "greeting": "hello"})
        );
        let none = super::effective(&described(None), &GivenSettings::default());
        assert_eq!(none.unwrap(), "{}");
    }

    #[test]
    fn a_wrong_setting_is_named_with_what_is_wrong() {
        let error = |description: &Description, settings| {
            effective(description, &given(settings).into())
                .unwrap_err()
                .join("\n")
        };
        let told = error(&patient(), json!({"patients": 9}));
        assert!(
            told.contains(
                "no setting `patients`, only `greeting`, `patience`; it was given before, and --unset patients removes it"
            ),
            "{told}"
        );
        let told = error(&patient(), json!({"patience": 0, "greeting": 1}));
        assert!(
            told.contains("setting `patience`: ") && told.contains("setting `greeting`: "),
            "{told}"
        );
        assert!(
            told.contains("\"string\"; write a value such as hello"),
            "{told}"
        );
        let told = error(&described(None), json!({"patience": 1}));
        let says = "takes no settings; it was given before, and --unset patience removes it";
        assert!(told.contains(says), "{told}");
    }

    #[test]
    fn a_change_starts_from_the_active_settings() {
        let active = given(json!({"a": 1, "b": 2}));
        let change = CandidateSettings::Changed(SettingsChange {
            set: given(json!({"c": 3, "b": 4})),
            unset: vec!["a".into()],
        });
        assert_eq!(change.over(Some(&active)), given(json!({"b": 4, "c": 3})));
        let told = change.given(Some(&active));
        assert_eq!(
            (told.set, told.is_configured),
            (vec!["b".into(), "c".into()], false)
        );
        let configured = CandidateSettings::Configured(given(json!({"z": 1})));
        assert!(configured.given(Some(&active)).is_configured);
        let exactly = CandidateSettings::Exactly(given(json!({"z": 1})));
        assert_eq!(exactly.over(Some(&active)), given(json!({"z": 1})));
        assert_eq!(CandidateSettings::default().over(Some(&active)), active);
    }

    #[test]
    fn a_change_is_a_merge_patch() {
        let patch = given(json!({"a": 1, "b": null}));
        let change = SettingsChange::of_patch(patch.clone());
        assert_eq!(
            (&change.set, &change.unset),
            (&given(json!({"a": 1})), &vec!["b".into()])
        );
        assert_eq!(change.to_patch(), patch);
    }

    #[test]
    fn a_value_is_toml_or_a_text() {
        for (text, expected) in [
            ("3", json!(3)),
            ("true", json!(true)),
            ("\"30s\"", json!("30s")),
            ("30s", json!("30s")),
            ("[1, 2]", json!([1, 2])),
            ("{ a = 1 }", json!({"a": 1})),
            ("1\nb = 2", json!("1\nb = 2")),
            ("", json!("")),
            ("nano", json!("nano")),
            ("\"inf\"", json!("inf")),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_number_that_json_does_not_have_is_no_value() {
        for text in [
            "nan",
            "-nan",
            "inf",
            "+inf",
            "-inf",
            "[1, nan]",
            "{ a = inf }",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn a_number_that_rules_can_not_read_is_refused() {
        let schema = json!({"type": "object", "properties": {
            "most": {"type": "integer", "format": "uint64", "minimum": 0},
            "rate": {"type": "number", "format": "double"},
        }});
        let clerk = described(Some((schema, json!({"most": 3, "rate": 1.5}))));
        for (text, says) in [
            (
                r#"{"most": 18446744073709551616}"#,
                "setting `most`: 18446744073709551616 is out of range: give a whole number from 0 to 18446744073709551615",
            ),
            (
                r#"{"rate": -1e400}"#,
                "setting `rate`: -1e+400 is out of range: give a number from -1.79",
            ),
        ] {
            let told = effective(&clerk, &given(json::parse(text).unwrap()).into()).unwrap_err();
            assert!(told.len() == 1 && told[0].starts_with(says), "{told:?}");
        }
    }

    #[test]
    fn rules_get_integers_in_the_notation_of_integers() {
        let given = given(json::parse(r#"{"patience": 9.0}"#).unwrap());
        let told = effective(&patient(), &given.into()).unwrap();
        assert!(
            told.contains(r#""patience":9"#) && !told.contains("9.0"),
            "{told}"
        );
        let schema = json!({"type": "object", "properties": {"count": {"type": "integer"}}});
        let clerk = described(Some((schema, json!({"count": 3}))));
        let zero = json::parse(r#"{"count": -0}"#).unwrap();
        let told = effective(&clerk, &zero.as_object().unwrap().clone().into()).unwrap();
        assert_eq!(told, r#"{"count":0}"#);
    }
}
