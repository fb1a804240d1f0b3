//! One participant that runs, with what a swap has to bring along: its routes and its sources.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio_util::sync::CancellationToken;

use super::file::{File, Mark};
use super::fit;
use super::settings::{ParticipantSettings, RolloutSettings};
use crate::base::clock::now_ms;
use crate::http::service::{Service, Serving};
use crate::store::{Store, StoreFault, registry};
use crate::transport::{Source, Transport};
use crate::turn::{Active, Participant};

/// A participant that runs.
pub struct Hosted {
    /// Its settings.
    pub own: ParticipantSettings,
    /// Its row in the store.
    pub row: i64,
    /// Its workers.
    pub participant: Arc<Participant>,
    service: Arc<Service>,
    /// Path prefix under which it is served until the next start.
    base_path: String,
    file: File,
    file_at_start: Option<String>,
    /// What the file was known by when the active generation became active, or at the start.
    file_then: Mutex<Option<Mark>>,
    consumers: Mutex<Vec<Consumer>>,
}

/// A source that is read.
struct Consumer {
    source: Arc<Source>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Hosted {
    /// A participant that is served, and reads nothing yet.
    #[must_use]
    pub fn new(
        own: ParticipantSettings,
        row: i64,
        participant: Arc<Participant>,
        service: Arc<Service>,
        base_path: String,
        file_at_start: Option<String>,
    ) -> Self {
        Self {
            file_then: Mutex::new(Mark::of(&own.component)),
            file: File::new(own.component.clone()),
            own,
            row,
            participant,
            service,
            base_path,
            file_at_start,
            consumers: Mutex::default(),
        }
    }

    /// Path prefix under which it is served until the next start.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The file that it is configured with.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The digest of that file when the host started; none where it could not be read.
    #[must_use]
    pub fn file_at_start(&self) -> Option<&str> {
        self.file_at_start.as_deref()
    }

    /// Notes what the file is when a generation becomes active: what it was when that was read from it, or else what it is now.
    pub fn note_file(&self, read: Option<Mark>) {
        let mark = read.or_else(|| Mark::of(self.file.path()));
        *self
            .file_then
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = mark;
    }

    /// Whether the file was replaced since the active generation became active, or since the start.
    #[must_use]
    pub fn is_file_replaced(&self, now: Option<Mark>) -> bool {
        let then = *self
            .file_then
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match (then, now) {
            (Some(then), Some(now)) => !now.is_content_of(&then),
            (then, now) => then.is_some() != now.is_some(),
        }
    }

    /// The routes and documents of a generation, as they would be served.
    ///
    /// # Errors
    /// Says which command can't be served and why.
    pub fn serving(
        &self,
        settings: &RolloutSettings,
        active: &Arc<Active>,
    ) -> Result<Serving, String> {
        let configured = fit::configured(&self.own, settings.page_items);
        Serving::new(active.clone(), &self.base_path, &configured)
    }

    /// Serves these routes from now on; gives those that were served before.
    pub fn serve(&self, serving: Serving) -> Arc<Serving> {
        self.service.swap(serving)
    }

    /// What is read.
    #[must_use]
    pub fn sources(&self) -> Vec<Arc<Source>> {
        let consumers = self.lock();
        consumers.iter().map(|c| c.source.clone()).collect()
    }

    /// Reads these sources from now on, and no others. Those that are read already go on undisturbed.
    ///
    /// # Errors
    /// Which sources can't be read; all others are.
    pub fn read(
        &self,
        sources: &[Arc<Source>],
        transport: &dyn Transport,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let mut consumers = self.lock();
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut *consumers)
            .into_iter()
            .partition(|consumer| sources.contains(&consumer.source));
        *consumers = kept;
        dropped.iter().for_each(|consumer| consumer.stop.cancel());
        dropped.into_iter().for_each(Consumer::join);
        let mut problems = Vec::new();
        for source in sources {
            if consumers.iter().any(|consumer| consumer.source == *source) {
                continue;
            }
            let stop = stop.child_token();
            self.participant.reads(&source.topic);
            match transport.consume(source.clone(), self.participant.clone(), stop.clone()) {
                Ok(thread) => consumers.push(Consumer {
                    source: source.clone(),
                    stop,
                    thread,
                }),
                Err(error) => problems.push(format!("topic {}: {error:#}", source.topic)),
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems.join("; "))
        }
    }

    /// Notes in the store what is read, so that what is not any more holds nothing back.
    ///
    /// # Errors
    /// What the store said.
    pub fn note_consumers(&self, store: &Store) -> Result<(), StoreFault> {
        let name = self.participant.name().to_owned();
        let sources = self.sources();
        let consumers: Vec<_> = sources
            .iter()
            .map(|source| (source.consumer.clone(), source.topic_row))
            .collect();
        store.run(move |sql| registry::note_consumers(sql, &name, &consumers, now_ms()))
    }

    /// Waits for the end of all consumers, which must have been told to stop.
    pub fn join_consumers(&self) {
        let consumers = std::mem::take(&mut *self.lock());
        consumers.into_iter().for_each(Consumer::join);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Consumer>> {
        self.consumers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Consumer {
    fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(topic = %self.source.topic, "a consumer panicked");
        }
    }
}
