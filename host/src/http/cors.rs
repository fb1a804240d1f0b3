//! CORS: access for pages of the origins that the operator lists.
//!
//! Off by default: then no CORS header is sent, and browsers keep pages of other origins out.
//! Credentials are never allowed, since the API knows no cookies: a page sends its token in a
//! header of its own.

use hyper::Method;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::http::Uri;

use super::answer::Answered;

/// Request headers that a page may send, besides those that the rules ask for.
const REQUEST_HEADERS: &str = "accept, authorization, content-type, idempotency-key, if-none-match, last-event-id, prefer, saga-correlation, traceparent, tracestate";

/// Response headers that a page may read, besides those that every page may.
const RESPONSE_HEADERS: &str = "allow, etag, idempotency-replayed, link, location, preference-applied, retry-after, saga-correlation, www-authenticate";

/// Seconds for which a browser may cache a preflight.
const MAX_AGE: &str = "600";

/// The allowed origins.
#[derive(Debug, Clone)]
pub enum Cors {
    /// None.
    Off,
    /// All.
    Any,
    /// These, as browsers write them.
    These(Vec<String>),
}

impl Cors {
    /// Allows these origins; `*` stands for all.
    #[must_use]
    pub fn new(origins: &[String]) -> Self {
        if origins.is_empty() {
            Self::Off
        } else if origins.iter().any(|origin| origin == "*") {
            Self::Any
        } else {
            Self::These(origins.to_vec())
        }
    }

    /// True if the page that sent these headers is allowed.
    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Off => false,
            Self::Any => true,
            Self::These(origins) => headers.get(header::ORIGIN).is_some_and(|origin| {
                (origins.iter()).any(|one| one.as_bytes() == origin.as_bytes())
            }),
        }
    }

    /// Adds the CORS headers to the response to a request with these headers. A page may send those
    /// of `metadata` too.
    pub fn allow(
        &self,
        method: &Method,
        headers: &HeaderMap,
        metadata: impl FnOnce() -> Vec<String>,
        response: &mut Answered,
    ) {
        let origin = headers.get(header::ORIGIN);
        let allowed = match self {
            Self::Off => return,
            Self::Any => Some(HeaderValue::from_static("*")),
            Self::These(_) => {
                let vary = HeaderValue::from_static("origin");
                response.headers_mut().append(header::VARY, vary);
                origin.filter(|_| self.lets_in(headers)).cloned()
            }
        };
        let (Some(allowed), Some(_)) = (allowed, origin) else {
            return;
        };
        let is_preflight = *method == Method::OPTIONS
            && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let methods = response.headers().get(header::ALLOW).cloned();
        let answer = response.headers_mut();
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if !is_preflight {
            let readable = HeaderValue::from_static(RESPONSE_HEADERS);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
            return;
        }
        if let Some(methods) = methods {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        let sendable = [vec![REQUEST_HEADERS.to_owned()], metadata()].concat();
        if let Ok(sendable) = HeaderValue::from_str(&sendable.join(", ")) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, sendable);
        }
        let max_age = HeaderValue::from_static(MAX_AGE);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
    }
}

/// Checks that a text is an origin as browsers send it (`https://shop.example:8443`), or `*`.
///
/// # Errors
/// The error, as text that follows the value.
pub fn check_origin(text: &str) -> Result<(), String> {
    if text == "*" {
        return Ok(());
    }
    let form = "an origin is scheme, host and port as a browser sends them, such as https://shop.example or http://localhost:3000";
    let uri: Uri = text.parse().map_err(|_| format!("is no origin: {form}"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("has no scheme or no host: {form}"));
    };
    if text != format!("{scheme}://{authority}") {
        return Err(format!("has a path, or a `/` at its end: {form}"));
    }
    if authority.as_str().contains('@') {
        return Err(format!("has a user: {form}"));
    }
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!(
            "has upper-case letters, which no browser sends: {form}"
        ));
    }
    let default = match scheme {
        "https" => 443,
        "http" => 80,
        _ => 0,
    };
    if authority.port_u16() == Some(default) || text.ends_with(':') {
        return Err(format!(
            "names the scheme's own port, which no browser sends: {form}"
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use hyper::StatusCode;

    use super::*;
    use crate::http::answer::json_response;

    const SHOP: &str = "https://shop.example";

    /// The headers that are added, by their names.
    fn added(cors: &Cors, method: &Method, asked: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in asked {
            headers.insert(*name, value.parse().unwrap());
        }
        let mut response = json_response(StatusCode::OK, "application/json", "{}".into());
        let allow = HeaderValue::from_static("POST, OPTIONS");
        response.headers_mut().insert(header::ALLOW, allow);
        let metadata = || vec!["x-tenant".to_owned()];
        cors.allow(method, &headers, metadata, &mut response);
        let mut added = std::mem::take(response.headers_mut());
        added.remove(header::ALLOW);
        added.remove(header::CONTENT_TYPE);
        added
    }

    #[test]
    fn nothing_is_said_while_it_is_off() {
        let asked = [("origin", SHOP), ("access-control-request-method", "POST")];
        assert!(added(&Cors::new(&[]), &Method::OPTIONS, &asked).is_empty());
        assert!(added(&Cors::new(&[]), &Method::GET, &asked).is_empty());
    }

    #[test]
    fn only_listed_origins_are_allowed_and_answers_vary_by_origin() {
        let cors = Cors::new(&[SHOP.to_owned(), "http://localhost:3000".to_owned()]);
        for listed in [SHOP, "http://localhost:3000"] {
            let added = added(&cors, &Method::GET, &[("origin", listed)]);
            assert_eq!(added["access-control-allow-origin"], listed);
            assert_eq!(added["vary"], "origin");
            let readable = added["access-control-expose-headers"].to_str().unwrap();
            for name in [
                "location",
                "etag",
                "retry-after",
                "preference-applied",
                "idempotency-replayed",
            ] {
                assert!(readable.split(", ").any(|one| one == name), "{name}");
            }
            assert!(!added.contains_key("access-control-allow-credentials"));
        }
        for other in [
            "https://evil.example",
            "https://shop.example.evil.example",
            "null",
            "http://shop.example",
            "https://shop.example:8443",
        ] {
            let added = added(&cors, &Method::GET, &[("origin", other)]);
            assert_eq!(
                (added.len(), &added["vary"]),
                (1, &HeaderValue::from_static("origin")),
                "{other}"
            );
        }
        assert_eq!(
            added(&cors, &Method::GET, &[]).len(),
            1,
            "who asks from no page"
        );
    }

    #[test]
    fn a_preflight_is_told_the_methods_and_headers() {
        let asked = [("origin", SHOP), ("access-control-request-method", "POST")];
        for (cors, origin) in [
            (Cors::new(&["*".to_owned()]), "*"),
            (Cors::new(&[SHOP.to_owned()]), SHOP),
        ] {
            let added = added(&cors, &Method::OPTIONS, &asked);
            assert_eq!(added["access-control-allow-origin"], origin);
            assert_eq!(added["access-control-allow-methods"], "POST, OPTIONS");
            assert_eq!(added["access-control-max-age"], MAX_AGE);
            let headers = added["access-control-allow-headers"].to_str().unwrap();
            for name in [
                "content-type",
                "idempotency-key",
                "prefer",
                "last-event-id",
                "traceparent",
                "authorization",
                "x-tenant",
            ] {
                assert!(headers.split(", ").any(|one| one == name), "{name}");
            }
        }
        let refused = [
            ("origin", "https://evil.example"),
            ("access-control-request-method", "POST"),
        ];
        let cors = Cors::new(&[SHOP.to_owned()]);
        assert_eq!(added(&cors, &Method::OPTIONS, &refused).len(), 1);
    }

    #[test]
    fn an_invalid_origin_is_refused() {
        for right in [
            "*",
            SHOP,
            "http://localhost:3000",
            "http://[::1]:8080",
            "https://127.0.0.1",
            "http://shop.example:443",
        ] {
            assert_eq!(check_origin(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "null",
            "shop.example",
            "https://",
            "https://shop.example/",
            "https://shop.example/app",
            "https://Shop.example",
            "https://shop.example:443",
            "http://shop.example:80",
            "https://ann@shop.example",
            "https://shop.example?x",
            "//shop.example",
            "https://shop.example:",
            "https://*.example/",
            "a b",
        ] {
            assert!(check_origin(wrong).is_err(), "{wrong}");
        }
    }
}
