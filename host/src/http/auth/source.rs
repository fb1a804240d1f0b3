//! The present keys of the issuer: loaded at the start, regularly, on request, and for a token
//! whose key id is unknown.
//!
//! If they can't be loaded, the last ones stay in use. Unknown key ids load them at most once
//! within [`COOLDOWN`], whoever sends them (invariant 9). One load is in flight at a time, on a task
//! of its own: a request waits for its end, at most [`WAIT`], and never for another one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hyper::Uri;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch;
use super::keys::{KeySet, SET_BYTES};

/// Least time between two loads for unknown key ids.
const COOLDOWN: Duration = Duration::from_secs(10);

/// Longest time that a request waits for a load. The load goes on.
const WAIT: Duration = Duration::from_secs(3);

/// Longest time until the next load after one that failed.
const RETRY: Duration = Duration::from_secs(10);

/// Time between two log lines on keys that can't be loaded.
const REMIND: Duration = Duration::from_secs(300);

/// Where keys come from.
#[derive(Debug, Clone)]
pub(super) enum KeyOrigin {
    /// A file.
    File(PathBuf),
    /// A URL.
    Url(Uri),
}

/// The keys of an issuer.
pub(super) struct Keys {
    origin: KeyOrigin,
    present: Mutex<Loaded>,
    loads: watch::Sender<Loads>,
}

/// The loads so far.
#[derive(Debug, Clone, Copy, Default)]
struct Loads {
    is_loading: bool,
    /// A request with an unknown key id waits for the one in flight.
    is_awaited: bool,
    /// The end of the last one that failed, or for which such a request had waited.
    cooling: Option<Instant>,
}

/// The load in flight. It ends when this is dropped, however that comes.
struct Flight(Arc<Keys>);

impl Drop for Flight {
    fn drop(&mut self) {
        let has_failed = self.0.present.lock().trouble.is_some();
        self.0.loads.send_modify(|loads| {
            let waited = std::mem::take(&mut loads.is_awaited);
            loads.is_loading = false;
            // Those who waited must not ask a slow issuer again, one after the other.
            if waited || has_failed {
                loads.cooling = Some(Instant::now());
            }
        });
    }
}

#[derive(Default)]
struct Loaded {
    set: Option<Arc<KeySet>>,
    /// Why the last load failed.
    trouble: Option<String>,
    reported: Option<Instant>,
}

impl Keys {
    pub(super) fn new(origin: KeyOrigin) -> Self {
        Self {
            origin,
            present: Mutex::default(),
            loads: watch::Sender::default(),
        }
    }

    /// Where the keys come from, for people.
    pub(super) fn origin(&self) -> String {
        match &self.origin {
            KeyOrigin::File(path) => path.display().to_string(),
            KeyOrigin::Url(url) => url.to_string(),
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

    /// Loads the keys, after the end of the load in flight if there is one.
    pub(super) async fn load(self: &Arc<Self>) {
        while !self.begin(|_| true, false) {
            self.ended().await;
        }
        self.ended().await;
    }

    /// Newer keys than these, which lack the key id of a token: those of the load in flight, or of
    /// another one if that is allowed.
    pub(super) async fn newer_than(self: &Arc<Self>, known: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let newer = || (self.present()).filter(|set| !Arc::ptr_eq(set, known));
        // Another request may have waited for the same keys.
        if let Some(newer) = newer() {
            return Some(newer);
        }
        let is_warm = |cooling: Option<Instant>| cooling.is_none_or(|at| at.elapsed() >= COOLDOWN);
        self.begin(is_warm, true);
        let _ = tokio::time::timeout(WAIT, self.ended()).await;
        newer()
    }

    /// Begins a load; false if one is in flight, or if the last instant forbids it.
    fn begin(
        self: &Arc<Self>,
        is_allowed: impl FnOnce(Option<Instant>) -> bool,
        is_awaited: bool,
    ) -> bool {
        let mut begins = false;
        self.loads.send_if_modified(|loads| {
            begins = !loads.is_loading && is_allowed(loads.cooling);
            loads.is_loading |= begins;
            loads.is_awaited |= is_awaited && loads.is_loading;
            false
        });
        if begins {
            let flight = Flight(self.clone());
            tokio::spawn(async move { flight.0.load_now().await });
        }
        begins
    }

    /// Waits for the end of the load in flight.
    async fn ended(&self) {
        let mut loads = self.loads.subscribe();
        // The sender is alive.
        let _ = loads.wait_for(|loads| !loads.is_loading).await;
    }

    /// Loads the keys regularly until `stop`.
    pub(super) async fn keep_loading(
        self: &Arc<Self>,
        interval: Duration,
        stop: CancellationToken,
    ) {
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
            KeyOrigin::File(path) => {
                let path = path.clone();
                let read = tokio::task::spawn_blocking(move || KeySet::read(&path)).await;
                read.unwrap_or_else(|error| Err(error.to_string()))
            }
            KeyOrigin::Url(url) => fetch::get(url, SET_BYTES)
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
