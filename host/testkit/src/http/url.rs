//! The base URL of a service, and idempotency keys for its POSTs.
//!
//! Must not know: how a request is sent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::Uri;
use hyper::header::HeaderValue;
use thiserror::Error;

/// The base URL of a service: `http://127.0.0.1:8081/customer-order/customer-service`.
#[derive(Debug, Clone)]
pub struct BaseUrl {
    text: String,
    authority: String,
    base_path: String,
    keys: Option<Arc<FreshKeys>>,
}

/// Idempotency keys, each used once. Two runs have different ones.
#[derive(Debug)]
struct FreshKeys {
    run: u64,
    next: AtomicU64,
}

/// A text that is not the URL of an HTTP service.
#[derive(Debug, Error)]
#[error(
    "{url} is not a URL such as http://127.0.0.1:8081/customer-order/customer-service: {problem}"
)]
pub struct BadUrl {
    url: String,
    problem: String,
}

impl BaseUrl {
    /// Parses a URL with a base path and without a query; the default port is 80. [`super::Client`]
    /// has no TLS.
    ///
    /// # Errors
    /// Describes the problem with the URL.
    pub fn parse(url: &str) -> Result<Self, BadUrl> {
        let bad = |problem: &str| BadUrl {
            url: url.to_owned(),
            problem: problem.to_owned(),
        };
        let uri: Uri = url
            .parse()
            .map_err(|error: hyper::http::uri::InvalidUri| bad(&error.to_string()))?;
        let scheme = match uri.scheme_str() {
            Some(scheme @ ("http" | "https")) => scheme,
            _ => return Err(bad("it must start with http://")),
        };
        if uri.query().is_some() {
            return Err(bad("it must have no query"));
        }
        let authority = uri.authority().ok_or_else(|| bad("it names no host"))?;
        let authority = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        let base_path = uri.path().trim_end_matches('/').to_owned();
        Ok(Self {
            text: format!("{scheme}://{authority}{base_path}"),
            authority,
            base_path,
            keys: None,
        })
    }

    /// The URL as text, without a final slash.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The same, but each POST gets an idempotency key of its own.
    pub fn with_fresh_keys(self) -> Self {
        let keys = FreshKeys {
            run: fastrand::u64(..),
            next: AtomicU64::new(0),
        };
        Self {
            keys: Some(Arc::new(keys)),
            ..self
        }
    }

    pub(crate) fn fresh_key(&self) -> Option<HeaderValue> {
        let keys = self.keys.as_ref()?;
        let number = keys.next.fetch_add(1, Ordering::Relaxed);
        // As long as a UUID, as clients send.
        HeaderValue::from_str(&format!("{:016x}-load-{number:014}", keys.run)).ok()
    }

    /// The path of a resource below the base path; `resource` starts with `/`.
    pub fn path(&self, resource: fmt::Arguments<'_>) -> String {
        format!("{}{resource}", self.base_path)
    }

    /// The full URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }
}

impl FromStr for BaseUrl {
    type Err = BadUrl;

    /// Parses a URL for a client: http only.
    fn from_str(url: &str) -> Result<Self, BadUrl> {
        if url.starts_with("https://") {
            return Err(BadUrl {
                url: url.to_owned(),
                problem: "it must start with http://".to_owned(),
            });
        }
        Self::parse(url)
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_given_once_and_only_where_they_are_wanted() {
        let url = BaseUrl::parse("http://localhost").unwrap();
        assert_eq!(url.fresh_key(), None);
        let keyed = url.with_fresh_keys();
        let keys = [keyed.fresh_key(), keyed.clone().fresh_key()].map(Option::unwrap);
        assert_ne!(keys[0], keys[1]);
    }

    #[test]
    fn a_base_url_is_an_http_url() {
        let url = BaseUrl::parse("http://127.0.0.1:8081/a/b/").unwrap();
        assert_eq!(url.path(format_args!("/orders/{}", 7)), "/a/b/orders/7");
        assert_eq!(url.to_string(), "http://127.0.0.1:8081/a/b");
        let without_port = BaseUrl::parse("http://localhost").unwrap();
        assert_eq!(without_port.authority(), "localhost:80");
        let over_tls = BaseUrl::parse("https://127.0.0.1:8081/a").unwrap();
        assert_eq!(over_tls.as_str(), "https://127.0.0.1:8081/a");
        for url in [
            "127.0.0.1:8081",
            "https://x/",
            "ftp://x",
            "",
            "http://x/?a=1",
        ] {
            assert!(url.parse::<BaseUrl>().is_err(), "{url}");
        }
    }
}
