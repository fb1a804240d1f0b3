//! The present keys of the issuer: loaded at the start, regularly, on request, and for a token
//! whose key id is unknown.
//!
//! If they can't be loaded, the last ones stay in use. Unknown key ids load them at most once
//! within [`COOLDOWN`], whoever sends them (invariant 9).

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch;
use super::keys::{KeySet, SET_BYTES};

/// Least time between two loads for unknown key ids.
const COOLDOWN: Duration = Duration::from_secs(10);

/// Longest time until the next load after one that failed.
const RETRY: Duration = Duration::from_secs(10);

/// Time between two log lines on keys that can't be loaded.
const REMIND: Duration = Duration::from_secs(300);

/// Where keys come from.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(Uri),
}

/// The keys of an issuer.
pub(super) struct Keys {
    origin: Origin,
    present: Mutex<Loaded>,
    /// The last load for an unknown key id. Locked during any load, so that one is in flight.
    loading: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Loaded {
    set: Option<Arc<KeySet>>,
    /// Why the last load failed.
    trouble: Option<String>,
    reported: Option<Instant>,
}

impl Keys {
    pub(super) fn new(origin: Origin) -> Self {
        Self {
            origin,
            present: Mutex::default(),
            loading: tokio::sync::Mutex::default(),
        }
    }

    /// Where the keys come from, for people.
    pub(super) fn origin(&self) -> String {
        match &self.origin {
            Origin::File(path) => path.display().to_string(),
            Origin::Url(url) => url.to_string(),
        }
    }

    /// The present keys; `None` if none were ever loaded.
    pub(super) fn present(&self) -> Option<Arc<KeySet>> {
        self.present.lock().set.clone()
    }

    /// Why there are no keys; `None` if there are.
    pub(super) fn missing(&self) -> Option<String> {
        let present = self.present.lock();
        match (&present.set, &present.trouble) {
            (Some(_), _) => None,
            (None, Some(trouble)) => Some(trouble.clone()),
            (None, None) => Some("they are being loaded".into()),
        }
    }

    /// Loads the keys.
    pub(super) async fn load(&self) {
        let _loading = self.loading.lock().await;
        self.load_now().await;
    }

    /// Newer keys than these, which lack the key id of a token; loads them if that is allowed.
    pub(super) async fn newer_than(&self, known: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let mut loading = self.loading.lock().await;
        let is_newer = |set: &Arc<KeySet>| !Arc::ptr_eq(set, known);
        // Another request has waited for the same keys.
        if let Some(newer) = self.present().filter(is_newer) {
            return Some(newer);
        }
        if loading.is_some_and(|last| last.elapsed() < COOLDOWN) {
            return None;
        }
        *loading = Some(Instant::now());
        self.load_now().await;
        // Those who waited meanwhile must not ask a slow issuer again, one after the other.
        *loading = Some(Instant::now());
        self.present().filter(is_newer)
    }

    /// Loads the keys regularly until `stop`.
    pub(super) async fn keep_loading(&self, interval: Duration, stop: CancellationToken) {
        loop {
            let failed = self.present.lock().trouble.is_some();
            let pause = if failed {
                interval.min(RETRY)
            } else {
                interval
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => self.load().await,
            }
        }
    }

    async fn load_now(&self) {
        let loaded = match &self.origin {
            Origin::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || KeySet::read(&path)).await;
                read.unwrap_or_else(|error| Err(error.to_string()))
            }
            Origin::Url(url) => fetch::get(url, SET_BYTES)
                .await
                .and_then(KeySet::parse)
                .map_err(|reason| format!("{url} {reason}")),
        };
        self.present.lock().take(loaded);
    }
}

impl Loaded {
    fn take(&mut self, loaded: Result<KeySet, String>) {
        match loaded {
            Ok(set) => {
                let was_failing = self.trouble.take().is_some();
                self.reported = None;
                let is_same = self.set.as_ref().is_some_and(|before| before.is_same(&set));
                if !is_same {
                    tracing::info!(keys = set.len(), "the keys that check tokens were loaded");
                    self.set = Some(Arc::new(set));
                } else if was_failing {
                    tracing::info!("the keys that check tokens can be loaded again");
                }
            }
            Err(reason) => {
                if self.reported.is_none_or(|last| last.elapsed() >= REMIND) {
                    self.reported = Some(Instant::now());
                    let remedy = match &self.set {
                        Some(_) => "the last ones stay in use, and it is tried again",
                        None => {
                            "until they are, requests with tokens are answered 503, and it is tried again"
                        }
                    };
                    tracing::warn!(%reason, "the keys that check tokens can't be loaded: {remedy}");
                }
                self.trouble = Some(reason);
            }
        }
    }
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
