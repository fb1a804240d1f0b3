//! How the way to the brokers is secured: TLS and SASL in our words, and the librdkafka properties that follow.
//!
//! Whoever needs more (Kerberos, a PKCS#12 store, signed assertions) uses librdkafka's own properties instead;
//! the same thing can't be said in both ways at once.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::secret::Secret;

/// librdkafka looks at the places where systems keep the certificates that they trust. Said always: the library that is
/// built in has no place of its own.
const SYSTEM: &str = "probe";

/// TLS to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsSettings {
    /// Whether it is spoken.
    pub enabled: bool,
    /// Certificates of the authorities that are trusted, PEM; none for those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The certificate that the brokers are shown, with those that lead to its authority, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// Its key, PEM.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The file with the password of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_password_file: Option<PathBuf>,
    /// The password of the key, from the file or as given.
    #[serde(skip)]
    pub key_password: Option<Secret>,
}

/// Who the host is to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SaslSettings {
    /// It knows a password.
    Password(PasswordLogin),
    /// It has a token from elsewhere.
    Token(TokenLogin),
}

/// A login with a password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PasswordLogin {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512` with a password; `OAUTHBEARER` with a token.
    pub mechanism: String,
    /// The user.
    pub username: String,
    /// The file with the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// The password, from the file or as given.
    #[serde(skip)]
    pub password: Secret,
}

/// A login with a token, which is asked for by OpenID Connect (client credentials).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenLogin {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512` with a password; `OAUTHBEARER` with a token.
    pub mechanism: String,
    /// URL where tokens are asked for.
    pub token_endpoint: String,
    /// Who asks.
    pub client_id: String,
    /// The file with the secret of who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Certificates of the authorities that are trusted for the URL, PEM; none for those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ca_file: Option<PathBuf>,
    /// The secret of who asks, from the file or as given.
    #[serde(skip)]
    pub client_secret: Secret,
}

/// The mechanisms that there are; the last one is [`TOKEN_MECHANISM`].
pub const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", TOKEN_MECHANISM];

/// The mechanism with a token; the others have a password.
pub const TOKEN_MECHANISM: &str = "OAUTHBEARER";

impl SaslSettings {
    /// Name of the mechanism.
    #[must_use]
    pub fn mechanism(&self) -> &str {
        match self {
            Self::Password(login) => &login.mechanism,
            Self::Token(login) => &login.mechanism,
        }
    }

    /// Whether the secret that tokens are asked for with is sent in the clear.
    #[must_use]
    pub fn asks_in_the_clear(&self) -> bool {
        matches!(self, Self::Token(login) if login.token_endpoint.starts_with("http://"))
    }

    /// Whether who listens to the connection learns what he needs to log in himself.
    #[must_use]
    pub fn is_open(&self) -> bool {
        // In SCRAM, the password itself is never sent.
        !self.mechanism().starts_with("SCRAM")
    }
}

/// The properties of librdkafka, names and values, that follow from these settings.
pub(crate) fn properties(
    tls: Option<&TlsSettings>,
    sasl: Option<&SaslSettings>,
) -> Vec<(&'static str, String)> {
    let tls = tls.filter(|tls| tls.enabled);
    let protocol = match (tls, sasl) {
        (None, None) => return Vec::new(),
        (Some(_), None) => "ssl",
        (None, Some(_)) => "sasl_plaintext",
        (Some(_), Some(_)) => "sasl_ssl",
    };
    let mut properties = vec![("security.protocol", protocol.to_owned())];
    if let Some(tls) = tls {
        properties.push(("ssl.ca.location", authorities(tls.ca_file.as_deref())));
        let files = [
            ("ssl.certificate.location", &tls.certificate_file),
            ("ssl.key.location", &tls.key_file),
        ];
        let given = files
            .into_iter()
            .filter_map(|(name, file)| Some((name, text(file.as_deref()?))));
        properties.extend(given);
        let password = tls.key_password.as_ref();
        properties.extend(password.map(|secret| ("ssl.key.password", secret.reveal().to_owned())));
    }
    match sasl {
        None => {}
        Some(SaslSettings::Password(login)) => properties.extend([
            ("sasl.mechanism", login.mechanism.clone()),
            ("sasl.username", login.username.clone()),
            ("sasl.password", login.password.reveal().to_owned()),
        ]),
        Some(SaslSettings::Token(login)) => {
            properties.extend([
                ("sasl.mechanism", login.mechanism.clone()),
                ("sasl.oauthbearer.method", "oidc".to_owned()),
                (
                    "sasl.oauthbearer.token.endpoint.url",
                    login.token_endpoint.clone(),
                ),
                ("sasl.oauthbearer.client.id", login.client_id.clone()),
                (
                    "sasl.oauthbearer.client.secret",
                    login.client_secret.reveal().to_owned(),
                ),
                (
                    "https.ca.location",
                    authorities(login.token_ca_file.as_deref()),
                ),
            ]);
            let scope = login.scope.as_ref();
            properties.extend(scope.map(|scope| ("sasl.oauthbearer.scope", scope.clone())));
        }
    }
    properties
}

/// What properties that were set by hand leave open.
pub(crate) fn defaults<'p>(
    mut set: impl Iterator<Item = (&'p str, &'p str)> + Clone,
) -> Option<(&'static str, &'static str)> {
    let places = ["ssl.ca.location", "ssl.ca.pem", "ssl.ca"];
    let is_placed = set.clone().any(|(name, _)| places.contains(&name));
    let is_tls = set.any(|(name, value)| {
        name == "security.protocol" && value.to_ascii_lowercase().ends_with("ssl")
    });
    (is_tls && !is_placed).then_some(("ssl.ca.location", SYSTEM))
}

fn authorities(file: Option<&Path>) -> String {
    file.map_or_else(|| SYSTEM.to_owned(), text)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::tests::login;

    fn tls() -> TlsSettings {
        TlsSettings {
            enabled: true,
            ..TlsSettings::default()
        }
    }

    fn value<'p>(properties: &'p [(&str, String)], name: &str) -> Option<&'p str> {
        let mut found = properties.iter().filter(|(known, _)| *known == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert_eq!(found.next(), None, "{name} is given twice");
        value
    }

    #[test]
    fn the_protocol_follows_from_what_is_there() {
        let login = login("PLAIN");
        for (tls, sasl, protocol) in [
            (None, None, None),
            (Some(TlsSettings::default()), None, None),
            (Some(tls()), None, Some("ssl")),
            (None, Some(&login), Some("sasl_plaintext")),
            (Some(tls()), Some(&login), Some("sasl_ssl")),
        ] {
            let properties = properties(tls.as_ref(), sasl);
            assert_eq!(value(&properties, "security.protocol"), protocol);
        }
    }

    #[test]
    fn authorities_are_those_of_the_system_unless_a_file_names_them() {
        let mut tls = tls();
        let trusted = |tls: &TlsSettings| {
            let properties = properties(Some(tls), None);
            value(&properties, "ssl.ca.location").map(str::to_owned)
        };
        assert_eq!(trusted(&tls).as_deref(), Some("probe"));
        tls.ca_file = Some("/etc/own.pem".into());
        assert_eq!(trusted(&tls).as_deref(), Some("/etc/own.pem"));
    }

    #[test]
    fn properties_that_were_set_by_hand_trust_the_system_too() {
        let by_hand = |set: &[(&'static str, &'static str)]| defaults(set.iter().copied());
        let probe = Some(("ssl.ca.location", "probe"));
        assert_eq!(by_hand(&[("security.protocol", "SASL_SSL")]), probe);
        assert_eq!(by_hand(&[("security.protocol", "ssl")]), probe);
        assert_eq!(by_hand(&[("security.protocol", "sasl_plaintext")]), None);
        let placed = [("ssl.ca.pem", "…"), ("security.protocol", "ssl")];
        assert_eq!(by_hand(&placed), None);
    }

    #[test]
    fn only_scram_keeps_the_secret_from_who_listens() {
        assert!(login("PLAIN").is_open());
        assert!(!login("SCRAM-SHA-256").is_open() && !login("SCRAM-SHA-512").is_open());
    }

    #[test]
    fn secrets_are_neither_printed_nor_serialized() {
        let sasl = login("PLAIN");
        let tls = TlsSettings {
            key_password: Some(Secret::new("hunter2")),
            ..tls()
        };
        for text in [
            format!("{sasl:?} {tls:?}"),
            serde_json::to_string(&(&sasl, &tls)).unwrap(),
        ] {
            assert!(
                !text.contains("hunter2") && text.contains("PLAIN"),
                "{text}"
            );
        }
    }
}
