//! The settings as a file to start from: each with its explanation, unset ones as comments.
//!
//! The explanation of a setting is the doc comment of its field, taken from the schema of the
//! settings. Nothing is written twice.

use std::fmt::Write as _;

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use toml::Table;

use super::Config;

/// Placeholder for a name that the user chooses.
const ANY_NAME: &str = "NAME";

/// The settings in effect, explained.
pub(super) fn explained(config: &Config) -> Result<String, toml::ser::Error> {
    let plain = toml::to_string_pretty(config)?;
    let settings = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|how| how.inline_subschemas = true);
    let schema: Schema = settings.into_generator().into_root_schema_for::<Config>();
    let table: Table = plain.parse().unwrap_or_default();
    let mut writer = TomlWriter {
        text: String::new(),
        schema: schema.as_value(),
        table: &table,
    };
    writer.write(&plain);
    Ok(writer.text)
}

struct TomlWriter<'a> {
    text: String,
    schema: &'a Value,
    table: &'a Table,
}

impl TomlWriter<'_> {
    /// Copies the printed lines and writes an explanation before each.
    fn write(&mut self, plain: &str) {
        let mut section = Vec::new();
        // The end of a multi-line string.
        let mut end = None;
        for line in plain.lines() {
            if let Some(mark) = end {
                end = (!line.contains(mark)).then_some(mark);
            } else if line.starts_with('[') {
                self.unset(&section);
                section = path(line);
                let _ = writeln!(self.text);
                self.explain(&section);
            } else if let Some((key, value)) = line.split_once(" = ") {
                let mut at = section.clone();
                at.push(key.trim_matches('"').to_owned());
                self.explain(&at);
                end = ["\"\"\"", "'''"].into_iter().find(|mark| {
                    value
                        .strip_prefix(mark)
                        .is_some_and(|rest| !rest.contains(mark))
                });
            }
            if !line.is_empty() || end.is_some() {
                let _ = writeln!(self.text, "{line}");
            }
        }
        self.unset(&section);
        self.unset_sections(&[], self.schema);
    }

    fn explain(&mut self, path: &[String]) {
        let text = find(self.schema, path).and_then(description);
        self.comment(text.unwrap_or_default());
    }

    fn comment(&mut self, text: &str) {
        for line in text.lines() {
            let _ = writeln!(self.text, "# {line}");
        }
    }

    /// The unset settings of a section.
    fn unset(&mut self, section: &[String]) {
        let set = at(self.table, section);
        for (key, schema) in find(self.schema, section).into_iter().flat_map(properties) {
            if !is_section(schema) && set.is_none_or(|set| !set.contains_key(key)) {
                self.comment(description(schema).unwrap_or_default());
                let _ = writeln!(self.text, "# {key} =");
            }
        }
    }

    /// The missing subsections of this section.
    fn unset_sections(&mut self, above: &[String], schema: &Value) {
        let set = at(self.table, above);
        let below = properties(schema).filter(|(_, schema)| is_section(schema));
        let mut sections: Vec<(String, &Value)> =
            below.map(|(key, schema)| (key.clone(), schema)).collect();
        if let Some(schema) = any(schema).filter(|schema| is_section(schema)) {
            let mut names: Vec<String> = set.into_iter().flat_map(Table::keys).cloned().collect();
            if names.is_empty() {
                names.push(ANY_NAME.into());
            }
            sections.extend(names.into_iter().map(|name| (name, schema)));
        }
        for (name, schema) in sections {
            let path = [above, &[name]].concat();
            // A section whose subsections have chosen names has no settings of its own.
            let is_shown = any(schema).is_none_or(|schema| !is_section(schema));
            if at(self.table, &path).is_none() && is_shown {
                let _ = writeln!(self.text);
                self.comment(description(schema).unwrap_or_default());
                let _ = writeln!(self.text, "# [{}]", path.join("."));
                self.unset(&path);
            }
            self.unset_sections(&path, schema);
        }
    }
}

/// `[a."b.c"]` → `a`, `b.c`.
fn path(header: &str) -> Vec<String> {
    let mut table: Table = header.parse().unwrap_or_default();
    let mut path = Vec::new();
    while let Some((key, value)) = table.into_iter().next() {
        path.push(key);
        table = match value {
            toml::Value::Table(below) => below,
            _ => Table::new(),
        };
    }
    path
}

/// The section at this path of the values that are set.
fn at<'a>(table: &'a Table, path: &[String]) -> Option<&'a Table> {
    path.iter()
        .try_fold(table, |table, key| table.get(key)?.as_table())
}

/// The schema of the value at this path.
fn find<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |schema, key| {
        let named = properties(schema).find(|(name, _)| *name == key);
        named.map(|(_, schema)| schema).or_else(|| any(schema))
    })
}

fn description(schema: &Value) -> Option<&str> {
    schema.get("description")?.as_str()
}

/// The possible forms of a setting: itself, or each of its alternatives.
fn forms(schema: &Value) -> impl Iterator<Item = &Value> {
    let forms = ["anyOf", "oneOf"].into_iter();
    let forms = forms
        .filter_map(|key| schema.get(key)?.as_array())
        .flatten();
    let nested = forms.clone().flat_map(|form| {
        let forms = form.get("anyOf").and_then(Value::as_array);
        forms.into_iter().flatten()
    });
    std::iter::once(schema).chain(forms).chain(nested)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let all = forms(schema)
        .filter_map(|form| form.get("properties")?.as_object())
        .flatten();
    let unique: std::collections::BTreeMap<_, _> = all.collect();
    unique.into_iter()
}

/// The schema of entries whose names the user chooses.
fn any(schema: &Value) -> Option<&Value> {
    forms(schema).find_map(|form| {
        form.get("additionalProperties")
            .filter(|any| any.is_object())
    })
}

fn is_section(schema: &Value) -> bool {
    any(schema).is_some() || properties(schema).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained_from(text: &str) -> String {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("saga.toml");
        std::fs::write(&path, text).unwrap();
        let config = Config::load(Some(&path), Vec::new(), std::iter::empty()).unwrap();
        config.to_toml().unwrap()
    }

    #[test]
    fn every_setting_and_every_section_is_explained() {
        let text = explained_from(
            "[kafka]\nbootstrap = 'a:1'\n[kafka.sasl]\nmechanism = 'PLAIN'\nusername = 'ann'\npassword = 'x'\n\
             [participants.a-b]\ncomponent = 'x.wasm'\n",
        );
        let mut before = "";
        for line in text.lines() {
            let bare = line.trim_start_matches("# ");
            let is_setting = bare
                .split_once(" =")
                .is_some_and(|(key, _)| !key.contains(' '));
            if is_setting || bare.starts_with('[') {
                let is_explained = before.starts_with("# ") && before.ends_with(['.', ')']);
                assert!(is_explained, "{line} is not explained in\n{text}");
            }
            before = line;
        }
        for expected in [
            "\n# Bytes of a request's body.\nbody_bytes = 1048576\n",
            "\n# File with its key (PEM), without a password.\n# key =\n",
            "\n# [http.tls]\n",
            "\n# [participants.a-b.topics]\n",
            "\n# The user.\nusername = \"ann\"\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
        assert!(!text.contains("NAME"), "{text}");
    }

    #[test]
    fn unset_settings_are_shown_commented_out() {
        let text = explained_from("");
        for expected in [
            "\n# Kafka; none for the embedded log.\n# [kafka]\n",
            "\n# [participants.NAME]\n",
            "\n# [participants.NAME.tls]\n",
            "\n# [kafka.sasl]\n",
        ] {
            assert!(text.contains(expected), "{expected} is not in\n{text}");
        }
    }

    #[test]
    fn a_text_of_several_lines_is_no_setting_of_its_own() {
        let odd = "data_dir = \"a\\nlog = 1\\n[http]\\n\\nb\"\n";
        let text = explained_from(odd);
        let table: Table = text.parse().unwrap();
        let expected = "a\nlog = 1\n[http]\n\nb";
        assert_eq!(table.get("data_dir").unwrap().as_str(), Some(expected));
    }
}
