//! Settings of the authentication of callers.

use serde_json::Value;

use super::reader::SettingsReader;
use super::section::section_with;
use crate::http::auth::settings::{AuthMode, AuthSettings, check};

const PATH: [&str; 2] = ["http", "auth"];

pub(super) fn read_auth(reader: &mut SettingsReader) -> AuthSettings {
    let is_chosen = reader.is_given(&["http", "auth", "mode"]);
    let auth = section_with(reader, &PATH, AuthSettings::default(), |name, value| {
        let texts = match value {
            Value::String(text) => vec![text.as_str()],
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
            _ => return Ok(()),
        };
        check(name, &texts)
    });
    // Whoever gives an issuer and forgets the mode would believe that tokens are checked.
    if auth.mode == AuthMode::Off
        && !is_chosen
        && let Some(given) = auth.given_for_tokens()
    {
        reader.problem(format!(
            "http.auth.mode: is missing, and http.auth.{given} is given; give mode = \"tokens\", or \"off\" if everybody may \
             send everything"
        ));
    }
    for (name, reason) in auth.problems() {
        reader.problem(format!("http.auth.{name}: {reason}"));
    }
    auth
}
