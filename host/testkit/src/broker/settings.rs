//! Settings of a broker.
//!
//! Everything has a default: a plain listener, one partition, a temporary directory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::broker::certificates::Validity;

/// Settings of a broker.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where data, log and certificates go; what is there is kept and used again. None for a temporary directory,
    /// which goes with the broker.
    pub directory: Option<PathBuf>,
    /// Port of the plain listener; none for a free one.
    pub port: Option<u16>,
    /// Partitions of a topic whose creator does not say.
    pub partitions: u32,
    /// TLS, users and permissions; none for the plain listener alone.
    pub security: Option<Security>,
    /// Further lines of `server.properties`; they replace what is set here.
    pub properties: BTreeMap<String, String>,
    /// Further options of the JVM; they replace what is set here. The defaults suit tests on few cores; a
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

/// The security of the listeners beside the plain one.
///
/// The plain listener stays, for whoever runs the broker: its clients are `User:ANONYMOUS` and may do
/// everything.
#[derive(Debug, Clone, Default)]
pub struct Security {
    /// Users that come by a password: with PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512 alike. SCRAM users are
    /// written when the storage is formatted; add later ones with `kafka-configs`.
    pub users: Vec<User>,
    /// Users may do only what `kafka-acls` allows; otherwise everything.
    pub authorize: bool,
    /// The broker's certificate.
    pub certificate: Validity,
    /// Whose tokens are taken (OAUTHBEARER); none for nobody's.
    pub tokens: Option<Tokens>,
}

/// Somebody with a password.
#[derive(Debug, Clone)]
pub struct User {
    /// The principal is `User:NAME`.
    pub name: String,
    /// Of letters, digits and `-`: it stands in files that quote other characters in ways of their own.
    pub password: String,
}

impl User {
    /// Somebody of this name.
    #[must_use]
    pub fn new(name: &str, password: &str) -> Self {
        Self {
            name: name.to_owned(),
            password: password.to_owned(),
        }
    }
}

/// Whose tokens are taken: JSON Web Tokens of this issuer for this audience. The principal is the token's `sub`.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Where the issuer's keys are: the URL of a JSON Web Key Set.
    pub keys: String,
    /// `iss` of a token.
    pub issuer: String,
    /// `aud` of a token.
    pub audience: String,
}
