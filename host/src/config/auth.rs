//! Settings of the authentication of callers.

use serde_json::Value;

use super::reader::SettingsReader;
use super::section::section_with;
use crate::http::auth::settings::{AuthSettings, check};

const PATH: [&str; 2] = ["http", "auth"];

pub(super) fn read_auth(reader: &mut SettingsReader) -> AuthSettings {
    let names = reader.names(&PATH);
    let auth = section_with(reader, &PATH, AuthSettings::default(), |name, value| {
        let texts = match value {
            Value::String(text) => vec![text.as_str()],
            Value::Array(texts) => texts.iter().filter_map(Value::as_str).collect(),
            _ => return Ok(()),
        };
        check(name, &texts)
    });
    // Whoever gives an issuer or a proxy and forgets the mode would believe that callers are
    // checked.
    if let Some(given) = names.first()
        && !names.iter().any(|name| name == "mode")
    {
        reader.problem(format!(
            "http.auth.mode: is missing, and http.auth.{given} is given; give mode = \"tokens\" or \"headers\", or \"off\" if \
             everybody may send everything"
        ));
    }
    for (name, reason) in auth.problems() {
        reader.problem(format!("http.auth.{name}: {reason}"));
    }
    auth
}
