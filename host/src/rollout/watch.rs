//! Watches the components' files and applies replaced ones.
//!
//! Files are polled: a poll costs a microsecond, and works alike for a file that is overwritten,
//! moved into place, or behind a changed link, and on file systems without notifications. A changed
//! file is applied once it has stayed the same for two polls, if its bytes differ from those last
//! applied from there.
//!
//! A request to re-read applies a replaced file whatever it holds: it may be an older build, put
//! back. But a file that was not touched since the active generation became active is left alone,
//! because the same signal renews certificates, and must not undo a rollback. The difference is
//! logged.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::component_file::FileStamp;
use super::flags::Flags;
use super::hosted::HostedParticipant;
use super::report::{NotApplied, Way};
use super::rule_settings::CandidateSettings;
use super::{Apply, Reloader};
use crate::plugin::{compile, component};

/// Delay before a retry of a file that could not be applied for a temporary reason.
const RETRY: Duration = Duration::from_secs(5);

/// Requests that all files are re-read now.
pub struct Reread;

/// Starts the thread that polls the files every `interval`, or only acts on requests. It ends when
/// the last sender is dropped.
///
/// # Errors
/// If the thread can't be started.
pub fn start(
    reloader: Reloader,
    interval: Option<Duration>,
    asked: Receiver<Reread>,
) -> std::io::Result<JoinHandle<()>> {
    let mut files: Vec<FileWatch> = reloader.hosted().map(FileWatch::new).collect();
    std::thread::Builder::new()
        .name("watch".into())
        .spawn(move || {
            loop {
                let event = match interval {
                    Some(interval) => asked.recv_timeout(interval),
                    None => asked.recv().map_err(RecvTimeoutError::from),
                };
                match event {
                    Ok(Reread) => files.iter_mut().for_each(|file| file.reread(&reloader)),
                    Err(RecvTimeoutError::Timeout) => {
                        files.iter_mut().for_each(|file| file.look(&reloader));
                    }
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })
}

struct FileWatch {
    participant: String,
    path: PathBuf,
    /// The stamp at the last poll. `is_known` is true once its content was examined.
    seen: Option<FileStamp>,
    is_known: bool,
    /// Digest of the bytes that were last applied from here, or that were here at the start. The
    /// same bytes are not applied again: a rollback may have left them.
    taken: Option<String>,
    /// True until the file is first examined; at first it usually holds the rules of the start.
    is_first: bool,
    /// Time of the next attempt, after a temporary failure.
    again: Option<Instant>,
}

impl FileWatch {
    fn new(hosted: &HostedParticipant) -> Self {
        Self {
            participant: hosted.participant.name().to_owned(),
            path: hosted.own.component.clone(),
            seen: None,
            is_known: false,
            is_first: true,
            taken: hosted.file_at_start().map(str::to_owned),
            again: None,
        }
    }

    /// Applies the file if it has changed and then stayed the same since the last poll.
    fn look(&mut self, reloader: &Reloader) {
        let now = FileStamp::of(&self.path);
        if now != self.seen {
            self.seen = now;
            self.is_known = false;
            self.again = None;
            return;
        }
        let is_due = self.again.is_none_or(|again| Instant::now() >= again);
        // A missing file is not applied.
        if !self.is_known && is_due && now.is_some() {
            self.take(reloader, Way::File, now);
        }
    }

    /// Applies the present file.
    fn reread(&mut self, reloader: &Reloader) {
        self.seen = FileStamp::of(&self.path);
        self.take(reloader, Way::Signal, self.seen);
    }

    /// The result is logged, stored and shown in the overview.
    fn take(&mut self, reloader: &Reloader, way: Way, mark: Option<FileStamp>) {
        self.is_known = true;
        let apply = |bytes| Apply {
            participant: self.participant.clone(),
            bytes,
            origin: self.path.display().to_string(),
            way,
            flags: Flags::default(),
            acknowledged: None,
            settings: CandidateSettings::default(),
            file: mark,
        };
        let bytes = match component::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) => return reloader.not_read(&apply(Vec::new()), &error),
        };
        let digest = compile::digest(&bytes);
        let is_first = std::mem::replace(&mut self.is_first, false);
        let mut hosted = reloader.hosted();
        let Some(hosted) = hosted.find(|one| one.participant.name() == self.participant) else {
            return;
        };
        let active = hosted.participant.active();
        let is_left_alone = match way {
            Way::Signal => active.component() != digest && !hosted.is_file_replaced(mark),
            _ => self.taken.as_ref() == Some(&digest),
        };
        if is_left_alone {
            // A difference at the start was reported at the start.
            if way == Way::Signal || !is_first || hosted.is_file_replaced(mark) {
                self.leave_alone(&digest, active.component());
            }
            return;
        }
        let (participant, path) = (&self.participant, self.path.display());
        tracing::info!(%participant, %path, "the file has changed; it is checked");
        match reloader.apply_blocking(&apply(bytes)) {
            Ok(_) => self.taken = Some(digest),
            Err(NotApplied::Busy(_) | NotApplied::Failed(_)) => {
                self.is_known = false;
                self.again = Some(Instant::now() + RETRY);
            }
            // Applied again when it is touched or on request: the reason may have passed.
            Err(_) => {}
        }
    }

    fn leave_alone(&self, file: &str, active: &str) {
        let (participant, path) = (&self.participant, self.path.display());
        if file == active {
            tracing::info!(%participant, %path, digest = %file, "the file holds what is active; nothing is swapped");
        } else {
            tracing::warn!(
                %participant, %path, file, active, remedy = %format!("saga apply {participant} {path}"),
                "the file differs from the active component, but has not changed; nothing is swapped"
            );
        }
    }
}
