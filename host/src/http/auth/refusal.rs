//! The problems of callers, with the challenge that RFC 6750 demands.

use hyper::header;

use crate::apidocs::problems::Kind;
use crate::apidocs::security::Scheme;
use crate::http::problem::Problem;

/// Seconds until a retry while there are no keys.
const RETRY: u32 = 5;

/// Makes the problems of one way to recognize callers.
pub(super) struct Refusals {
    is_bearer: bool,
    missing: String,
}

impl Refusals {
    pub(super) fn new(scheme: &Scheme) -> Self {
        let missing = match scheme {
            Scheme::Headers(name) => format!(
                "no trusted proxy says who sends the request (header {name}); send it through the proxy of this service"
            ),
            _ => "the request shows no token; send one as `Authorization: Bearer TOKEN`".into(),
        };
        Self {
            is_bearer: !matches!(scheme, Scheme::Headers(_)),
            missing,
        }
    }

    /// Nobody is named where somebody must be.
    pub(super) fn missing(&self) -> Problem {
        let problem = Problem::new(Kind::CallerMissing, &self.missing);
        self.challenged(problem, &[])
    }

    /// A token or a statement is not valid.
    pub(super) fn invalid(&self, reason: &str) -> Problem {
        let problem = Problem::new(Kind::CallerRefused, reason);
        let told = [
            ("error", "invalid_token".to_owned()),
            ("error_description", reason.to_owned()),
        ];
        self.challenged(problem, &told)
    }

    /// The caller lacks some of the required permissions.
    pub(super) fn forbidden(&self, lacking: &[&str], requires: &[String]) -> Problem {
        let detail = format!("the caller lacks: {}", lacking.join(", "));
        let problem = Problem::new(Kind::PermissionMissing, detail);
        let told = [
            ("error", "insufficient_scope".to_owned()),
            ("scope", requires.join(" ")),
        ];
        self.challenged(problem, &told)
    }

    fn challenged(&self, problem: Problem, told: &[(&str, String)]) -> Problem {
        let mut challenge = match self.is_bearer {
            true => "Bearer realm=\"saga\"".to_owned(),
            false => "Proxy-Identity realm=\"saga\"".to_owned(),
        };
        let told = told.iter().filter(|_| self.is_bearer);
        for (name, value) in told {
            let value: String = value.chars().map(plain).collect();
            challenge.push_str(&format!(", {name}=\"{value}\""));
        }
        problem.with_header(header::WWW_AUTHENTICATE, challenge)
    }
}

/// A character of a quoted string as RFC 6750 allows it.
fn plain(character: char) -> char {
    match character {
        '"' | '\\' => '\'',
        ' '..='~' => character,
        _ => '?',
    }
}

/// There are no keys to check a token with.
pub(super) fn keys_missing() -> Problem {
    let detail =
        "the keys that check tokens could not be loaded yet; send the request again in a moment";
    Problem::new(Kind::KeysMissing, detail).retry_after(RETRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge(problem: &Problem) -> &str {
        problem.header.as_ref().map_or("", |header| &header.1)
    }

    #[test]
    fn refusals_have_the_words_of_the_standard() {
        let bearer = Refusals::new(&Scheme::Bearer);
        let missing = bearer.missing();
        assert_eq!(
            (missing.status, challenge(&missing)),
            (401, "Bearer realm=\"saga\"")
        );
        let invalid = bearer.invalid("the `a\"b\\c\u{fc}` is wrong");
        assert_eq!(invalid.status, 401);
        assert_eq!(
            challenge(&invalid),
            "Bearer realm=\"saga\", error=\"invalid_token\", error_description=\"the `a'b'c?` is wrong\""
        );
        let requires = ["a:b".to_owned(), "c".to_owned()];
        let forbidden = bearer.forbidden(&["c"], &requires);
        assert_eq!(forbidden.status, 403);
        assert_eq!(
            challenge(&forbidden),
            "Bearer realm=\"saga\", error=\"insufficient_scope\", scope=\"a:b c\""
        );
        let proxied = Refusals::new(&Scheme::Headers("x-user".into())).missing();
        assert_eq!(challenge(&proxied), "Proxy-Identity realm=\"saga\"");
        assert!(proxied.detail.contains("x-user"), "{}", proxied.detail);
    }
}
