//! The settings of the store: its bounds, and the server it is on, if it is on one.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::kafka::find_file;
use super::not_empty;
use super::reader::SettingsReader;
use super::section::section;
use crate::base::secret::Secret;
use crate::store::{ServerAddress, ServerSettings, StoreLocation, StoreSettings};

/// Most bytes of an identifier of PostgreSQL.
const IDENTIFIER: usize = 63;

/// The store.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct StoreSection {
    /// The PostgreSQL server with the store, `postgres://USER@HOST:5432/DATABASE`; without it the
    /// store is a file in the data directory. Printed without the password.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "without_password"
    )]
    #[schemars(with = "Option<String>")]
    pub url: Option<ServerAddress>,
    /// A file with the password for the server, instead of one in the URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// A file with the certificates (PEM) of the authorities that may have issued the server's;
    /// without it, those of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The PostgreSQL schema with the tables of the store, which is created if it is missing.
    pub schema: String,
    /// Its bounds.
    #[serde(flatten)]
    pub bounds: StoreSettings,
}

impl StoreSection {
    /// Where the store is, for a host with this data directory.
    #[must_use]
    pub fn location(&self, data: &Path) -> StoreLocation {
        match &self.url {
            Some(address) => StoreLocation::Server(address.clone()),
            None => StoreLocation::Directory(data.to_owned()),
        }
    }
}

fn without_password<S: Serializer>(
    address: &Option<ServerAddress>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match address {
        Some(address) => serializer.serialize_str(&address.url()),
        None => serializer.serialize_none(),
    }
}

pub(super) fn read_store(reader: &mut SettingsReader) -> StoreSection {
    let bounds = section(reader, &["store"], StoreSettings::default());
    let url: Option<Secret> = reader.find(&["store", "url"], ServerAddress::check);
    let schema = reader.get(&["store", "schema"], "saga".to_owned(), is_schema);
    let ca_file = find_file(reader, &["store", "ca_file"]);
    let password_file: Option<String> = reader.find(&["store", "password_file"], not_empty);
    let password_file = password_file.map(PathBuf::from);
    let mut section = StoreSection {
        url: None,
        password_file,
        ca_file,
        schema,
        bounds,
    };
    let Some(url) = url else {
        for name in ["password_file", "ca_file"] {
            if reader.is_given(&["store", name]) && !reader.is_given(&["store", "url"]) {
                reader.problem(format!(
                    "store.{name}: is nothing that a store in the data directory needs; give store.url too, or leave it out"
                ));
            }
        }
        return section;
    };
    let password = section.password_file.as_deref().map(Secret::read);
    let password = password.transpose().unwrap_or_else(|reason| {
        reader.problem(format!("store.password_file: {reason}"));
        None
    });
    let address = ServerAddress::new(&ServerSettings {
        url,
        password,
        ca_file: section.ca_file.clone(),
        schema: section.schema.clone(),
    });
    match address {
        Ok(address) => section.url = Some(address),
        Err(problem) => reader.problem(problem),
    }
    section
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_schema(text: &String) -> Result<(), String> {
    not_empty(text)?;
    if text.len() > IDENTIFIER {
        return Err(format!("has more than {IDENTIFIER} bytes"));
    }
    if text.starts_with("pg_") || text.contains('\0') {
        return Err("is no name that PostgreSQL allows for a schema".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError};

    fn load(settings: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = settings.iter();
        let variables =
            variables.map(|(name, value)| (format!("SAGA__STORE__{name}"), (*value).to_owned()));
        Config::load(None, Vec::new(), variables)
    }

    const URL: (&str, &str) = ("URL", "postgres://saga:hunter2@db.example.com/sagas");

    #[test]
    fn a_url_names_the_store_and_its_password_is_not_printed() {
        let config = load(&[URL, ("SCHEMA", "orders")]).unwrap();
        let location = config.store.location(&config.data_dir);
        let shown = "postgres://saga@db.example.com:5432/sagas";
        assert_eq!(location.to_string(), format!("{shown} (schema orders)"));
        let printed = config.to_toml().unwrap();
        assert!(printed.contains(&format!("url = \"{shown}\"")), "{printed}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn without_a_url_the_store_is_in_the_data_directory() {
        let config = load(&[]).unwrap();
        let location = config.store.location(&config.data_dir);
        assert_eq!(location.to_string(), "saga-data");
        let ConfigError(problems) = load(&[("PASSWORD_FILE", "password")]).unwrap_err();
        assert!(problems.concat().contains("give store.url too"));
    }

    #[test]
    fn wrong_addresses_are_refused_without_being_printed() {
        for (url, reason) in [
            ("mysql://saga:hunter2@db/sagas", "has the form postgres://"),
            ("postgres:///sagas", "names no host"),
            (
                "postgres://saga:hunter2@db:port/sagas",
                "has the form postgres://",
            ),
            (
                "postgres://saga@db/sagas?sslrootcert=a.pem",
                "store.ca_file",
            ),
        ] {
            let ConfigError(problems) = load(&[("URL", url)]).unwrap_err();
            let said = problems.join("\n");
            assert!(said.contains("SAGA__STORE__URL"), "{said}");
            assert!(said.contains(reason), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn a_password_comes_from_the_url_or_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "hunter3\n").unwrap();
        let file = ("PASSWORD_FILE", file.to_str().unwrap());
        assert!(load(&[("URL", "postgres://saga@db/sagas"), file]).is_ok());
        let ConfigError(problems) = load(&[URL, file]).unwrap_err();
        assert!(
            problems.concat().contains("give one of them"),
            "{problems:?}"
        );
        let ConfigError(problems) = load(&[URL, ("PASSWORD_FILE", "missing")]).unwrap_err();
        assert!(
            problems.concat().contains("store.password_file"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_schema_is_an_identifier() {
        let long = "a".repeat(64);
        for name in ["", "pg_saga", &long] {
            assert!(load(&[URL, ("SCHEMA", name)]).is_err(), "{name}");
        }
    }
}
