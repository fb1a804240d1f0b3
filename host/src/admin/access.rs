//! Access control of the admin interface.
//!
//! With configured tokens, a request must carry one of them. Without one, the listener is on loopback and
//! serves every local client except web pages: a browser on this machine reaches loopback on behalf
//! of any page it shows. Such requests carry an `Origin` (cross-site requests), or a `Host` that is
//! not this machine's (a name that was rebound to 127.0.0.1).
//!
//! Only the digest of a token is kept. Digests are compared in constant time, so that neither the
//! answer nor its time reveals how much of a guess was right. Must not know: the meaning of
//! requests.

use hyper::Uri;
use hyper::header::{self, HeaderMap};
use hyper::http::uri::Authority;
use saga_contract::reason::shorten;
use sha2::{Digest as _, Sha256};

use crate::apidocs::problems::Kind;
use crate::http::origin::names_loopback;
use crate::http::problem::Problem;

/// Name of an operator who states none.
const UNNAMED: &str = "admin";

/// Decides which requests may use the admin interface.
pub struct Access {
    tokens: Vec<Known>,
}

/// A token that is accepted.
struct Known {
    digest: [u8; 32],
    operator: Operator,
}

/// The operator who sends a request: the name of the token, if it has one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operator(Option<String>);

impl Operator {
    /// The name under which an act is recorded: that of the token; without one, the name that the
    /// request states.
    pub(super) fn name(&self, stated: Option<String>) -> String {
        let name = self.0.clone().or(stated);
        name.map_or_else(|| UNNAMED.into(), shorten)
    }
}

impl Access {
    /// Requires one of these tokens, each with the name of its operator, if it has one; without any,
    /// requires a local client.
    pub fn new<'t>(tokens: impl IntoIterator<Item = (Option<&'t str>, &'t str)>) -> Self {
        let known = tokens.into_iter().map(|(name, token)| Known {
            digest: Sha256::digest(token.as_bytes()).into(),
            operator: Operator(name.map(str::to_owned)),
        });
        Self {
            tokens: known.collect(),
        }
    }

    /// Lets a request pass, and tells whose it is.
    ///
    /// # Errors
    /// 401 if the token is missing or wrong, 403 for requests of web pages.
    pub fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<Operator, Problem> {
        if self.tokens.is_empty() {
            return check_is_local(uri, headers).map(|()| Operator::default());
        }
        check_token(&self.tokens, headers)
    }
}

fn check_token(tokens: &[Known], headers: &HeaderMap) -> Result<Operator, Problem> {
    let unauthorized = |detail: &str| Problem::new(Kind::Unauthorized, detail);
    let shown = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| bearer(value.as_bytes()))
        .ok_or_else(|| {
            unauthorized("a token is required; send it as `Authorization: Bearer TOKEN`")
        })?;
    let shown: [u8; 32] = Sha256::digest(shown).into();
    let mut found = None;
    // All are compared, so that the time does not tell which one it is.
    for known in tokens {
        if are_equal(&known.digest, &shown) {
            found = Some(known);
        }
    }
    let found = found.ok_or_else(|| unauthorized("the token is none that this host was given"))?;
    Ok(found.operator.clone())
}

/// `Bearer abc` → `abc`; the scheme is case-insensitive (RFC 9110).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    (scheme.eq_ignore_ascii_case(b"Bearer ")).then(|| token.trim_ascii())
}

/// Compares without a branch that depends on the values.
fn are_equal(one: &[u8; 32], other: &[u8; 32]) -> bool {
    let difference = one
        .iter()
        .zip(other)
        .fold(0, |difference, (a, b)| difference | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn check_is_local(uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let forbidden = |kind, detail: String| Err(Problem::new(kind, detail));
    if headers.contains_key(header::ORIGIN) {
        return forbidden(
            Kind::ForeignOrigin,
            "requests of web pages are not taken: this one has an `Origin`; set admin.token_file to take them by token".into(),
        );
    }
    // A page that loads an image or sends a form may omit `Origin`.
    let site = headers.get("sec-fetch-site");
    if site.is_some_and(|site| site.as_bytes() != b"none") {
        return forbidden(
            Kind::ForeignOrigin,
            "requests of web pages are not taken: this one has a `Sec-Fetch-Site`; set admin.token_file to take them by token".into(),
        );
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = match hosts.next() {
        Some(host) => host.to_str().ok(),
        // HTTP/2 has it in the request's URI only.
        None => uri.authority().map(Authority::as_str),
    };
    let is_local = hosts.next().is_none()
        && host.is_some_and(names_loopback)
        && uri
            .authority()
            .is_none_or(|authority| names_loopback(authority.as_str()));
    if is_local {
        return Ok(());
    }
    forbidden(
        Kind::ForeignHost,
        format!(
            "the request's `Host` is `{}`, not localhost or a loopback address; ask it at 127.0.0.1, or set \
             admin.token_file to take requests by token",
            host.unwrap_or_default()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "a-token-of-24-characters";

    fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
        given
            .iter()
            .map(|(name, value)| {
                (
                    hyper::header::HeaderName::from_static(name),
                    value.parse().unwrap(),
                )
            })
            .collect()
    }

    fn status(access: &Access, uri: &str, given: &[(&'static str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in given {
            map.append(*name, value.parse().unwrap());
        }
        access
            .check(&uri.parse().unwrap(), &map)
            .map_or_else(|problem| problem.status, |_| 200)
    }

    #[test]
    fn with_a_token_only_who_shows_it_may() {
        let access = Access::new([(None, TOKEN)]);
        for (value, expected) in [
            (format!("Bearer {TOKEN}"), 200),
            (format!("bearer  {TOKEN} "), 200),
            (format!("Bearer {TOKEN}x"), 401),
            (format!("Bearer {}", &TOKEN[..23]), 401),
            (format!("Bearer {}", TOKEN.to_uppercase()), 401),
            (format!("Basic {TOKEN}"), 401),
            (format!("Bearer{TOKEN}"), 401),
            (TOKEN.to_owned(), 401),
            ("Bearer ".to_owned(), 401),
            ("Bearer".to_owned(), 401),
            (String::new(), 401),
        ] {
            let shown = [("authorization", value.as_str()), ("host", "127.0.0.1:1")];
            assert_eq!(status(&access, "/x", &shown), expected, "{value}");
        }
        assert_eq!(status(&access, "/x", &[("host", "127.0.0.1:1")]), 401);
        // A client with the token is no web page, whatever its headers say.
        let shown = format!("Bearer {TOKEN}");
        let given = [
            ("authorization", shown.as_str()),
            ("host", "saga.example:9000"),
            ("origin", "https://console.example"),
        ];
        assert_eq!(status(&access, "/x", &given), 200);
    }

    #[test]
    fn the_name_of_a_token_counts_more_than_the_one_that_a_request_states() {
        let tokens = [
            (None, TOKEN),
            (Some("alice"), "the-token-of-alice"),
            (Some("bob"), "the-token-of-bob"),
        ];
        let access = Access::new(tokens);
        let name = |token: &str, stated: Option<&str>| {
            let shown = format!("Bearer {token}");
            let headers = headers(&[("authorization", shown.as_str())]);
            let operator = access.check(&Uri::from_static("/x"), &headers).unwrap();
            operator.name(stated.map(str::to_owned))
        };
        assert_eq!(name("the-token-of-alice", Some("bob")), "alice");
        assert_eq!(name("the-token-of-bob", None), "bob");
        assert_eq!(name(TOKEN, Some("carol")), "carol");
        assert_eq!(name(TOKEN, None), "admin");
    }

    #[test]
    fn the_refusal_of_a_wrong_token_does_not_quote_it() {
        let given = headers(&[("authorization", "Bearer guessed-guessed")]);
        let problem = Access::new([(None, TOKEN)])
            .check(&Uri::from_static("/x"), &given)
            .unwrap_err();
        let said = format!("{problem:?}");
        assert!(!said.contains("guessed") && !said.contains(TOKEN), "{said}");
    }

    #[test]
    fn without_a_token_web_pages_may_not() {
        let access = Access::new([]);
        for (host, expected) in [
            ("localhost", 200),
            ("LocalHost:9000", 200),
            ("127.0.0.1", 200),
            ("127.0.0.1:9000", 200),
            ("127.8.0.1:9000", 200),
            ("[::1]:9000", 200),
            ("[::1]", 200),
            ("evil.example", 403),
            ("localhost.evil.example:9000", 403),
            ("127.0.0.1.evil.example", 403),
            ("user@localhost", 403),
            ("0.0.0.0:9000", 403),
            ("192.168.0.1:9000", 403),
            ("", 403),
        ] {
            assert_eq!(status(&access, "/x", &[("host", host)]), expected, "{host}");
        }
        assert_eq!(status(&access, "/x", &[]), 403);
        assert_eq!(status(&access, "http://127.0.0.1:9000/x", &[]), 200);
        assert_eq!(status(&access, "http://evil.example/x", &[]), 403);
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(status(&access, "/x", &twice), 403);
        let elsewhere = "http://evil.example/x";
        assert_eq!(status(&access, elsewhere, &[("host", "localhost")]), 403);
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9000"] {
            let given = [("host", "localhost"), ("origin", origin)];
            assert_eq!(status(&access, "/x", &given), 403, "{origin}");
        }
        for (site, expected) in [("cross-site", 403), ("same-site", 403), ("none", 200)] {
            let given = [("host", "localhost"), ("sec-fetch-site", site)];
            assert_eq!(status(&access, "/x", &given), expected, "{site}");
        }
    }

    #[test]
    fn every_bit_of_a_digest_counts() {
        let one: [u8; 32] = Sha256::digest(TOKEN).into();
        assert!(are_equal(&one, &one));
        for bit in 0..256 {
            let mut other = one;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!are_equal(&one, &other), "bit {bit}");
        }
    }
}
