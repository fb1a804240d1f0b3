//! Settings of a broker.
//!
//! Everything has a default: a plain listener, one partition, a temporary directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::broker::certificates::Validity;

/// Settings of a broker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Directory for data, log and certificates; existing content is kept and used. None for a
    /// temporary directory, which is removed with the broker.
    pub directory: Option<PathBuf>,
    /// Port of the plain listener; None for a free one.
    pub port: Option<u16>,
    /// Default number of partitions of a topic.
    pub partitions: u32,
    /// TLS, users and permissions; None for the plain listener only.
    pub security: Option<Security>,
    /// Further lines of `server.properties`; they take precedence.
    pub properties: BTreeMap<String, String>,
    /// Further options of the JVM; they take precedence. The defaults suit tests on few cores; a
    /// benchmark wants `-XX:TieredStopAtLevel=4`.
    pub jvm: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            directory: None,
            port: None,
            partitions: 1,
            security: None,
            properties: BTreeMap::new(),
            jvm: Vec::new(),
        }
    }
}

/// The security of the listeners other than the plain one.
///
/// The plain listener is for the owner of the broker: its clients are `User:ANONYMOUS` and may do
/// everything.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Users with a password, for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512. SCRAM users are written
    /// when the storage is formatted; add later ones with `kafka-configs`.
    pub users: Vec<User>,
    /// True if users may do only what `kafka-acls` allows; otherwise they may do everything.
    pub authorize: bool,
    /// The broker's certificate.
    pub certificate: Validity,
    /// The issuer of accepted tokens (OAUTHBEARER); None if no tokens are accepted.
    pub tokens: Option<Tokens>,
}

/// A user with a password.
#[derive(Debug, Clone)]
pub struct User {
    /// The user name; the principal is `User:NAME`.
    pub name: String,
    /// The password: letters, digits and `-` only, since files quote other characters differently.
    pub password: String,
}

impl User {
    /// A user of this name.
    #[must_use]
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
        }
    }
}

/// The issuer of accepted JSON Web Tokens, and their audience. The principal is the token's `sub`.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// URL of the issuer's keys, a JSON Web Key Set.
    pub keys: String,
    /// The `iss` of accepted tokens.
    pub issuer: String,
    /// The `aud` of accepted tokens.
    pub audience: String,
}
