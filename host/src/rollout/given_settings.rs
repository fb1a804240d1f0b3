//! Settings that are given to rules, with the places where they stand, and what to do about wrong
//! ones.

use saga_contract::near::is_near;
use saga_contract::schema::places;
use serde_json::Value;

use super::rule_settings::RuleSettings;

/// Most names that are suggested for a misspelt one.
const SUGGESTED: usize = 3;

/// Most values of a schema that are quoted.
const EXAMPLES: usize = 2;

/// Settings, with the places where they stand.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GivenSettings {
    /// The values by name.
    pub values: RuleSettings,
    /// The names that this request sets; `--set` on the command line.
    pub set: Vec<String>,
    /// True if the others stand in the settings of the host; otherwise they were given before.
    pub is_configured: bool,
}

impl From<RuleSettings> for GivenSettings {
    /// Settings that were given before.
    fn from(values: RuleSettings) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }
}

impl GivenSettings {
    /// The settings of a participant in the settings of the host.
    #[must_use]
    pub fn configured(values: RuleSettings) -> Self {
        Self {
            is_configured: true,
            ..Self::from(values)
        }
    }

    /// What to do about a setting that the rules don't have, given those that they have.
    pub(super) fn advice<'k>(
        &self,
        name: &str,
        known: impl Iterator<Item = &'k String>,
        participant: &str,
    ) -> String {
        let near = known.filter(|known| is_near(known, name)).take(SUGGESTED);
        let near: Vec<_> = near.map(|name| format!("`{name}`")).collect();
        let meant = match near.is_empty() {
            true => None,
            false => Some(format!("did you mean {}?", near.join(" or "))),
        };
        let section = format!("[participants.{participant}.rules] of the settings");
        match (self.set.iter().any(|set| set == name), meant) {
            (true, Some(meant)) => format!("--set {name}: {meant}"),
            (true, None) => format!("leave out --set {name}"),
            (false, Some(meant)) if self.is_configured => format!("in {section}: {meant}"),
            (false, None) if self.is_configured => format!("remove it from {section}"),
            (false, _) => format!("it was given before, and --unset {name} removes it"),
        }
    }
}

/// What a schema says of the value at a JSON pointer, to be added to an error there: its examples,
/// or else its description.
pub(super) fn hint(schema: &Value, pointer: &str) -> Option<String> {
    let place = pointer.split('/').skip(1).try_fold(schema, |at, part| {
        let part = part.replace("~1", "/").replace("~0", "~");
        let members = referred(schema, at).get("properties");
        let member = members.and_then(|members| members.get(&part));
        member.or_else(|| referred(schema, at).get("items"))
    })?;
    // The place itself may say more than what it refers to.
    let of = |key: &str| place.get(key).or_else(|| referred(schema, place).get(key));
    let title = of("title").and_then(Value::as_str);
    let examples: Vec<_> = (of("examples")
        .and_then(Value::as_array)
        .into_iter()
        .flatten())
    .take(EXAMPLES)
    .map(|example| {
        example
            .as_str()
            .map_or_else(|| example.to_string(), str::to_owned)
    })
    .collect();
    if !examples.is_empty() {
        let what = title.unwrap_or("a value");
        return Some(format!("write {what} such as {}", examples.join(" or ")));
    }
    let description = of("description").and_then(Value::as_str)?;
    let first = description.split("\n\n").next().unwrap_or_default();
    Some(format!("it says: {}", first.replace('\n', " ")))
}

/// The schema that a reference within a schema leads to; the schema itself if it is none.
fn referred<'s>(whole: &'s Value, schema: &'s Value) -> &'s Value {
    let reference = schema.get("$ref").and_then(Value::as_str);
    let pointer = reference.and_then(places::pointer);
    pointer
        .and_then(|pointer| whole.pointer(&pointer))
        .unwrap_or(schema)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_setting_that_is_not_there_is_looked_for_where_it_stands() {
        let known = ["limit_cents".to_owned(), "manual_cents".to_owned()];
        let before = GivenSettings::default();
        let configured = GivenSettings::configured(RuleSettings::new());
        let set = GivenSettings {
            set: vec!["limit".into(), "color".into()],
            ..configured.clone()
        };
        for (given, name, expected) in [
            (&set, "limit", "--set limit: did you mean `limit_cents`?"),
            (&set, "color", "leave out --set color"),
            (
                &configured,
                "limit",
                "in [participants.loan.rules] of the settings: did you mean `limit_cents`?",
            ),
            (
                &configured,
                "color",
                "remove it from [participants.loan.rules] of the settings",
            ),
            (
                &before,
                "limit",
                "it was given before, and --unset limit removes it",
            ),
        ] {
            assert_eq!(given.advice(name, known.iter(), "loan"), expected);
        }
    }

    #[test]
    fn a_schema_says_how_a_value_is_written() {
        let schema = json!({
            "properties": {
                "timeout": {"title": "a length of time", "examples": ["30s", "5m", "2h"]},
                "count": {"$ref": "#/$defs/count"},
                "own": {"$ref": "#/$defs/count", "examples": [3]},
                "list": {"items": {"properties": {"a": {"description": "One\nline.\n\nMore."}}}},
                "plain": {"type": "string"},
            },
            "$defs": {"count": {"description": "How many."}},
        });
        let hint = |pointer| hint(&schema, pointer);
        let timeout = hint("/timeout").unwrap();
        assert_eq!(timeout, "write a length of time such as 30s or 5m");
        assert_eq!(hint("/count").unwrap(), "it says: How many.");
        assert_eq!(hint("/own").unwrap(), "write a value such as 3");
        assert_eq!(hint("/list/0/a").unwrap(), "it says: One line.");
        for pointer in ["/plain", "/none", ""] {
            assert_eq!(hint(pointer), None, "{pointer}");
        }
    }
}
