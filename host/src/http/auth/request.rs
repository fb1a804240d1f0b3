//! The caller of one request, which may be checked again: after a swap of the rules, and for each
//! read of a request that waits.

use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use saga_core::message::Caller;

use super::Auth;
use super::identity::CallerIdentity;
use crate::base::clock::now_ms;
use crate::http::problem::Problem;

/// The caller of a request; nobody where callers are not recognized.
#[derive(Clone, Default)]
pub(in crate::http) struct RequestCaller {
    auth: Option<Arc<Auth>>,
    identity: Option<Arc<CallerIdentity>>,
}

impl RequestCaller {
    /// The caller that the head of a request shows.
    ///
    /// # Errors
    /// Its token is not valid: 401; or can't be checked: 503.
    pub(in crate::http) async fn of(
        auth: Option<&Arc<Auth>>,
        head: &Parts,
    ) -> Result<Self, Problem> {
        let Some(auth) = auth else {
            return Ok(Self::default());
        };
        let identity = auth.identify(head).await?;
        Ok(Self {
            auth: Some(auth.clone()),
            identity: identity.map(Arc::new),
        })
    }

    /// Checks that it may send a request; `reads` if that changes nothing.
    ///
    /// # Errors
    /// It shows no caller: 401; the caller lacks a permission: 403; its token has expired: 401.
    pub(in crate::http) fn permit(&self, reads: bool, requires: &[String]) -> Result<(), Problem> {
        let Some(auth) = &self.auth else {
            return Ok(());
        };
        if self.left() == Some(Duration::ZERO) {
            return Err(auth.refusals.invalid("the token has expired"));
        }
        auth.permit(self.identity.as_deref(), reads, requires)
    }

    /// The caller as the rules see it, with the claims of these names.
    pub(in crate::http) fn told(&self, claims: &[String]) -> Option<Caller> {
        self.identity
            .as_ref()
            .map(|identity| identity.caller(claims))
    }

    /// The caller's name.
    pub(in crate::http) fn subject(&self) -> Option<&str> {
        self.identity.as_ref().map(|identity| identity.subject())
    }

    /// Waits until its token expires; for ever if it has none.
    pub(in crate::http) async fn expired(&self) {
        match self.left() {
            Some(left) => tokio::time::sleep(left).await,
            None => std::future::pending().await,
        }
    }

    /// The time until its token expires.
    fn left(&self) -> Option<Duration> {
        let expires = self.identity.as_ref()?.expires?;
        Some(Duration::from_millis(expires.saturating_sub(now_ms())))
    }
}
