//! Settings of the authentication of callers, and their check.

use std::path::{Path, PathBuf};

use hyper::Uri;
use hyper::header::HeaderName;
use jsonwebtoken::Algorithm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::KeySet;
use super::proxy;
use crate::apidocs::security::{Anonymous, Scheme, Security};
use crate::http::origin;

/// The algorithms that can be allowed. None of them is symmetric: a public key must not pass for a
/// secret.
const ALGORITHMS: [Algorithm; 5] = [
    Algorithm::RS256,
    Algorithm::ES256,
    Algorithm::EdDSA,
    Algorithm::PS256,
    Algorithm::ES384,
];

/// How callers show who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// They don't: everybody may send everything.
    #[default]
    Off,
    /// By a JSON Web Token in `Authorization: Bearer`.
    Tokens,
    /// By headers that a trusted proxy sets.
    Headers,
}

/// The callers that may send commands and reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuthSettings {
    /// How callers show who they are: `tokens` (JSON Web Tokens in `Authorization: Bearer`), `headers` (set by a trusted
    /// proxy), or `off`, for everybody.
    pub mode: AuthMode,
    /// The requests that are served without a caller: `nothing`, `reads` (and lists), or `unrestricted` (commands too), in
    /// each case only those that require no permission.
    pub anonymous: Anonymous,
    /// The issuer of tokens, as in their claim `iss`.
    pub issuer: String,
    /// The audiences of this host; a token must name one of them in its claim `aud`.
    pub audience: Vec<String>,
    /// File with the keys that check tokens: a JSON Web Key Set, or public keys in PEM form. Empty if they come from a URL.
    pub keys_file: PathBuf,
    /// URL of the JSON Web Key Set of the issuer: `https`, or `http` on loopback. Empty if the keys are in a file.
    pub keys_url: String,
    /// The algorithms that tokens may be signed with, of RS256, ES256, EdDSA, PS256 and ES384.
    pub algorithms: Vec<String>,
    /// Seconds by which the clocks of the issuer and of the host may differ.
    #[schemars(range(min = 0, max = 600))]
    pub leeway_seconds: u64,
    /// Seconds after which the keys are loaded again. A token with an unknown key id loads them at once, if they were not
    /// just loaded.
    #[schemars(range(min = 1, max = 86_400))]
    pub refresh_seconds: u64,
    /// The claim that names the caller.
    pub subject_claim: String,
    /// The claim with the caller's permissions, besides `scope`: a list, or a text with spaces between them. If it begins
    /// with `/`, it is a JSON pointer, such as `/realm_access/roles`.
    pub permissions_claim: String,
    /// Addresses of the proxies that may set the headers: IP addresses, or networks such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<String>,
    /// The header that names the caller.
    pub subject_header: String,
    /// The header with the caller's permissions, with commas or spaces between them; empty for none.
    pub permissions_header: String,
    /// The header with the caller's claims, as a JSON object; empty for none.
    pub claims_header: String,
}

impl Default for AuthSettings {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self {
            mode: AuthMode::Off,
            anonymous: Anonymous::Nothing,
            issuer: String::new(),
            audience: Vec::new(),
            keys_file: PathBuf::new(),
            keys_url: String::new(),
            algorithms: names(&["RS256", "ES256", "EdDSA"]),
            leeway_seconds: 60,
            refresh_seconds: 300,
            subject_claim: "sub".into(),
            permissions_claim: "permissions".into(),
            trusted_proxies: names(&["127.0.0.0/8", "::1"]),
            subject_header: "x-forwarded-user".into(),
            permissions_header: "x-forwarded-groups".into(),
            claims_header: String::new(),
        }
    }
}

impl AuthSettings {
    /// The rules of access: callers and their requests.
    #[must_use]
    pub fn security(&self) -> Security {
        Security {
            scheme: match self.mode {
                AuthMode::Off => Scheme::Off,
                AuthMode::Tokens => Scheme::Bearer,
                AuthMode::Headers => Scheme::Headers(self.subject_header.clone()),
            },
            anonymous: self.anonymous,
            stated_in: match self.mode {
                AuthMode::Headers => self.stated_in(),
                AuthMode::Off | AuthMode::Tokens => Vec::new(),
            },
        }
    }

    /// The headers by which proxies state a caller, each with its setting.
    fn stated_in(&self) -> Vec<(&'static str, String)> {
        let headers = [
            ("subject_header", &self.subject_header),
            ("permissions_header", &self.permissions_header),
            ("claims_header", &self.claims_header),
        ];
        let named = headers.into_iter().filter(|(_, name)| !name.is_empty());
        named
            .map(|(setting, name)| (setting, name.clone()))
            .collect()
    }

    /// The problems of settings that depend on each other: the name of each, and the reason. Reads
    /// the file with the keys.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        match self.mode {
            AuthMode::Off => Vec::new(),
            AuthMode::Tokens => self.token_problems(),
            AuthMode::Headers => self.header_problems(),
        }
    }

    fn token_problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut missing = |name, what: &str| {
            found.push((
                name,
                format!("is missing; give {what}, or set mode = \"off\""),
            ));
        };
        if self.issuer.is_empty() {
            missing("issuer", "what the claim `iss` of its tokens says");
        }
        if self.audience.is_empty() {
            missing(
                "audience",
                "what the claim `aud` of tokens for this host says",
            );
        }
        if self.subject_claim.is_empty() {
            missing("subject_claim", "the claim that names the caller (`sub`)");
        }
        match (is_unset(&self.keys_file), self.keys_url.is_empty()) {
            (true, true) => missing("keys_url", "the URL of the issuer's keys, or keys_file"),
            (false, false) => found.push((
                "keys_url",
                "is given, and keys_file too; give one of them".into(),
            )),
            (false, true) => {
                if let Err(reason) = self.keys_in_file() {
                    found.push(("keys_file", reason));
                }
            }
            (true, false) => {}
        }
        found
    }

    fn keys_in_file(&self) -> Result<(), String> {
        let keys = KeySet::read(&self.keys_file)?;
        match keys.serves(&self.algorithms()) {
            true => Ok(()),
            false => Err(format!(
                "{} has no key for the algorithms {}",
                self.keys_file.display(),
                self.algorithms.join(", ")
            )),
        }
    }

    fn header_problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        if self.subject_header.is_empty() {
            let reason = "is missing; give the header that names the caller";
            found.push(("subject_header", reason.into()));
        }
        if self.trusted_proxies.is_empty() {
            let reason = "lists none, so that nobody could state a caller";
            found.push(("trusted_proxies", reason.into()));
        }
        found
    }

    /// The allowed algorithms.
    pub(super) fn algorithms(&self) -> Vec<Algorithm> {
        let named = self.algorithms.iter().filter_map(|name| name.parse().ok());
        named.filter(|one| ALGORITHMS.contains(one)).collect()
    }
}

/// True if the setting is the default, which stands for no file.
pub(super) fn is_unset(path: &Path) -> bool {
    path.as_os_str().is_empty()
}

/// Checks the value of one setting on its own.
///
/// # Errors
/// The problem, as text that follows the value.
pub fn check(name: &str, texts: &[&str]) -> Result<(), String> {
    match (name, texts) {
        ("algorithms", []) => Err("lists none, so that no token could be valid".into()),
        ("algorithms", names) => names.iter().try_for_each(|name| is_algorithm(name)),
        ("audience", names) if names.contains(&"") => Err("lists an empty text".into()),
        ("trusted_proxies", names) => names.iter().try_for_each(|name| {
            proxy::network(name)
                .map(drop)
                .map_err(|reason| format!("is refused: {name} {reason}"))
        }),
        ("subject_header" | "permissions_header" | "claims_header", [name])
            if !name.is_empty() && name.parse::<HeaderName>().is_err() =>
        {
            Err("is no name of a header".into())
        }
        ("keys_url", [url]) if !url.is_empty() => check_url(url),
        _ => Ok(()),
    }
}

fn is_algorithm(name: &str) -> Result<(), String> {
    let known = name.parse::<Algorithm>();
    if known.is_ok_and(|known| ALGORITHMS.contains(&known)) {
        return Ok(());
    }
    Err(format!(
        "is refused: {name} is none of RS256, ES256, EdDSA, PS256, ES384"
    ))
}

/// Keys that come over an open line could be anybody's.
fn check_url(text: &str) -> Result<(), String> {
    let url: Uri = text.parse().map_err(|_| "is no URL".to_owned())?;
    let Some(authority) = url.authority() else {
        return Err("is no URL such as https://id.example/keys".into());
    };
    if authority.as_str().contains('@') {
        return Err("names a user; the keys of an issuer are public".into());
    }
    match url.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if origin::names_loopback(authority.as_str()) => Ok(()),
        Some("http") => Err(
            "is not encrypted, so its keys could be anybody's: use https (http serves on loopback only)"
                .into(),
        ),
        _ => Err("is neither https nor http".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_symmetric_algorithm_can_be_allowed() {
        for name in ["HS256", "HS384", "HS512", "none", "None", "", "RS1"] {
            assert!(check("algorithms", &[name]).is_err(), "{name}");
        }
        for name in ["RS256", "ES256", "EdDSA", "PS256", "ES384"] {
            assert_eq!(check("algorithms", &["RS256", name]), Ok(()), "{name}");
        }
        assert!(check("algorithms", &[]).is_err());
        let settings = AuthSettings {
            algorithms: vec!["HS256".into(), "ES256".into()],
            ..AuthSettings::default()
        };
        assert_eq!(settings.algorithms(), [Algorithm::ES256]);
    }

    #[test]
    fn keys_come_over_https_or_from_loopback() {
        for url in [
            "https://id.example/keys",
            "http://127.0.0.1:1/k",
            "http://localhost/k",
        ] {
            assert_eq!(check("keys_url", &[url]), Ok(()), "{url}");
        }
        for (url, reason) in [
            ("http://id.example/keys", "is not encrypted"),
            ("ftp://id.example/keys", "neither"),
            ("/keys", "is no URL"),
            ("https://ann@id.example/keys", "names a user"),
        ] {
            let refused = check("keys_url", &[url]).unwrap_err();
            assert!(refused.contains(reason), "{url}: {refused}");
        }
    }

    #[test]
    fn tokens_need_an_issuer_an_audience_and_one_source_of_keys() {
        let named = |settings: &AuthSettings| -> Vec<_> {
            let problems = settings.problems().into_iter();
            problems.map(|(name, _)| name).collect()
        };
        let bare = AuthSettings {
            mode: AuthMode::Tokens,
            ..AuthSettings::default()
        };
        assert_eq!(named(&bare), ["issuer", "audience", "keys_url"]);
        let whole = AuthSettings {
            issuer: "i".into(),
            audience: vec!["a".into()],
            keys_url: "https://id.example/keys".into(),
            ..bare
        };
        assert_eq!(named(&whole), [""; 0]);
        let both = AuthSettings {
            keys_file: "/no/such/file".into(),
            ..whole
        };
        assert_eq!(named(&both), ["keys_url"]);
        let missing = AuthSettings {
            keys_url: String::new(),
            ..both
        };
        assert_eq!(named(&missing), ["keys_file"]);
    }
}
