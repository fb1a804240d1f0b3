//! The settings of Kafka, including TLS and SASL.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Value;

use super::not_empty;
use super::reader::{Setting, SettingsReader};
use super::section::section_with;
use crate::base::secret::Secret;
use crate::kafka::settings::KafkaSettings;
use crate::kafka::settings::security::{
    MECHANISMS, PasswordLogin, SaslSettings, TOKEN_MECHANISM, TlsSettings, TokenLogin,
};

/// Settings that only password logins use, and settings that only token logins use.
const OF_PASSWORDS: [&str; 3] = ["username", "password", "password_file"];
const OF_TOKENS: [&str; 6] = [
    "token_endpoint",
    "client_id",
    "client_secret",
    "client_secret_file",
    "scope",
    "token_ca_file",
];

pub(super) fn read_kafka(reader: &mut SettingsReader) -> Option<KafkaSettings> {
    let given = !reader.names(&["kafka"]).is_empty();
    let default = KafkaSettings {
        bootstrap: String::new(),
        ..KafkaSettings::default()
    };
    let plain = section_with(reader, &["kafka"], default, |name, value| match name {
        "bootstrap" => not_empty(&value.as_str().unwrap_or_default().to_owned()),
        _ => Ok(()),
    });
    let settings = KafkaSettings {
        properties: read_properties(reader),
        tls: read_tls(reader),
        sasl: read_sasl(reader),
        ..plain
    };
    if given && settings.bootstrap.is_empty() {
        reader.problem("kafka.bootstrap: is missing; give HOST:PORT of a broker".into());
    } else if given {
        settings
            .problems()
            .into_iter()
            .for_each(|problem| reader.problem(format!("kafka: {problem}")));
    }
    given.then_some(settings)
}

/// The value of a librdkafka property. Secrets can be told by their names only, so no value is
/// quoted.
struct Property(String);

impl Setting for Property {
    const EXPECTED: &'static str =
        "a text or a number; a name with dots in it is quoted, as in \"sasl.password\" = \"…\"";
    const IS_SECRET: bool = true;

    fn from_text(text: &str) -> Option<Self> {
        Some(Self(text.to_owned()))
    }

    fn from_toml(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(Self(text.clone())),
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => {
                Some(Self(value.to_string()))
            }
            Value::Datetime(_) | Value::Array(_) | Value::Table(_) => None,
        }
    }
}

fn read_properties(reader: &mut SettingsReader) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    for name in reader.names(&["kafka", "properties"]) {
        let is_given = |Property(text): &Property| not_empty(text);
        if let Some(Property(text)) = reader.find(&["kafka", "properties", &name], is_given) {
            properties.insert(name, text);
        }
    }
    properties
}

fn read_tls(reader: &mut SettingsReader) -> Option<TlsSettings> {
    let names = reader.names(&["kafka", "tls"]);
    if names.is_empty() {
        return None;
    }
    let enabled = reader.get(&["kafka", "tls", "enabled"], true, |_| Ok(()));
    let mut file = |key| find_file(reader, &["kafka", "tls", key]);
    let (ca_file, certificate_file, key_file) =
        (file("ca_file"), file("certificate_file"), file("key_file"));
    let (key_password, key_password_file) = find_secret(
        reader,
        "kafka.tls",
        ["kafka", "tls", "key_password"],
        "key_password_file",
    );
    let is_named = |key: &str| names.iter().any(|name| name == key);
    if is_named("certificate_file") != is_named("key_file") {
        reader.problem(
            "kafka.tls: certificate_file and key_file belong together; give both, or none".into(),
        );
    }
    Some(TlsSettings {
        enabled,
        ca_file,
        certificate_file,
        key_file,
        key_password_file,
        key_password,
    })
}

fn read_sasl(reader: &mut SettingsReader) -> Option<SaslSettings> {
    let names = reader.names(&["kafka", "sasl"]);
    if names.is_empty() {
        return None;
    }
    let mechanism: Option<String> = reader.find(
        &["kafka", "sasl", "mechanism"],
        |word: &String| match MECHANISMS.contains(&word.as_str()) {
            true => Ok(()),
            false => Err(format!("is none of: {}", MECHANISMS.join(", "))),
        },
    );
    if !names.iter().any(|name| name == "mechanism") {
        reader.problem(format!(
            "kafka.sasl.mechanism: is missing; give one of: {}",
            MECHANISMS.join(", ")
        ));
    }
    // Both are read, so that settings of the other mechanism are known when they are refused.
    let name = mechanism.clone().unwrap_or_default();
    let password = read_password_login(reader, &name);
    let token = read_token_login(reader, &name);
    let mechanism = mechanism?;
    let is_token = mechanism == TOKEN_MECHANISM;
    let (needed, foreign): (&[&str], &[&str]) = if is_token {
        (
            &["token_endpoint", "client_id", "client_secret"],
            &OF_PASSWORDS,
        )
    } else {
        (&["username", "password"], &OF_TOKENS)
    };
    let is_named = |key: &str| names.iter().any(|name| name == key);
    for key in foreign.iter().filter(|key| is_named(key)) {
        reader.problem(format!(
            "kafka.sasl.{key}: is nothing that {mechanism} needs; leave it out"
        ));
    }
    for key in needed {
        let file = format!("{key}_file");
        if !is_named(key) && !is_named(&file) {
            let or_file = if key.ends_with("password") || key.ends_with("secret") {
                format!(", or give kafka.sasl.{file}")
            } else {
                String::new()
            };
            reader.problem(format!(
                "kafka.sasl.{key}: is missing; {mechanism} needs it{or_file}"
            ));
        }
    }
    if is_token {
        token.map(SaslSettings::Token)
    } else {
        password.map(SaslSettings::Password)
    }
}

/// The settings of a password login. None if one is missing.
fn read_password_login(reader: &mut SettingsReader, mechanism: &str) -> Option<PasswordLogin> {
    let username = reader.find(&["kafka", "sasl", "username"], not_empty);
    let (password, password_file) = find_secret(
        reader,
        "kafka.sasl",
        ["kafka", "sasl", "password"],
        "password_file",
    );
    Some(PasswordLogin {
        mechanism: mechanism.to_owned(),
        username: username?,
        password_file,
        password: password?,
    })
}

/// The settings of a token login. None if one is missing.
fn read_token_login(reader: &mut SettingsReader, mechanism: &str) -> Option<TokenLogin> {
    let token_endpoint = reader.find(&["kafka", "sasl", "token_endpoint"], is_url);
    let client_id = reader.find(&["kafka", "sasl", "client_id"], not_empty);
    let (client_secret, client_secret_file) = find_secret(
        reader,
        "kafka.sasl",
        ["kafka", "sasl", "client_secret"],
        "client_secret_file",
    );
    let scope = reader.find(&["kafka", "sasl", "scope"], not_empty);
    let token_ca_file = find_file(reader, &["kafka", "sasl", "token_ca_file"]);
    Some(TokenLogin {
        mechanism: mechanism.to_owned(),
        token_endpoint: token_endpoint?,
        client_id: client_id?,
        client_secret_file,
        scope,
        token_ca_file,
        client_secret: client_secret?,
    })
}

/// A readable file.
pub(super) fn find_file(reader: &mut SettingsReader, path: &[&str]) -> Option<PathBuf> {
    let readable = |text: &String| {
        not_empty(text)?;
        std::fs::File::open(text)
            .and_then(|file| file.metadata())
            .map_err(|error| format!("can't be read: {error}"))
            .and_then(|file| {
                if file.is_file() {
                    Ok(())
                } else {
                    Err("is not a file".into())
                }
            })
    };
    reader.find::<String>(path, readable).map(PathBuf::from)
}

/// A secret, given as text or in a file; and that file.
fn find_secret(
    reader: &mut SettingsReader,
    section: &str,
    path: [&str; 3],
    file_key: &str,
) -> (Option<Secret>, Option<PathBuf>) {
    let [top, below, key] = path;
    let not_nothing = |secret: &Secret| {
        if secret.reveal().is_empty() {
            Err("is empty".into())
        } else {
            Ok(())
        }
    };
    let is_given = reader.names(&[top, below]).iter().any(|name| name == key);
    let secret: Option<Secret> = reader.find(&path, not_nothing);
    let file: Option<String> = reader.find(&[top, below, file_key], not_empty);
    let Some(file) = file.map(PathBuf::from) else {
        return (secret, None);
    };
    if is_given {
        reader.problem(format!(
            "{section}.{key}: is given, and {section}.{file_key} too; give one of them"
        ));
    }
    match Secret::read(Path::new(&file)) {
        Ok(secret) => (Some(secret), Some(file)),
        Err(reason) => {
            reader.problem(format!("{section}.{file_key}: {reason}"));
            (None, Some(file))
        }
    }
}

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_url(text: &String) -> Result<(), String> {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        _ => Err("is not a URL such as https://login.example.com/oauth2/token".into()),
    }
}

#[cfg(test)]
#[path = "kafka_tests.rs"]
mod tests;
