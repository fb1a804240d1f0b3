//! The files of the components: when one is replaced, its component is applied.
//!
//! Files are looked at, not listened to: a look costs a microsecond, and works alike for a file that is
//! written over, one that is moved into place, one behind a link that is turned, and one on a file system
//! that tells nobody. A file that has changed is taken when it has stayed the same from one look to the next.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::file::Mark;
use super::report::Way;
use super::{Apply, Reloader};
use crate::plugin::component;

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
    let mut files: Vec<Watched> = reloader
        .hosted()
        .map(|hosted| Watched::new(hosted.participant.name(), &hosted.own.component))
        .collect();
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
    /// What was taken, or was there at the start.
    taken: Option<Mark>,
    /// What was there at the last look.
    seen: Option<Mark>,
}

impl Watched {
    fn new(participant: &str, path: &Path) -> Self {
        let mark = Mark::of(path);
        Self {
            participant: participant.to_owned(),
            path: path.to_owned(),
            taken: mark,
            seen: mark,
        }
    }

    fn look(&mut self, reloader: &Reloader) {
        let now = Mark::of(&self.path);
        let has_settled = now == self.seen;
        self.seen = now;
        // A file that is gone is none to be taken.
        if has_settled && now.is_some() && now != self.taken {
            self.taken = now;
            self.apply(reloader, Way::File);
        }
    }

    fn reread(&mut self, reloader: &Reloader) {
        self.seen = Mark::of(&self.path);
        self.taken = self.seen;
        self.apply(reloader, Way::Signal);
    }

    /// What comes of it is said in the log, told in the overview and kept in the store.
    fn apply(&self, reloader: &Reloader, way: Way) {
        let apply = |bytes| Apply {
            participant: self.participant.clone(),
            bytes,
            origin: self.path.display().to_string(),
            way,
            drop_used: false,
        };
        match component::read(&self.path) {
            Ok(bytes) => {
                let _ = reloader.apply_blocking(&apply(bytes));
            }
            Err(error) => reloader.not_read(&apply(Vec::new()), &error),
        }
    }
}
