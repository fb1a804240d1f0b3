//! Settings for operators: the admin interface, and the swap of rules.
//!
//! Owns the token that requests must carry. It is never printed: not by `saga config`, not by
//! `Debug`, not in messages about an invalid value.

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

/// Fewest characters of a token: a shorter one could be guessed.
const TOKEN_LEAST: usize = 16;

/// Most characters of a token: it must fit into a request's head.
const TOKEN_MOST: usize = 4_096;

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
    /// The token that a request must carry, from the file or as given; none if everyone who reaches
    /// the address may ask. Omitted where settings are printed, so a token that is given as text
    /// must be given again.
    #[serde(skip)]
    pub token: Option<Token>,
    /// Most bytes of an uploaded component.
    pub component_bytes: usize,
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
    let listen: Option<SocketAddr> = listen.parse().ok();
    if let Some(address) = listen
        && !address.ip().is_loopback()
        && !given
    {
        reader.problem(format!(
            "admin.listen: {address} can be reached from other machines, so requests must show a token: give \
             admin.token_file, or SAGA__ADMIN__TOKEN in the environment; or listen on 127.0.0.1"
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
