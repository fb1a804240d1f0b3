//! The callers that each request needs, as the settings say: the listeners check it, the documents
//! list it.
//!
//! Must not know: how a caller is recognized.

use saga_contract::description::{Command, Description};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::problems::Kind;

/// Name of the scheme in the documents.
const SCHEME: &str = "caller";

/// How callers show who they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scheme {
    /// They don't.
    #[default]
    Off,
    /// By a bearer token.
    Bearer,
    /// By headers that a proxy sets; with the name of the one that names the caller.
    Headers(String),
}

/// The requests that are served without a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// None: commands, reads and lists need a caller.
    #[default]
    Nothing,
    /// Reads and lists that require no permission.
    Reads,
    /// Reads, lists and commands that require no permission.
    Unrestricted,
}

/// How callers show who they are, and where they need not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// The scheme.
    pub scheme: Scheme,
    /// The requests that are served without a caller.
    pub anonymous: Anonymous,
    /// The headers by which proxies state a caller, each with its setting.
    pub stated_in: Vec<(&'static str, String)>,
}

impl Security {
    /// Checks that rules do not ask for a header by which proxies state a caller: anybody can send it, and
    /// only the host knows if it is a proxy's.
    ///
    /// # Errors
    /// The participant, the header, and the remedy.
    pub fn check_metadata(&self, description: &Description) -> Result<(), String> {
        let states = |header| {
            let mut stated_in = self.stated_in.iter();
            let (setting, _) = stated_in.find(|(_, name)| name.eq_ignore_ascii_case(header))?;
            Some((*setting, header))
        };
        let mut asked = description.metadata.iter().map(String::as_str);
        let Some((setting, header)) = asked.find_map(states) else {
            return Ok(());
        };
        Err(format!(
            "participant {} asks for the header `{header}` in its `metadata`, and `http.auth.{setting}` has trusted proxies state the \
             caller in it: rules get the caller from the host (`message.caller`, `Turn::caller`), so take the header out of `metadata`, \
             or name another one in `http.auth.{setting}`",
            description.name
        ))
    }

    /// True if a request needs a caller; `reads` if it changes nothing, `requires` are the
    /// permissions that it needs.
    #[must_use]
    pub fn needs_caller(&self, reads: bool, requires: &[String]) -> bool {
        if self.scheme == Scheme::Off {
            return false;
        }
        !requires.is_empty()
            || match self.anonymous {
                Anonymous::Nothing => true,
                Anonymous::Reads => !reads,
                Anonymous::Unrestricted => false,
            }
    }

    /// A remark on commands that everybody may send although they require permissions.
    #[must_use]
    pub fn remark(&self, description: &Description) -> Option<String> {
        if self.scheme != Scheme::Off {
            return None;
        }
        let requires = |command: &&Command| !command.requires.is_empty();
        let names: Vec<_> = (description.commands.iter().filter(requires))
            .map(|command| format!("`{}`", command.name))
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "everybody may send {}, which require permissions: callers are not authenticated (`http.auth.mode` is off)",
                names.join(", ")
            )
        })
    }

    /// The security schemes of an OpenAPI document; `None` if there are none.
    pub(super) fn schemes(&self) -> Option<Value> {
        let scheme = match &self.scheme {
            Scheme::Off => return None,
            Scheme::Bearer => json!({
                "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
                "description": "A token of the issuer that the host trusts.",
            }),
            Scheme::Headers(name) => json!({
                "type": "apiKey", "in": "header", "name": name,
                "description": "Set by the proxy in front of the host; taken from nobody else.",
            }),
        };
        Some(json!({ SCHEME: scheme }))
    }

    /// The security of one operation; `None` if there is none.
    pub(super) fn of(&self, reads: bool, requires: &[String]) -> Option<Value> {
        if self.scheme == Scheme::Off {
            return None;
        }
        let known = json!({ SCHEME: requires });
        Some(if self.needs_caller(reads, requires) {
            json!([known])
        } else {
            // Either of them: a caller that shows itself is told to the rules.
            json!([{}, known])
        })
    }

    /// The host's problems with the caller of one operation.
    pub(super) fn kinds(&self, reads: bool, requires: &[String]) -> Vec<Kind> {
        let mut kinds = Vec::new();
        if self.scheme == Scheme::Off {
            return kinds;
        }
        if self.needs_caller(reads, requires) {
            kinds.push(Kind::CallerMissing);
        }
        kinds.push(Kind::CallerRefused);
        if !requires.is_empty() {
            kinds.push(Kind::PermissionMissing);
        }
        if self.scheme == Scheme::Bearer {
            kinds.push(Kind::KeysMissing);
        }
        kinds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn security(anonymous: Anonymous) -> Security {
        Security {
            scheme: Scheme::Bearer,
            anonymous,
            stated_in: Vec::new(),
        }
    }

    #[test]
    fn what_requires_a_permission_always_needs_a_caller() {
        let permission = ["a".to_owned()];
        for (anonymous, reads, commands) in [
            (Anonymous::Nothing, true, true),
            (Anonymous::Reads, false, true),
            (Anonymous::Unrestricted, false, false),
        ] {
            let security = security(anonymous);
            assert_eq!(security.needs_caller(true, &[]), reads, "{anonymous:?}");
            assert_eq!(security.needs_caller(false, &[]), commands, "{anonymous:?}");
            for reads in [true, false] {
                assert!(security.needs_caller(reads, &permission), "{anonymous:?}");
            }
        }
        assert!(!Security::default().needs_caller(false, &permission));
    }

    #[test]
    fn an_operation_names_the_permissions_that_it_needs() {
        let permissions = ["orders:cancel".to_owned()];
        let closed = security(Anonymous::Nothing);
        assert_eq!(
            closed.of(false, &permissions),
            Some(json!([{"caller": ["orders:cancel"]}]))
        );
        assert_eq!(closed.of(true, &[]), Some(json!([{"caller": []}])));
        let open = security(Anonymous::Reads);
        assert_eq!(open.of(true, &[]), Some(json!([{}, {"caller": []}])));
        assert_eq!(Security::default().of(false, &permissions), None);
        assert_eq!(Security::default().schemes(), None);
    }
}
