//! One section of the settings, read as its struct declares it: the field gives the name and the
//! type, its `range` the bounds, its `enum` or the variants of its type the allowed words, and the
//! section's default the value if none is given.
//!
//! Fields of other types (a nested section, a map) keep their defaults: the caller reads them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::reader::SettingsReader;

/// Reads the section at this path.
pub(super) fn section<T>(reader: &mut SettingsReader, path: &[&str], default: T) -> T
where
    T: Serialize + DeserializeOwned + JsonSchema,
{
    section_with(reader, path, default, |_, _| Ok(()))
}

/// The same with a check beyond the schema: it gets a setting's name and value and returns the
/// problem.
pub(super) fn section_with<T>(
    reader: &mut SettingsReader,
    path: &[&str],
    default: T,
    check: impl Fn(&str, &Value) -> Result<(), String>,
) -> T
where
    T: Serialize + DeserializeOwned + JsonSchema,
{
    let settings = SchemaSettings::draft2020_12().with(|how| how.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let (declared, written) = (schema.get("properties"), serde_json::to_value(&default));
    let (Some(Value::Object(declared)), Ok(Value::Object(mut values))) = (declared, written) else {
        return default;
    };
    for (name, declared) in declared {
        let at: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
        if let Some(value) = given(reader, &at, declared, |value| check(name, value)) {
            values.insert(name.clone(), value);
        }
    }
    // A value within the declared bounds of its field is a valid value of the field's type.
    serde_json::from_value(values.into()).unwrap_or_else(|error| {
        reader.problem(format!("{}: {error}", path.join(".")));
        default
    })
}

/// Reads the one of a few words at this path, as their type declares them.
pub(super) fn choice<T>(reader: &mut SettingsReader, path: &[&str], default: T) -> T
where
    T: DeserializeOwned + JsonSchema,
{
    let settings = SchemaSettings::draft2020_12().with(|how| how.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    let found = given(reader, path, schema.as_value(), |_| Ok(()));
    let found = found.and_then(|value| serde_json::from_value(value).ok());
    found.unwrap_or(default)
}

/// The setting at this path, if it is present and valid.
fn given(
    reader: &mut SettingsReader,
    at: &[&str],
    declared: &Value,
    check: impl Fn(&Value) -> Result<(), String>,
) -> Option<Value> {
    let bound = |keyword| declared.get(keyword).and_then(Value::as_i64);
    let variants = declared.get("oneOf").and_then(Value::as_array);
    let kind = match variants {
        Some(_) => "string",
        None => declared.get("type")?.as_str()?,
    };
    match kind {
        "integer" => {
            let least = bound("minimum").unwrap_or(i64::MIN);
            let most = bound("maximum").unwrap_or(i64::MAX);
            let bounded = |number: &i128| {
                let number = i64::try_from(*number).ok();
                let number = number.filter(|number| (least..=most).contains(number));
                number.map(Value::from)
            };
            let found = reader.find(at, |number: &i128| match bounded(number) {
                Some(value) => check(&value),
                None if least >= 0 && *number < 0 => Err("is not a whole number".into()),
                None => Err(format!("is not between {least} and {most}")),
            });
            found.as_ref().and_then(bounded)
        }
        "boolean" => reader.find(at, |_: &bool| Ok(())).map(Value::from),
        "string" => {
            let listed = declared.get("enum").and_then(Value::as_array);
            let listed = listed.into_iter().flatten();
            let variants = variants.into_iter().flatten();
            let words: Vec<_> = listed
                .chain(variants.filter_map(|variant| variant.get("const")))
                .filter_map(Value::as_str)
                .collect();
            let found = reader.find(at, |text: &String| {
                if !words.is_empty() && !words.contains(&text.as_str()) {
                    return Err(format!("is none of: {}", words.join(", ")));
                }
                check(&Value::from(text.as_str()))
            });
            found.map(Value::from)
        }
        "array" => {
            let found = reader.find(at, |texts: &Vec<String>| check(&Value::from(texts.clone())));
            found.map(Value::from)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{EmbeddedSettings, HttpSettings};
    use crate::http::auth::settings::AuthSettings;
    use crate::kafka::KafkaSettings;
    use crate::plugin::{CompileLimits, GuestLimits};
    use crate::rollout::settings::{GateSettings, ReloadSettings};
    use crate::stages::ProgressSettings;
    use crate::store::{ParkedLimits, StoreSettings};
    use saga_core::limits::TurnLimits;
    use saga_core::retry::RetryPolicy;

    /// The unbounded numbers of a section.
    fn unbounded<T: JsonSchema>() -> Vec<String> {
        let settings = SchemaSettings::draft2020_12().with(|how| how.inline_subschemas = true);
        let schema = settings.into_generator().into_root_schema_for::<T>();
        let declared = schema.get("properties").and_then(Value::as_object);
        let is_unbounded = |one: &Value| {
            let bounds = ["minimum", "maximum"].map(|bound| one.get(bound).and_then(Value::as_i64));
            one.get("type") == Some(&"integer".into()) && bounds.contains(&None)
        };
        let declared = declared.into_iter().flatten();
        declared
            .filter(|(_, one)| is_unbounded(one))
            .map(|(name, _)| name.clone())
            .collect()
    }

    #[test]
    fn every_number_that_can_be_set_has_bounds() {
        let all = [
            unbounded::<AuthSettings>(),
            unbounded::<CompileLimits>(),
            unbounded::<EmbeddedSettings>(),
            unbounded::<GateSettings>(),
            unbounded::<GuestLimits>(),
            unbounded::<HttpSettings>(),
            unbounded::<KafkaSettings>(),
            unbounded::<ParkedLimits>(),
            unbounded::<ProgressSettings>(),
            unbounded::<ReloadSettings>(),
            unbounded::<RetryPolicy>(),
            unbounded::<StoreSettings>(),
            unbounded::<TurnLimits>(),
        ];
        assert_eq!(all.concat(), [""; 0]);
    }
}
