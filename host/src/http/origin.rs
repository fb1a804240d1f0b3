//! The host that a request names, and the page that sent it.
//!
//! Browsers reach a listener on loopback, or in a private network, on behalf of any page they show.
//! A page whose name was rebound to that address names itself as the host. A page of another origin
//! can send requests that forms can send (a POST with one of three media types, without headers of
//! its own), and browsers report its origin. Programs other than browsers send neither `Origin` nor
//! `Sec-Fetch-Site`, and are not affected.

use std::net::IpAddr;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use hyper::{Method, Uri, Version};

use super::cors::Cors;
use super::problem::Problem;
use crate::apidocs::problems::Kind;

/// Bytes of a request's path and query.
const TARGET_BYTES: usize = 16 << 10;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Stands for all hosts.
pub const ANY: &str = "*";

/// The hosts that a listener serves.
#[derive(Debug, Clone)]
pub struct ServedHosts {
    /// Names in lower case, without ports.
    names: Vec<String>,
    is_on_loopback: bool,
}

impl ServedHosts {
    /// Serves these names; `*` for all. Without names, a listener on loopback serves the names of
    /// loopback, any other listener all.
    #[must_use]
    pub fn new(names: &[String], address: IpAddr) -> Self {
        Self {
            names: (names.iter())
                .map(|name| without_root(name).to_ascii_lowercase())
                .collect(),
            is_on_loopback: address.to_canonical().is_loopback(),
        }
    }

    /// True if a request for this host, without a port, is served. An IP address can't be rebound.
    fn serves(&self, host: &str) -> bool {
        let host = without_root(host);
        is_loopback(host)
            || (self.names.iter()).any(|name| name == ANY || host.eq_ignore_ascii_case(name))
            || (!self.is_on_loopback && (self.names.is_empty() || address(host).is_some()))
    }
}

/// Checks the head of a request: the length of its target, and its one host, which this listener
/// must serve.
///
/// # Errors
/// 414, 400 or 403.
pub(super) fn check_target(head: &Parts, hosts: &ServedHosts) -> Result<(), Problem> {
    let length = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    if length > TARGET_BYTES {
        let detail =
            format!("the path and the query have {length} bytes; they may have {TARGET_BYTES}");
        return Err(Problem::new(Kind::UriTooLong, detail));
    }
    for host in named(head)? {
        if !hosts.serves(host) {
            let detail = format!(
                "the request is for the host `{host}`, which this listener does not serve; ask at localhost or 127.0.0.1, or \
                 add the name to http.hosts"
            );
            return Err(Problem::new(Kind::ForeignHost, detail));
        }
    }
    Ok(())
}

/// The hosts that a request names, in its URI and in its header, without ports.
///
/// # Errors
/// 400 if it names none or several.
pub fn named(head: &Parts) -> Result<impl Iterator<Item = &str>, Problem> {
    let bad = |detail: &str| Problem::new(Kind::BadHead, detail);
    let mut hosts = head.headers.get_all(header::HOST).iter();
    let in_header = match hosts.next() {
        Some(host) => {
            let host = host.to_str().ok().and_then(host_of);
            Some(host.ok_or_else(|| bad("the header `Host` is not HOST or HOST:PORT"))?)
        }
        None => None,
    };
    if hosts.next().is_some() {
        return Err(bad("the request has several headers `Host`; send one"));
    }
    let in_address = match authority(&head.uri) {
        Some(authority) => {
            let host = host_of(authority);
            Some(host.ok_or_else(|| bad("the address of the request names no host"))?)
        }
        None => None,
    };
    let is_named = match head.version {
        Version::HTTP_09 | Version::HTTP_10 => true,
        Version::HTTP_11 => in_header.is_some(),
        _ => in_header.is_some() || in_address.is_some(),
    };
    if !is_named {
        return Err(bad("the request names no host; send a header `Host`"));
    }
    Ok(in_header.into_iter().chain(in_address))
}

fn authority(uri: &Uri) -> Option<&str> {
    uri.authority().map(hyper::http::uri::Authority::as_str)
}

/// `localhost:8081` → `localhost`, `[::1]:1` → `[::1]`; `None` if it is no host. `user@localhost`
/// is none either: no client sends that.
fn host_of(authority: &str) -> Option<&str> {
    let end = match authority.strip_prefix('[') {
        Some(rest) => rest.find(']')? + 2,
        None => authority.find(':').unwrap_or(authority.len()),
    };
    let (host, port) = authority.split_at_checked(end)?;
    let port = port.strip_prefix(':').unwrap_or(port);
    let is_host = match address(host) {
        Some(_) => true,
        None => {
            !host.is_empty()
                && (host.bytes())
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
        }
    };
    (is_host && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

/// The IP address, if the host is one.
fn address(host: &str) -> Option<IpAddr> {
    match host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
    {
        Some(host) => host.parse().ok().map(IpAddr::V6),
        None => host.parse().ok().map(IpAddr::V4),
    }
}

/// `shop.example.` is `shop.example`.
fn without_root(host: &str) -> &str {
    host.strip_suffix('.').unwrap_or(host)
}

/// True for `localhost`, names below it (RFC 6761) and loopback addresses. None of them can be
/// rebound.
fn is_loopback(host: &str) -> bool {
    let host = without_root(host).to_ascii_lowercase();
    let host = host.as_str();
    host == "localhost"
        || host.ends_with(".localhost")
        || address(host).is_some_and(|address| address.to_canonical().is_loopback())
}

/// True if `HOST` or `HOST:PORT` names loopback.
#[must_use]
pub fn names_loopback(authority: &str) -> bool {
    host_of(authority).is_some_and(is_loopback)
}

/// Refuses commands of pages of other origins.
///
/// # Errors
/// 403 if such a page sent one without permission.
pub(super) fn check_page(head: &Parts, cors: &Cors) -> Result<(), Problem> {
    let is_safe = matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_safe || page(head) != PageOrigin::Other || cors.lets_in(&head.headers) {
        return Ok(());
    }
    let origin = head.headers.get(header::ORIGIN);
    let origin = origin.map_or_else(|| "".into(), |it| String::from_utf8_lossy(it.as_bytes()));
    let detail = format!(
        "a page of another origin (`{origin}`) sent the command; list its origin in http.cors_origins if it may"
    );
    Err(Problem::new(Kind::ForeignOrigin, detail))
}

/// True if no page of another origin can have sent this POST without a body: it comes from an
/// allowed page, or has a header that other pages can't send.
pub(super) fn is_deliberate(head: &Parts, cors: &Cors) -> bool {
    let has = |name| head.headers.contains_key(name);
    has("idempotency-key")
        || is_json(&head.headers)
        || page(head) == PageOrigin::Own
        || (has("origin") && cors.lets_in(&head.headers))
}

/// True if the body is announced as JSON, once.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (types.next(), types.next()) else {
        return false;
    };
    let text = value.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    let is_special = essence
        .len()
        .checked_sub(5)
        .and_then(|at| essence.get(at..));
    essence.eq_ignore_ascii_case("application/json")
        || is_special.is_some_and(|end| end.eq_ignore_ascii_case("+json"))
}

/// The page that sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PageOrigin {
    /// None, as far as a browser would have said.
    None,
    /// A page of the requested origin.
    Own,
    /// A page of another origin.
    Other,
}

fn page(head: &Parts) -> PageOrigin {
    let origin = head.headers.get(header::ORIGIN);
    // The browser's own header takes precedence over a host that a proxy may have changed.
    match head.headers.get(SEC_FETCH_SITE).map(|site| site.as_bytes()) {
        Some(b"same-origin") => return PageOrigin::Own,
        Some(b"none") => return PageOrigin::None,
        Some(_) => return PageOrigin::Other,
        None => {}
    }
    let Some(origin) = origin else {
        return PageOrigin::None;
    };
    let origin = origin.to_str().unwrap_or_default();
    let origin = origin.split_once("://").map(|(_, authority)| authority);
    let header = head.headers.get(header::HOST);
    let host = authority(&head.uri).or_else(|| header.and_then(|host| host.to_str().ok()));
    match (origin, host) {
        (Some(origin), Some(host)) if origin.eq_ignore_ascii_case(host) => PageOrigin::Own,
        _ => PageOrigin::Other,
    }
}

/// Checks that a text is the name of a host, without a port, or `*`.
///
/// # Errors
/// The error, as text that follows the value.
pub fn check_host(text: &str) -> Result<(), String> {
    if text == ANY || host_of(text) == Some(text) {
        return Ok(());
    }
    Err(
        "is no host: give a name or an address without scheme and port, such as shop.example"
            .into(),
    )
}

#[cfg(test)]
#[path = "origin_tests.rs"]
mod tests;
