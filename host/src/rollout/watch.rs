//! The files of the components: when one is replaced, its component is applied.
//!
//! Files are looked at, not listened to: a look costs a microsecond, and works alike for a file that is
//! written over, one that is moved into place, one behind a link that is turned, and one on a file system
//! that tells nobody. A file that has changed is taken when it has stayed the same from one look to the next, and
//! holds other bytes than what was last taken from there.
//!
//! Who asks for the files to be read means a file that was replaced, whatever it holds: it may be an older build, put back.
//! But one that has not been touched since the active generation became active is left alone, because the same signal
//! renews certificates: what was gone back from must not come back with them. It is said that it differs.

use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::file::Mark;
use super::flags::Flags;
use super::hosted::Hosted;
use super::report::{NotApplied, Way};
use super::{Apply, Reloader};
use crate::plugin::{compile, component};

/// Wait before a file that could not be applied for a reason that passes is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Asks the watch to look at all files now.
pub struct Reread;

/// Starts the thread that looks at the files every `interval`, or only when it is asked to. It ends when nobody can
/// ask any more.
///
/// # Errors
/// When the thread can't be made.
pub fn start(
    reloader: Reloader,
    interval: Option<Duration>,
    asked: Receiver<Reread>,
) -> std::io::Result<JoinHandle<()>> {
    let mut files: Vec<Watched> = reloader.hosted().map(Watched::new).collect();
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

struct Watched {
    participant: String,
    path: PathBuf,
    /// What was there at the last look, and whether it was looked into.
    seen: Option<Mark>,
    is_known: bool,
    /// Digest of what was last taken from here, or was here at the start. The same bytes once more are no news: they
    /// may be what was gone back from.
    taken: Option<String>,
    /// Whether it was never looked into: what is there then is what the host started with, most of the time.
    is_first: bool,
    /// Not before, after what was there could not be applied for a reason that passes.
    again: Option<Instant>,
}

impl Watched {
    fn new(hosted: &Hosted) -> Self {
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

    /// Takes what is there when it has not changed since the last look.
    fn look(&mut self, reloader: &Reloader) {
        let now = Mark::of(&self.path);
        if now != self.seen {
            self.seen = now;
            self.is_known = false;
            self.again = None;
            return;
        }
        let is_due = self.again.is_none_or(|again| Instant::now() >= again);
        // A file that is gone is none to be taken.
        if !self.is_known && is_due && now.is_some() {
            self.take(reloader, Way::File, now);
        }
    }

    /// Takes what is there now.
    fn reread(&mut self, reloader: &Reloader) {
        self.seen = Mark::of(&self.path);
        self.take(reloader, Way::Signal, self.seen);
    }

    /// What comes of it is said in the log, told in the overview and kept in the store.
    fn take(&mut self, reloader: &Reloader, way: Way, mark: Option<Mark>) {
        self.is_known = true;
        let apply = |bytes| Apply {
            participant: self.participant.clone(),
            bytes,
            origin: self.path.display().to_string(),
            way,
            flags: Flags::default(),
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
            Way::Signal => active.digest() != digest && !hosted.is_file_replaced(mark),
            _ => self.taken.as_ref() == Some(&digest),
        };
        if is_left_alone {
            // What was there at the start was told of then.
            if way == Way::Signal || !is_first || hosted.is_file_replaced(mark) {
                self.leave_alone(&digest, active.digest());
            }
            return;
        }
        match reloader.apply_blocking(&apply(bytes)) {
            Ok(_) => self.taken = Some(digest),
            Err(NotApplied::Busy(_) | NotApplied::Failed(_)) => {
                self.is_known = false;
                self.again = Some(Instant::now() + RETRY);
            }
            // Offered again when it is touched, or asked for: the reason may have passed.
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
                "the file is not what is active, and holds nothing new; nothing is swapped"
            );
        }
    }
}
