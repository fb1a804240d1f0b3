//! Authentication of callers: from the head of a request to a caller with permissions.
//!
//! # Layout
//!
//! - this file: the two ways to recognize callers, and the check of a request
//! - [`settings`]: the settings and their check
//! - `keys`: the keys that check tokens; `spki`: those in PEM form; `source`: the present ones;
//!   `fetch`: from a URL
//! - `token`: from a token to a caller; `provider`: its cryptography
//! - `proxy`: from the headers of a trusted proxy to a caller
//! - `identity`: a caller
//! - `refusal`: the problems
//! - `request`: the caller of one request
//!
//! A token is checked for each request, and is never logged or stored. Must not know: rules,
//! bodies, the meaning of permissions.

mod fetch;
mod identity;
mod keys;
mod provider;
mod proxy;
mod refusal;
pub(super) mod request;
pub mod settings;
mod source;
mod spki;
mod token;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use self::identity::CallerIdentity;
use self::keys::KeySet;
use self::proxy::TrustedProxy;
use self::refusal::Refusals;
use self::settings::{AuthMode, AuthSettings};
use self::source::{KeyOrigin, Keys};
use self::token::{Rejected, TokenRules};
use super::problem::Problem;
use crate::apidocs::security::Security;
use crate::base::clock::now_ms;

/// Longest time that a start waits for the keys of the issuer.
const START: Duration = Duration::from_secs(5);

/// The address of the other end of a connection, as an extension of its requests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) SocketAddr);

/// Recognizes callers and checks what they may do. All listeners share it.
pub struct Auth {
    security: Security,
    way: Way,
    refusals: Refusals,
}

enum Way {
    Tokens(Box<TokenCheck>),
    Headers(TrustedProxy),
}

/// The check of tokens.
struct TokenCheck {
    keys: Arc<Keys>,
    rules: TokenRules,
    refresh: Duration,
}

impl Auth {
    /// Recognizes callers as these settings say; `None` if they say not to.
    ///
    /// # Errors
    /// The setting that is not valid, and the reason.
    pub fn new(settings: &AuthSettings) -> Result<Option<Self>, String> {
        let way = match settings.mode {
            AuthMode::Off => return Ok(None),
            AuthMode::Tokens => Way::Tokens(Box::new(TokenCheck::new(settings)?)),
            AuthMode::Headers => Way::Headers(TrustedProxy::new(settings)?),
        };
        let security = settings.security();
        Ok(Some(Self {
            refusals: Refusals::new(&security.scheme),
            security,
            way,
        }))
    }

    /// Logs how callers are recognized. Loads the keys, waiting some seconds at most, and then
    /// regularly until `stop`. Must be called within a tokio runtime.
    pub async fn start(self: &Arc<Self>, stop: CancellationToken) {
        tracing::info!("{}", self.way.told());
        let own = self.clone();
        let (loaded, is_loaded) = oneshot::channel();
        tokio::spawn(async move {
            let Way::Tokens(check) = &own.way else {
                return;
            };
            check.keys.load().await;
            // The start may have stopped waiting.
            let _ = loaded.send(());
            check.keys.keep_loading(check.refresh, stop).await;
        });
        // Without keys to load, the task ends at once, and with it the wait.
        let _ = tokio::time::timeout(START, is_loaded).await;
    }

    /// Loads the keys again. Must be called within a tokio runtime.
    pub fn reread(self: &Arc<Self>) {
        let own = self.clone();
        tokio::spawn(async move {
            if let Way::Tokens(check) = &own.way {
                check.keys.load().await;
            }
        });
    }

    /// Why no caller can be recognized; `None` if callers can.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.way {
            Way::Tokens(check) => check.keys.missing().map(|reason| {
                format!("no keys that check tokens were loaded yet ([http.auth]): {reason}")
            }),
            Way::Headers(_) => None,
        }
    }

    /// True if the address of the other end decides.
    pub(super) fn needs_peer(&self) -> bool {
        matches!(self.way, Way::Headers(_))
    }

    /// The caller of a request; `None` if it shows none.
    async fn identify(&self, head: &Parts) -> Result<Option<CallerIdentity>, Problem> {
        match &self.way {
            Way::Tokens(check) => {
                let token = match bearer(&head.headers) {
                    Ok(Some(token)) => token,
                    Ok(None) => return Ok(None),
                    Err(reason) => return Err(self.refusals.invalid(reason)),
                };
                check.verify(token, &self.refusals).await.map(Some)
            }
            Way::Headers(proxy) => {
                let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
                let identified = proxy.identify(&head.headers, peer);
                identified.map_err(|reason| self.refusals.invalid(&reason))
            }
        }
    }

    /// Checks that a caller may send a request; `reads` if it changes nothing.
    fn permit(
        &self,
        identity: Option<&CallerIdentity>,
        reads: bool,
        requires: &[String],
    ) -> Result<(), Problem> {
        let Some(identity) = identity else {
            return match self.security.needs_caller(reads, requires) {
                true => Err(self.refusals.missing()),
                false => Ok(()),
            };
        };
        match identity.lacks(requires).as_slice() {
            [] => Ok(()),
            lacking => Err(self.refusals.forbidden(lacking, requires)),
        }
    }
}

impl Way {
    /// How callers are recognized, for the log.
    fn told(&self) -> String {
        match self {
            Self::Tokens(check) => format!(
                "callers show tokens of {} for {}; the keys that check them are in {}",
                check.rules.issuer,
                check.rules.audience.join(" or "),
                check.keys.origin()
            ),
            Self::Headers(proxy) => format!("callers are stated by trusted proxies: {proxy}"),
        }
    }
}

impl TokenCheck {
    fn new(settings: &AuthSettings) -> Result<Self, String> {
        provider::install();
        let origin = match settings::is_unset(&settings.keys_file) {
            false => KeyOrigin::File(settings.keys_file.clone()),
            true => KeyOrigin::Url((settings.keys_url.parse()).map_err(|_| "keys_url: is no URL")?),
        };
        Ok(Self {
            keys: Arc::new(Keys::new(origin)),
            rules: TokenRules {
                issuer: settings.issuer.clone(),
                audience: settings.audience.clone(),
                algorithms: settings.algorithms(),
                leeway_ms: settings.leeway_seconds * 1_000,
                subject_claim: settings.subject_claim.clone(),
                permissions_claim: settings.permissions_claim.clone(),
            },
            refresh: Duration::from_secs(settings.refresh_seconds),
        })
    }

    async fn verify(&self, token: &str, refusals: &Refusals) -> Result<CallerIdentity, Problem> {
        let Some(keys) = self.keys.present() else {
            return Err(refusal::keys_missing());
        };
        let check = |keys: &KeySet| token::verify(token, keys, &self.rules, now_ms());
        let mut checked = check(&keys);
        if checked == Err(Rejected::UnknownKey)
            && let Some(newer) = self.keys.newer_than(&keys).await
        {
            checked = check(&newer);
        }
        checked.map_err(|rejected| match rejected {
            Rejected::Invalid(reason) => refusals.invalid(&reason),
            Rejected::UnknownKey => {
                refusals.invalid("the token is signed with a key that is none of those that were loaded from the issuer")
            }
        })
    }
}

/// The bearer token of a request; `None` if it has no header `Authorization`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("the request has several headers Authorization; send one");
    }
    let text = value.to_str().unwrap_or_default().trim();
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    let token = token.trim();
    if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() || token.contains(' ') {
        return Err("the header Authorization is not `Bearer TOKEN`");
    }
    Ok(Some(token))
}
