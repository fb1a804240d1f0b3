//! The identity that a trusted proxy states in headers.
//!
//! Only the addresses of listed proxies may state one. From anybody else the headers count as not
//! sent. A proxy must replace what a client sent under these names: a header that comes twice is
//! refused, since one of them may be the client's.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use hyper::header::{HeaderMap, HeaderName};
use ipnet::IpNet;
use saga_contract::json;
use serde_json::{Map, Value};

use super::identity::{CallerIdentity, check_subject, listed};
use super::settings::AuthSettings;

/// Longest header, in bytes.
const HEADER_BYTES: usize = 12 << 10;

/// The proxies and their headers.
pub(super) struct TrustedProxy {
    networks: Vec<IpNet>,
    subject: HeaderName,
    permissions: Option<HeaderName>,
    claims: Option<HeaderName>,
}

/// A network, or one address.
///
/// # Errors
/// The problem, as text that follows the network.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    address
        .or_else(|_| text.parse())
        .map_err(|_| "is neither an IP address nor a network such as 10.0.0.0/8".into())
}

impl fmt::Display for TrustedProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let networks: Vec<_> = self.networks.iter().map(ToString::to_string).collect();
        write!(f, "{} in the header {}", networks.join(", "), self.subject)
    }
}

impl TrustedProxy {
    /// The proxies of these settings, which were checked.
    ///
    /// # Errors
    /// The setting that is not valid, and the reason.
    pub(super) fn new(settings: &AuthSettings) -> Result<Self, String> {
        let networks = settings.trusted_proxies.iter().map(|text| {
            network(text).map_err(|reason| format!("trusted_proxies: {text} {reason}"))
        });
        let header = |name: &String| {
            let parsed = name.parse::<HeaderName>();
            parsed.map_err(|_| format!("`{name}` is no name of a header"))
        };
        let optional = |name: &String| match name.is_empty() {
            true => Ok(None),
            false => header(name).map(Some),
        };
        Ok(Self {
            networks: networks.collect::<Result<_, _>>()?,
            subject: header(&settings.subject_header)?,
            permissions: optional(&settings.permissions_header)?,
            claims: optional(&settings.claims_header)?,
        })
    }

    /// The caller that a request from this address states; `None` if it states none, or may not.
    ///
    /// # Errors
    /// The reason why the statement is not valid.
    pub(super) fn identify(
        &self,
        headers: &HeaderMap,
        peer: Option<SocketAddr>,
    ) -> Result<Option<CallerIdentity>, String> {
        if !peer.is_some_and(|peer| self.trusts(peer.ip())) {
            return Ok(None);
        }
        let Some(subject) = one(headers, &self.subject)? else {
            return Ok(None);
        };
        check_subject(subject).map_err(|reason| format!("the header {} {reason}", self.subject))?;
        let permissions = optional(headers, self.permissions.as_ref())?;
        let claims = match (optional(headers, self.claims.as_ref())?, &self.claims) {
            (Some(text), Some(name)) => {
                claims(text).map_err(|reason| format!("the header {name} {reason}"))?
            }
            _ => Map::new(),
        };
        Ok(Some(CallerIdentity {
            subject: subject.to_owned(),
            permissions: (permissions.into_iter())
                .flat_map(|text| listed(text, &[' ', ',']))
                .collect(),
            claims,
            expires: None,
        }))
    }

    fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.networks.iter().any(|network| network.contains(&peer))
    }
}

fn optional<'h>(
    headers: &'h HeaderMap,
    name: Option<&HeaderName>,
) -> Result<Option<&'h str>, String> {
    name.map_or(Ok(None), |name| one(headers, name))
}

/// The value of a header that may be sent once.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h str>, String> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(format!(
            "the header {name} was sent several times; a proxy must replace what a client sent"
        ));
    }
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let text = text.filter(|text| text.len() <= HEADER_BYTES);
    text.map(|text| Some(text.trim()))
        .ok_or_else(|| format!("the header {name} is not UTF-8 of at most {HEADER_BYTES} bytes"))
}

fn claims(text: &str) -> Result<Map<String, Value>, String> {
    match json::parse(text)? {
        Value::Object(claims) => Ok(claims),
        _ => Err("is no JSON object".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn proxy() -> TrustedProxy {
        let settings = AuthSettings {
            trusted_proxies: vec!["10.1.0.0/16".into(), "::1".into()],
            claims_header: "x-claims".into(),
            ..AuthSettings::default()
        };
        TrustedProxy::new(&settings).unwrap()
    }

    fn identify(
        peer: &str,
        sent: &[(&'static str, &[u8])],
    ) -> Result<Option<CallerIdentity>, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        proxy().identify(&headers, Some(peer))
    }

    #[test]
    fn only_a_listed_proxy_may_state_a_caller() {
        let sent: &[(_, &[u8])] = &[
            ("x-forwarded-user", b"ann"),
            ("x-forwarded-groups", b"a, b c"),
            ("x-claims", br#"{"tenant": 7}"#),
        ];
        for peer in ["10.1.2.3", "::ffff:10.1.2.3", "::1"] {
            let ann = identify(peer, sent).unwrap().unwrap();
            assert_eq!(ann.subject, "ann", "{peer}");
            let permissions: Vec<_> = ann.permissions.iter().collect();
            assert_eq!(permissions, ["a", "b", "c"]);
            assert_eq!(ann.caller(&["tenant".into()]).claims, r#"{"tenant":7}"#);
        }
        for peer in ["10.2.0.1", "127.0.0.1", "::2"] {
            assert_eq!(identify(peer, sent), Ok(None), "{peer}");
        }
        assert_eq!(proxy().identify(&HeaderMap::new(), None), Ok(None));
        assert_eq!(identify("10.1.2.3", &[]), Ok(None));
    }

    #[test]
    fn a_doubtful_statement_is_refused() {
        let (long, longer) = (vec![b'a'; 300], vec![b'a'; HEADER_BYTES + 1]);
        let deep = [b'['; 2_000];
        for (sent, reason) in [
            (
                &[
                    ("x-forwarded-user", &b"ann"[..]),
                    ("x-forwarded-user", b"eve"),
                ][..],
                "several times",
            ),
            (&[("x-forwarded-user", b"")], "is empty"),
            (&[("x-forwarded-user", b"\xff")], "is not UTF-8"),
            (&[("x-forwarded-user", &long)], "more than 255"),
            (
                &[
                    ("x-forwarded-user", b"ann"),
                    ("x-forwarded-groups", &longer),
                ],
                "of at most 12288 bytes",
            ),
            (
                &[("x-forwarded-user", b"ann"), ("x-claims", b"7")],
                "x-claims is no JSON object",
            ),
            (
                &[("x-forwarded-user", b"ann"), ("x-claims", b"{")],
                "x-claims is not JSON",
            ),
            (
                &[("x-forwarded-user", b"ann"), ("x-claims", &deep)],
                "x-claims is nested deeper than 127 levels",
            ),
            (
                &[
                    ("x-forwarded-user", b"ann"),
                    ("x-forwarded-groups", b"a"),
                    ("x-forwarded-groups", b"admin"),
                ],
                "several times",
            ),
        ] {
            let refused = identify("10.1.2.3", sent).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
    }

    #[test]
    fn networks_are_addresses_with_or_without_a_length() {
        for text in ["10.0.0.0/8", "10.0.0.1", "fd00::/8", "::1"] {
            assert!(network(text).is_ok(), "{text}");
        }
        for text in ["", "10.0.0.0/33", "proxy.example", "10.0.0"] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
