//! Reads single settings from the command line, the environment and the file, in this order, and
//! collects all problems instead of stopping at the first.

use std::collections::BTreeSet;
use std::str::FromStr;

use toml::{Table, Value};

use crate::base::secret::Secret;

/// A setting from outside the file.
#[derive(Debug, Clone)]
pub struct Override {
    /// Its path: `["kafka", "bootstrap"]`.
    pub path: Vec<String>,
    /// Its text.
    pub value: String,
    /// Its name for the user: `--kafka`, `SAGA__KAFKA__BOOTSTRAP`.
    pub origin: String,
}

/// Reads settings and collects problems.
pub struct SettingsReader {
    file: Table,
    overrides: Vec<(Override, bool)>,
    problems: Vec<String>,
    /// The paths that were read, from which the intended setting is suggested for an unknown one.
    known: BTreeSet<String>,
}

/// A type of setting values.
pub trait Setting: Sized {
    /// The expected form, in words.
    const EXPECTED: &'static str;
    /// True if the value must not be quoted in messages.
    const IS_SECRET: bool = false;
    /// Reads it from the command line or the environment.
    fn from_text(text: &str) -> Option<Self>;
    /// Reads it from the file.
    fn from_toml(value: &Value) -> Option<Self>;
}

impl Setting for String {
    const EXPECTED: &'static str = "a text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
}

impl Setting for Secret {
    const EXPECTED: &'static str = "a text";
    const IS_SECRET: bool = true;

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::new(text))
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_str().map(Self::new)
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        Self::from_str(text.trim()).ok()
    }

    fn from_toml(value: &Value) -> Option<Self> {
        value.as_bool()
    }
}

impl Setting for Vec<String> {
    const EXPECTED: &'static str = "a list of texts";

    /// Comma-separated; empty for none.
    fn from_text(text: &str) -> Option<Self> {
        let listed = text.split(',').map(|one| one.trim().to_owned());
        Some(if text.trim().is_empty() {
            Self::new()
        } else {
            listed.collect()
        })
    }

    fn from_toml(value: &Value) -> Option<Self> {
        let listed = value.as_array()?.iter();
        listed.map(|one| one.as_str().map(str::to_owned)).collect()
    }
}

macro_rules! whole_number {
    ($($number:ty),*) => {$(
        impl Setting for $number {
            const EXPECTED: &'static str = "a whole number";

            fn from_text(text: &str) -> Option<Self> {
                Self::from_str(text.trim()).ok()
            }

            fn from_toml(value: &Value) -> Option<Self> {
                Self::try_from(value.as_integer()?).ok()
            }
        }
    )*};
}
whole_number!(u64, i128, usize);

impl SettingsReader {
    /// A reader over the file's table and the overrides; of two overrides for one setting the first
    /// counts.
    #[must_use]
    pub fn new(file: Table, overrides: Vec<Override>) -> Self {
        let overrides = overrides
            .into_iter()
            .map(|setting| (setting, false))
            .collect();
        Self {
            file,
            overrides,
            problems: Vec::new(),
            known: BTreeSet::new(),
        }
    }

    /// The setting at this path, or the default if it is missing or invalid. `check` returns the
    /// problem of a value of the right type.
    pub fn get<T: Setting>(
        &mut self,
        path: &[&str],
        default: T,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        self.find(path, check).unwrap_or(default)
    }

    /// The setting at this path, if it is present and valid.
    pub fn find<T: Setting>(
        &mut self,
        path: &[&str],
        mut check: impl FnMut(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.known.insert(path.join("."));
        let in_file = take(&mut self.file, path);
        let mut given = None;
        for (setting, used) in &mut self.overrides {
            if setting.path == path {
                *used = true;
                given = given.or(Some((setting.value.clone(), setting.origin.clone())));
            }
        }
        let (value, origin, text) = match (given, in_file) {
            (Some((text, origin)), _) => (T::from_text(&text), origin, text),
            (None, Some(value)) => (T::from_toml(&value), path.join("."), value.to_string()),
            (None, None) => return None,
        };
        let shown = if T::IS_SECRET {
            "the value".to_owned()
        } else {
            format!("`{text}`")
        };
        let checked = value
            .ok_or_else(|| format!("{shown} is not {}", T::EXPECTED))
            .and_then(|value| {
                check(&value)
                    .map(|()| value)
                    .map_err(|reason| format!("{shown} {reason}"))
            });
        checked
            .map_err(|reason| self.problems.push(format!("{origin}: {reason}")))
            .ok()
    }

    /// The names of the entries below this path: `participants` → `customer`, `order`.
    #[must_use]
    pub fn names(&self, path: &[&str]) -> Vec<String> {
        let mut names = Vec::new();
        let overridden = self.overrides.iter().filter_map(|(setting, _)| {
            setting
                .path
                .strip_prefix(
                    path.iter()
                        .map(|part| (*part).to_owned())
                        .collect::<Vec<_>>()
                        .as_slice(),
                )?
                .first()
        });
        for name in overridden.cloned().chain(
            table(&self.file, path)
                .into_iter()
                .flat_map(Table::keys)
                .cloned(),
        ) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// True if the setting at this path is present, valid or not.
    #[must_use]
    pub fn is_given(&self, path: &[&str]) -> bool {
        let [above @ .., key] = path else {
            return false;
        };
        self.names(above).iter().any(|name| name == key)
    }

    /// Adds a problem that concerns more than one setting.
    pub fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// All problems, including unknown settings.
    #[must_use]
    pub fn finish(mut self) -> Vec<String> {
        let mut unknown = Vec::new();
        remaining(&self.file, "", &mut unknown);
        let of_file = unknown.iter().map(|key| {
            let meant = self.meant(key);
            format!("{key}: there is no such setting{meant}")
        });
        let unused = self.overrides.iter().filter(|(_, used)| !used);
        let of_others = unused.map(|(setting, _)| {
            let path = setting.path.join(".");
            let meant = self.meant(&path);
            format!("{}: there is no setting {path}{meant}", setting.origin)
        });
        let all: Vec<String> = of_file.chain(of_others).collect();
        self.problems.extend(all);
        self.problems
    }

    /// A suggestion for an unknown setting, to append to a message.
    fn meant(&self, path: &str) -> String {
        let known = self.known.iter();
        let near = known.min_by_key(|known| strsim::osa_distance(known, path));
        // Within two edits only: a wrong suggestion would be worse than none.
        let near = near.filter(|known| strsim::osa_distance(known, path) <= 2);
        near.map_or(String::new(), |known| format!("; did you mean {known}?"))
    }
}

fn table<'t>(file: &'t Table, path: &[&str]) -> Option<&'t Table> {
    path.iter()
        .try_fold(file, |table, part| table.get(*part)?.as_table())
}

fn take(file: &mut Table, path: &[&str]) -> Option<Value> {
    match path {
        [] => None,
        [key] => file.remove(*key),
        [first, rest @ ..] => take(file.get_mut(*first)?.as_table_mut()?, rest),
    }
}

fn remaining(table: &Table, prefix: &str, unknown: &mut Vec<String>) {
    for (key, value) in table {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            Value::Table(table) => remaining(table, &path, unknown),
            _ => unknown.push(path),
        }
    }
}
