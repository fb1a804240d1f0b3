//! Settings for operators: the admin interface, and the swap of rules.
//!
//! Owns the tokens of which a request must carry one. None is never printed: not by `saga config`, not by
//! `Debug`, not in messages about an invalid value.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::reader::SettingsReader;
use super::section::section_with;
use super::{in_range, is_address, not_empty};
use crate::base::secret::Secret;
use crate::rollout::settings::ReloadSettings;
use crate::store::dead_letters::HOST;

/// Fewest characters of a token: a shorter one could be guessed.
const TOKEN_LEAST: usize = 16;

/// Most characters of a token: it must fit into a request's head.
const TOKEN_MOST: usize = 4_096;

/// Where the tokens of operators are.
const TOKENS: [&str; 2] = ["admin", "tokens"];

/// Most characters of an operator's name.
const NAME_MOST: usize = 64;

/// Largest uploaded component, in bytes; the host takes no larger components anyway.
const COMPONENT_MOST: usize = 128 << 20;

/// The admin interface: an HTTP listener for the operator of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct AdminSettings {
    /// Its address; none, written `off`, for no listener.
    #[serde(serialize_with = "address_or_off")]
    pub listen: Option<SocketAddr>,
    /// The file that holds the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// The token that a request must carry, from the file or as given. Without one, and without `tokens`,
    /// everyone who reaches the address may ask. Omitted where settings are printed, so a token that is given as text
    /// must be given again.
    #[serde(skip)]
    pub token: Option<Token>,
    /// Most bytes of an uploaded component.
    pub component_bytes: usize,
    /// Tokens of operators by their names, each in a file. A request may carry any of them, and what it
    /// does is recorded under that name, whatever name it states.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(with = "BTreeMap<String, PathBuf>")]
    pub tokens: BTreeMap<String, NamedToken>,
}

/// The token of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedToken {
    /// The file that holds it.
    pub file: PathBuf,
    /// The token.
    pub token: Token,
}

/// Shows the file.
impl Serialize for NamedToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.file.serialize(serializer)
    }
}

impl AdminSettings {
    /// All tokens of which a request must carry one, with the names of their operators; none if everyone
    /// who reaches the address may ask.
    pub fn accepted(&self) -> impl Iterator<Item = (Option<&str>, &str)> {
        let unnamed = self.token.iter().map(|token| (None, token.reveal()));
        let named = self.tokens.iter();
        unnamed.chain(named.map(|(name, one)| (Some(name.as_str()), one.token.reveal())))
    }
}

/// A secret that a request must carry.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Checks that a text can be a token.
    ///
    /// # Errors
    /// The problem, in words that follow the setting's name and do not contain the text.
    pub fn new(text: &str) -> Result<Self, String> {
        let length = text.chars().count();
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("must be of ASCII letters, digits and signs, without spaces".into());
        }
        if !(TOKEN_LEAST..=TOKEN_MOST).contains(&length) {
            return Err(format!(
                "must have {TOKEN_LEAST} to {TOKEN_MOST} characters, not {length}; such as `openssl rand -hex 32` makes"
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// Reads a token from a file; a trailing newline is not part of it.
    ///
    /// # Errors
    /// The problem of the file, in words that follow the setting's name.
    pub fn read(path: &Path) -> Result<Self, String> {
        let secret = Secret::read(path)?;
        Self::new(secret.reveal())
            .map_err(|reason| format!("the token in {} {reason}", path.display()))
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(not shown)")
    }
}

pub(super) fn read_admin(reader: &mut SettingsReader) -> AdminSettings {
    let listen = reader.get(
        &["admin", "listen"],
        "127.0.0.1:0".to_owned(),
        is_address_or_off,
    );
    let token_file: Option<String> = reader.find(&["admin", "token_file"], not_empty);
    let mut given = false;
    let secret = reader.find(&["admin", "token"], |secret: &Secret| {
        given = true;
        Token::new(secret.reveal()).map(drop)
    });
    let mut token = secret.and_then(|secret| Token::new(secret.reveal()).ok());
    if let Some(file) = &token_file {
        if given {
            reader.problem(
                "admin.token: is given, and admin.token_file too; give one of them".into(),
            );
        }
        given = true;
        match Token::read(Path::new(file)) {
            Ok(read) => token = Some(read),
            Err(reason) => reader.problem(format!("admin.token_file: {reason}")),
        }
    }
    given |= !reader.names(&TOKENS).is_empty();
    let tokens = read_tokens(reader, token.as_ref());
    let listen: Option<SocketAddr> = listen.parse().ok();
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && !given
    {
        reader.problem(format!(
            "admin.listen: {address} can be reached from other machines, so requests must show a token: give \
             admin.token_file, admin.tokens, or SAGA__ADMIN__TOKEN in the environment; or listen on 127.0.0.1"
        ));
    }
    AdminSettings {
        listen,
        token_file: token_file.map(PathBuf::from),
        token,
        component_bytes: reader.get(
            &["admin", "component_bytes"],
            COMPONENT_MOST,
            in_range(1, COMPONENT_MOST),
        ),
        tokens,
    }
}

/// The tokens of operators. `unnamed` is the one without a name.
fn read_tokens(
    reader: &mut SettingsReader,
    unnamed: Option<&Token>,
) -> BTreeMap<String, NamedToken> {
    let mut tokens: BTreeMap<String, NamedToken> = BTreeMap::new();
    for name in reader.names(&TOKENS) {
        let path = [TOKENS[0], TOKENS[1], name.as_str()];
        let Some(file) = reader.find::<String>(&path, not_empty) else {
            continue;
        };
        let file = PathBuf::from(file);
        let token = match operator_name(&name).and_then(|()| Token::read(&file)) {
            Ok(token) => token,
            Err(reason) => {
                reader.problem(format!("{}: {reason}", path.join(".")));
                continue;
            }
        };
        let mut others = tokens.iter();
        let same = match unnamed == Some(&token) {
            true => Some("admin.token".to_owned()),
            false => (others.find(|(_, other)| other.token == token))
                .map(|(other, _)| format!("admin.tokens.{other}")),
        };
        match same {
            Some(other) => reader.problem(format!(
                "{}: is the same token as {other}, so nobody could tell whose a request is; make another one",
                path.join(".")
            )),
            None => drop(tokens.insert(name, NamedToken { file, token })),
        }
    }
    tokens
}

/// Checks the name of an operator.
fn operator_name(name: &str) -> Result<(), String> {
    let is_sign = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    match name {
        HOST => Err(format!(
            "`{HOST}` is the name under which the host records its own acts; choose another"
        )),
        name if name.is_empty()
            || name.chars().count() > NAME_MOST
            || !name.chars().all(is_sign) =>
        {
            Err(format!(
                "the name of an operator has 1 to {NAME_MOST} letters, digits and signs of -_.@+"
            ))
        }
        _ => Ok(()),
    }
}

pub(super) fn read_reload(reader: &mut SettingsReader) -> ReloadSettings {
    let default = ReloadSettings::default();
    section_with(reader, &["reload"], default, |name, value| {
        match (name, value.as_u64()) {
            ("watch_ms", Some(1..50)) => {
                Err("is neither 0, for files that are not watched, nor at least 50".into())
            }
            _ => Ok(()),
        }
    })
}

/// The value of an admin interface without a listener.
const OFF: &str = "off";

#[allow(clippy::ptr_arg, reason = "a check takes the setting as it is")]
fn is_address_or_off(text: &String) -> Result<(), String> {
    if text == OFF {
        return Ok(());
    }
    is_address(text).map_err(|reason| format!("{reason}, nor `{OFF}`"))
}

#[allow(clippy::ref_option, reason = "serde hands the field over by reference")]
fn address_or_off<S: Serializer>(
    listen: &Option<SocketAddr>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match listen {
        Some(address) => serializer.collect_str(address),
        None => serializer.serialize_str(OFF),
    }
}

#[cfg(test)]
#[path = "operator_tests.rs"]
mod tests;
