//! The end of a running host, and the files that it reads again meanwhile.

use std::sync::Arc;
use std::thread::JoinHandle as Thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::RunningHost;
use crate::rollout::watch;

/// Time that the end of everything but the listeners gets in any case.
const LAST: Duration = Duration::from_secs(2);

impl RunningHost {
    /// Re-reads the files: applies components that differ from the active ones, uses the present
    /// certificates for new connections, and loads the keys that check tokens. Must be called within
    /// a tokio runtime.
    pub fn reread(&self) {
        let certificates = self.certificates.clone();
        tokio::task::spawn_blocking(move || {
            for (name, tls) in certificates {
                tls.reread(&name);
            }
        });
        if let Some(auth) = &self.auth {
            auth.reread();
        }
        if let Some((ask, _)) = &self.watch {
            // A request that is queued already will read the present files.
            let _ = ask.try_send(watch::Reread);
        }
    }

    /// Finishes the work in flight and closes the store, within this time. Clients have half of it;
    /// if the other half is shorter than [`LAST`], the rest has that long.
    ///
    /// # Errors
    /// The step that was not done in time. End the process then: some of its threads may be stuck.
    pub async fn drain(self, time: Duration) -> Result<(), &'static str> {
        let began = Instant::now();
        self.reloader.refuse();
        self.stop.listening.cancel();
        // No request in flight needs later records: requests that waited for a decision have
        // stopped waiting.
        self.stop.consuming.cancel();
        self.store.published().notify();
        self.store.timers().notify();
        for listener in self.listeners {
            if let Err(error) = listener.await {
                tracing::error!(%error, "a listener broke");
            }
        }
        let stop = self.stop.clone();
        let step = Arc::new(Mutex::new("a free thread"));
        let at = step.clone();
        let rest = move || {
            let at = |step| *at.lock() = step;
            at("the swap in flight");
            self.reloader.close();
            if let Some((ask, thread)) = self.watch {
                drop(ask);
                join(thread, "the watch over the components' files");
            }
            at("the consumers");
            for hosted in self.reloader.hosted() {
                hosted.join_consumers();
            }
            at("the timers");
            for thread in self.timers {
                join(thread, "a timer thread");
            }
            at("the turns");
            for hosted in self.reloader.hosted() {
                hosted.participant.finish();
            }
            // Before the store is closed, since the stages and the audit read it.
            self.stages.end();
            if let Some(audit) = self.audit {
                audit.end();
            }
            at("the last commits");
            self.store.settle_up();
            at("the relay");
            self.stop.publishing.cancel();
            self.store.published().notify();
            if let Some(relay) = self.relay {
                join(relay, "the relay");
            }
            at("the store to be closed");
            self.store.close();
        };
        let left = || time.saturating_sub(began.elapsed()).max(LAST);
        match tokio::time::timeout(left(), tokio::task::spawn_blocking(rest)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the drain broke; the next start recovers"),
            Err(_) => return Err(*step.lock()),
        }
        stop.admin.cancel();
        if let Some(listener) = self.admin_listener {
            // An operator's open connection must not delay the end.
            if let Ok(Err(error)) = tokio::time::timeout(left(), listener).await {
                tracing::error!(%error, "the admin listener broke");
            }
        }
        Ok(())
    }
}

fn join(thread: Thread<()>, what: &str) {
    if thread.join().is_err() {
        tracing::error!("{what} panicked");
    }
}
