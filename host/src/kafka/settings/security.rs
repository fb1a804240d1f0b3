//! Security of connections to the brokers: TLS and SASL settings, and the librdkafka properties
//! derived from them.
//!
//! For anything else (Kerberos, a PKCS#12 store, signed assertions), operators set librdkafka's own
//! properties; the same thing can't be set in both ways.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Serialize;

use crate::base::secret::Secret;

/// TLS to the brokers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TlsSettings {
    /// Enables TLS.
    pub enabled: bool,
    /// Certificates of the trusted authorities, PEM; none for those that the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// The client certificate for the brokers, with those that lead to its authority, PEM.
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

/// The host's login to the brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum SaslSettings {
    /// A login with a password.
    Password(PasswordLogin),
    /// A login with a token.
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

/// A login with a token, which is requested by OpenID Connect (client credentials).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TokenLogin {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512` with a password; `OAUTHBEARER` with a token.
    pub mechanism: String,
    /// URL for requesting tokens.
    pub token_endpoint: String,
    /// The id of the client that requests tokens.
    pub client_id: String,
    /// The file with the secret of that client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret_file: Option<PathBuf>,
    /// The scope of the tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Certificates of the authorities that are trusted for the URL, PEM; none for those that the
    /// system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_ca_file: Option<PathBuf>,
    /// The secret of that client, from the file or as given.
    #[serde(skip)]
    pub client_secret: Secret,
}

/// All mechanisms; the last one is [`TOKEN_MECHANISM`].
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
}

/// The properties of librdkafka, names and values, derived from these settings.
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
    let path = |file: &Option<PathBuf>| Some(file.as_ref()?.to_string_lossy().into_owned());
    let mut properties = vec![("security.protocol", Some(protocol.to_owned()))];
    if let Some(tls) = tls {
        let password = (tls.key_password.as_ref()).map(|secret| secret.reveal().to_owned());
        properties.extend([
            ("ssl.ca.location", path(&tls.ca_file)),
            ("ssl.certificate.location", path(&tls.certificate_file)),
            ("ssl.key.location", path(&tls.key_file)),
            ("ssl.key.password", password),
        ]);
    }
    match sasl {
        None => {}
        Some(SaslSettings::Password(login)) => properties.extend([
            ("sasl.mechanism", Some(login.mechanism.clone())),
            ("sasl.username", Some(login.username.clone())),
            ("sasl.password", Some(login.password.reveal().to_owned())),
        ]),
        Some(SaslSettings::Token(login)) => properties.extend([
            ("sasl.mechanism", Some(login.mechanism.clone())),
            ("sasl.oauthbearer.method", Some("oidc".to_owned())),
            (
                "sasl.oauthbearer.token.endpoint.url",
                Some(login.token_endpoint.clone()),
            ),
            ("sasl.oauthbearer.client.id", Some(login.client_id.clone())),
            (
                "sasl.oauthbearer.client.secret",
                Some(login.client_secret.reveal().to_owned()),
            ),
            ("sasl.oauthbearer.scope", login.scope.clone()),
            (
                "https.ca.location",
                path(&login.token_ca_file).or(Some("probe".to_owned())),
            ),
        ]),
    }
    let given = |(name, value)| Some((name, value?));
    properties.into_iter().filter_map(given).collect()
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
