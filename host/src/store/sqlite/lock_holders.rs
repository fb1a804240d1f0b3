//! Other programs that hold locks of the store: they are named if they block the writer, or keep
//! the log from shrinking.
//!
//! SQLite's locks in WAL mode are locks on single bytes of the log's index (`saga.db-shm`); the
//! system lists them with their processes. Only `/proc` is read. If the system reports nothing, no
//! program is named.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};

use crate::store::fault::{StoreFault, StoreFaultKind};

/// The file whose bytes carry the locks: the index of a store's log, by its inode. Read in advance,
/// so that a hanging disk need not be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LockFile(Option<Numbers>);

/// A file by its device (major and minor) and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Numbers {
    device: (u32, u32),
    inode: u64,
}

impl Numbers {
    /// True if a lock on a file of these numbers is on this file. File systems without a device of
    /// their own (major 0: overlay, btrfs) report another device in the list of locks than for the
    /// file.
    fn is(self, other: Self) -> bool {
        let is_alike = self.device == other.device || self.device.0 == 0;
        self.inode == other.inode && is_alike
    }
}

impl LockFile {
    /// No file; no locks are found on it.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// The file at this path.
    pub(super) fn at(index: &Path) -> Self {
        let file = std::fs::metadata(index).ok();
        Self(file.map(|file| Numbers {
            device: (major(file.dev()), minor(file.dev())),
            inode: file.ino(),
        }))
    }
}

/// The byte of SQLite's write lock, and those of its read locks. Source:
/// <https://www.sqlite.org/walformat.html>.
const WRITES: u64 = 120;
const READS: std::ops::RangeInclusive<u64> = 123..=127;

/// Most programs to name.
const MOST: usize = 4;

/// Other processes that hold the write lock: `process 4711 (sqlite3)`.
#[must_use]
pub(super) fn writers(index: LockFile) -> Option<String> {
    holders(index, |first, last| (first..=last).contains(&WRITES))
}

/// The fault of an error; it names the program that has locked the store, if that is the reason.
pub(super) fn fault(error: &rusqlite::Error, index: LockFile) -> StoreFault {
    let fault = StoreFault::from(error);
    let is_locked = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy);
    match is_locked.then(|| writers(index)).flatten() {
        Some(holder) => StoreFault::new(
            StoreFaultKind::Passing,
            format!("{fault}: {holder} has locked it; end that program, or its transaction"),
        ),
        None => fault,
    }
}

/// Other processes that read an old snapshot of the store.
#[must_use]
pub(super) fn readers(index: LockFile) -> Option<String> {
    holders(index, |first, last| {
        first <= *READS.end() && last >= *READS.start()
    })
}

fn holders(LockFile(index): LockFile, is_meant: impl Fn(u64, u64) -> bool) -> Option<String> {
    let index = index?;
    let locks = std::fs::read_to_string("/proc/locks").ok()?;
    let own = std::process::id();
    let mut found: Vec<u32> = (locks.lines().filter_map(held))
        .filter(|lock| index.is(lock.file) && lock.process != own)
        .filter(|lock| is_meant(lock.first, lock.last))
        .map(|lock| lock.process)
        .collect();
    found.sort_unstable();
    found.dedup();
    found.truncate(MOST);
    let named: Vec<String> = found.into_iter().map(named).collect();
    (!named.is_empty()).then(|| named.join(", "))
}

/// A lock that a process holds.
#[derive(Debug, PartialEq, Eq)]
struct HeldLock {
    process: u32,
    file: Numbers,
    first: u64,
    last: u64,
}

/// `7: POSIX  ADVISORY  READ 4711 fd:01:9876 123 123`. None for other lines, such as those of
/// waiting processes (`7: -> …`).
fn held(line: &str) -> Option<HeldLock> {
    let mut words = line.split_ascii_whitespace().skip(1);
    if words.next()? != "POSIX" {
        return None;
    }
    let mut words = words.skip(2);
    let process = words.next()?.parse().ok()?;
    let mut numbers = words.next()?.split(':');
    let mut device = || u32::from_str_radix(numbers.next()?, 16).ok();
    let device = (device()?, device()?);
    let inode = numbers.next()?.parse().ok()?;
    let first = words.next()?.parse().ok()?;
    let last = words.next()?.parse().unwrap_or(u64::MAX);
    Some(HeldLock {
        process,
        file: Numbers { device, inode },
        first,
        last,
    })
}

fn named(process: u32) -> String {
    if process == 0 {
        return "a process that is not seen from here (of another container)".into();
    }
    let name = std::fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
    match name.trim() {
        "" => format!("process {process}"),
        name => format!("process {process} ({name})"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn the_locks_of_this_process_are_not_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = crate::store::sqlite::file::StoreFile::open(directory.path()).unwrap();
        let sql = file.writing().unwrap();
        let count = "SELECT count(*) FROM sqlite_master";
        sql.query_row(count, [], |_| Ok(())).unwrap();
        let index = LockFile::at(&file.index());
        assert_ne!(index, LockFile(None));
        // The process's own locks are not reported.
        sql.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!((writers(index), readers(index)), (None, None));
    }

    #[test]
    fn a_lock_is_read_with_its_process_and_bytes() {
        let line = "7: POSIX  ADVISORY  READ 4711 fd:01:9876 123 124";
        let lock = HeldLock {
            process: 4711,
            file: Numbers {
                device: (0xfd, 1),
                inode: 9876,
            },
            first: 123,
            last: 124,
        };
        assert_eq!(held(line).as_ref(), Some(&lock));
        let on = |device| Numbers {
            device,
            inode: 9876,
        };
        assert!(on((0xfd, 1)).is(lock.file) && on((0, 40)).is(lock.file));
        assert!(!on((0xfd, 2)).is(lock.file), "another volume");
        let to_the_end = held("1: POSIX  ADVISORY  WRITE 1 00:2f:5 0 EOF");
        assert_eq!(to_the_end.map(|lock| lock.last), Some(u64::MAX));
        for other in [
            "7: -> POSIX  ADVISORY  READ 4711 fd:01:9876 123 123",
            "8: FLOCK  ADVISORY  WRITE 4711 fd:01:9876 0 EOF",
            "9: POSIX  ADVISORY  READ",
            "",
        ] {
            assert_eq!(held(other), None, "{other}");
        }
    }
}
