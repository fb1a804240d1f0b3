//! A backup of a data directory: the store, and the components that it needs. It is a data
//! directory itself.
//!
//! It gets its name only when it is complete and on disk.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Serialize;

use super::archive::Archive;
use crate::store::backup::BackupError;
use crate::store::{ReadStore, StoreFault, StoreLocation, StoreResult, copy};

/// A finished backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Backup {
    /// Its directory.
    pub target: PathBuf,
    /// Size of its store in bytes.
    pub store_bytes: u64,
    /// Digests of the components in it.
    pub components: Vec<String>,
    /// Digests of active components without a copy; rules that are linked into the program have
    /// none.
    pub missing: Vec<String>,
    /// Duration in milliseconds.
    pub ms: u64,
}

/// Backs up a data directory, even while a host runs on it.
///
/// # Errors
/// The reason why there is no backup. Nothing is left of it.
pub fn backup(store: &StoreLocation, target: &Path) -> Result<Backup, BackupError> {
    let began = Instant::now();
    let data = match store {
        StoreLocation::Directory(data) => data,
        StoreLocation::Server(address) => return Err(BackupError::Server(address.to_string())),
    };
    let failed = |path: &Path, reason: String| BackupError::Target {
        path: path.to_owned(),
        reason,
    };
    let is_taken = match std::fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    if is_taken {
        return Err(failed(
            target,
            "exists already; name a directory that does not".into(),
        ));
    }
    let mut unfinished = target.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let unfinished = PathBuf::from(unfinished);
    // Left by a backup that was interrupted.
    let _ = std::fs::remove_dir_all(&unfinished);
    let made = std::fs::create_dir_all(&unfinished)
        .map_err(|error| failed(&unfinished, error.to_string()))
        .and_then(|()| fill(data, &unfinished))
        .and_then(|made| {
            put_in_place(&unfinished, target).map_err(|error| failed(target, error.to_string()))?;
            Ok(made)
        });
    if made.is_err() {
        let _ = std::fs::remove_dir_all(&unfinished);
    }
    let (store_bytes, components, missing) = made?;
    Ok(Backup {
        target: target.to_owned(),
        store_bytes,
        components,
        missing,
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

type Filled = (u64, Vec<String>, Vec<String>);

fn fill(data: &Path, into: &Path) -> Result<Filled, BackupError> {
    let reading = copy(data, into)?;
    let unreadable = |error: StoreFault| BackupError::Copy {
        path: data.to_owned(),
        reason: error.to_string(),
    };
    let active = active(&*reading).map_err(unreadable)?;
    drop(reading);
    // After the store, since a component is archived before its generation is recorded.
    let (from, to) = (Archive::new(data), Archive::new(into));
    let components = (from.digests()).map_err(|reason| BackupError::Copy {
        path: data.to_owned(),
        reason,
    })?;
    let mut copied = Vec::new();
    for digest in &components {
        // Damaged or just removed copies are skipped; that matters only if they are active.
        if let Ok(bytes) = from.read(digest) {
            to.keep(digest, &bytes)
                .map_err(|reason| BackupError::Target {
                    path: into.to_owned(),
                    reason,
                })?;
            copied.push(digest.clone());
        }
    }
    let missing = active.into_iter().filter(|digest| !copied.contains(digest));
    let store = into.join("saga.db");
    let bytes = std::fs::metadata(&store).map_or(0, |file| file.len());
    Ok((bytes, copied.clone(), missing.collect()))
}

/// The digests of the active components.
pub(super) fn active(reading: &dyn ReadStore) -> StoreResult<Vec<String>> {
    let mut digests = Vec::new();
    for name in reading.participants()? {
        if let Some(row) = reading.participant(&name)?
            && let Some(active) = reading.active(row)?
        {
            digests.push(active.component);
        }
    }
    Ok(digests)
}

fn put_in_place(unfinished: &Path, target: &Path) -> std::io::Result<()> {
    File::open(unfinished)?.sync_all()?;
    std::fs::rename(unfinished, target)?;
    let parent = target.parent().filter(|path| !path.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
