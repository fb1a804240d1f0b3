//! A hosted participant, with its routes and its sources, which change in a swap.

use std::sync::Arc;
use std::thread::JoinHandle;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::audit::Findings;
use super::component_file::{ConfiguredFile, FileStamp};
use super::settings::{ParticipantSettings, RolloutSettings};
use super::topics;
use crate::apidocs::Configured;
use crate::base::clock::now_ms;
use crate::store::{Store, StoreFault};
use crate::transport::{Source, Transport};
use crate::turn::{Active, Participant};

/// Makes the routes and documents of a generation, as they would be served.
///
/// # Errors
/// Says which command can't be served and why.
pub type Prepare =
    Box<dyn Fn(&Arc<Active>, &Configured<'_>) -> Result<ServeRoutes, String> + Send + Sync>;

/// Prepared routes and documents of a generation. When called, serves them from now on, and returns
/// the previous ones, to be dropped.
pub type ServeRoutes = Box<dyn FnOnce() -> Box<dyn Send> + Send>;

/// A hosted participant.
pub struct HostedParticipant {
    /// Its settings.
    pub own: ParticipantSettings,
    /// Its row in the store.
    pub row: i64,
    /// Its workers.
    pub participant: Arc<Participant>,
    /// What the audit of its decisions found.
    pub audit: Findings,
    prepare: Prepare,
    /// Path prefix of its routes until the next start.
    base_path: String,
    file: ConfiguredFile,
    file_at_start: Option<String>,
    /// Stamp of the file when the active generation became active, or at the start.
    file_then: Mutex<Option<FileStamp>>,
    consumers: Mutex<Vec<RunningConsumer>>,
}

/// A running consumer of a source.
struct RunningConsumer {
    source: Arc<Source>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl HostedParticipant {
    /// A participant that is served and reads nothing yet.
    #[must_use]
    pub fn new(
        own: ParticipantSettings,
        row: i64,
        participant: Arc<Participant>,
        prepare: Prepare,
        base_path: String,
        file_at_start: Option<String>,
    ) -> Self {
        Self {
            file_then: Mutex::new(FileStamp::of(&own.component)),
            file: ConfiguredFile::new(own.component.clone()),
            own,
            row,
            participant,
            audit: Findings::default(),
            prepare,
            base_path,
            file_at_start,
            consumers: Mutex::default(),
        }
    }

    /// Path prefix of its routes until the next start.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The file that it is configured with.
    #[must_use]
    pub fn file(&self) -> &ConfiguredFile {
        &self.file
    }

    /// The digest of that file at the host's start; `None` if it could not be read.
    #[must_use]
    pub fn file_at_start(&self) -> Option<&str> {
        self.file_at_start.as_deref()
    }

    /// Notes the file's stamp when a generation becomes active: that of the moment when it was
    /// read, or else the present one.
    pub fn note_file(&self, read: Option<FileStamp>) {
        let mark = read.or_else(|| FileStamp::of(self.file.path()));
        *self.file_then.lock() = mark;
    }

    /// True if the file was replaced since the active generation became active, or since the start.
    #[must_use]
    pub fn is_file_replaced(&self, now: Option<FileStamp>) -> bool {
        let then = *self.file_then.lock();
        match (then, now) {
            (Some(then), Some(now)) => !now.is_content_of(&then),
            (then, now) => then.is_some() != now.is_some(),
        }
    }

    /// The routes and documents of a generation.
    ///
    /// # Errors
    /// The command that can't be served, and the reason.
    pub fn serving(
        &self,
        settings: &RolloutSettings,
        active: &Arc<Active>,
    ) -> Result<ServeRoutes, String> {
        let configured = topics::configured(&self.own, settings.page_items, &settings.security);
        (self.prepare)(active, &configured)
    }

    /// The sources that are read.
    #[must_use]
    pub fn sources(&self) -> Vec<Arc<Source>> {
        let consumers = self.consumers.lock();
        consumers.iter().map(|c| c.source.clone()).collect()
    }

    /// Reads exactly these sources from now on. Consumers of sources that stay are not disturbed.
    ///
    /// # Errors
    /// The sources that can't be read; all others are.
    pub fn read(
        &self,
        sources: &[Arc<Source>],
        transport: &dyn Transport,
        stop: &CancellationToken,
    ) -> Result<(), String> {
        let mut consumers = self.consumers.lock();
        let (kept, dropped): (Vec<_>, Vec<_>) = std::mem::take(&mut *consumers)
            .into_iter()
            .partition(|consumer| sources.contains(&consumer.source));
        *consumers = kept;
        dropped.iter().for_each(|consumer| consumer.stop.cancel());
        dropped.into_iter().for_each(RunningConsumer::join);
        let mut problems = Vec::new();
        for source in sources {
            if consumers.iter().any(|consumer| consumer.source == *source) {
                continue;
            }
            let stop = stop.child_token();
            self.participant.reads(&source.topic);
            match transport.consume(source.clone(), self.participant.clone(), stop.clone()) {
                Ok(thread) => consumers.push(RunningConsumer {
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

    /// Records the consumers in the store, so that those of former sources hold nothing back.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn note_consumers(&self, store: &Store) -> Result<(), StoreFault> {
        let sources = self.sources();
        let consumers: Vec<_> = sources
            .iter()
            .map(|source| (source.consumer.clone(), source.topic_row))
            .collect();
        store.note_consumers(self.participant.name(), &consumers, now_ms())
    }

    /// Waits for the end of all consumers, which must have been told to stop.
    pub fn join_consumers(&self) {
        let consumers = std::mem::take(&mut *self.consumers.lock());
        consumers.into_iter().for_each(RunningConsumer::join);
    }
}

impl RunningConsumer {
    fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(topic = %self.source.topic, "a consumer panicked");
        }
    }
}
