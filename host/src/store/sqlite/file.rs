//! Opening the store's file: its version, its pragmas, and its checks.

use std::cmp::Ordering;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::explain::{cannot_write, explain, explain_mismatch};
use super::lock_holders::LockFile;
use super::log_mark::{self, LogMark};
use super::own_files;
use super::ownership::{LOCK_NAME, Ownership};
use super::presence::Presence;
use super::read::SqliteReader;
use super::schema;
use crate::store::open_error::OpenError;
use crate::store::read::ReadStore;

/// Pragmas of every connection. Source: <https://www.sqlite.org/pragma.html>.
const PRAGMAS: [(&str, &str); 5] = [
    ("journal_mode", "WAL"),
    // A commit is durable when it returns (invariant 10).
    ("synchronous", "FULL"),
    ("temp_store", "MEMORY"),
    ("foreign_keys", "OFF"),
    // The writer takes the checkpoints; see `log_mark`.
    ("wal_autocheckpoint", "0"),
];

/// `cache_size` of readers, in KiB as a negative number. Each commit makes what they have cached
/// stale, so more than a query needs is wasted; there are about ten.
const READER_CACHE: i32 = -256;

/// Bytes to which the log is truncated once the reader that kept it from being reset is done.
const LOG_BYTES: i64 = log_mark::ORDINARY_PAGES as i64 * log_mark::LOG_PAGE;

/// Checks before the last one that may find a file and a log that seem not to belong together.
const LOOKS: u32 = 3;

/// Delay between these checks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Longest wait for a lock of SQLite: two of them are shorter than a client's wait ([http]
/// answer_seconds).
pub(super) const BUSY: Duration = Duration::from_secs(4);

/// The same for upkeep, which is not part of a commit and is retried.
pub(super) const UPKEEP_BUSY: Duration = Duration::from_millis(50);

/// Name of the file in the data directory.
pub(super) const FILE_NAME: &str = "saga.db";

/// A store that this process owns.
pub(super) struct StoreFile {
    directory: PathBuf,
    path: PathBuf,
    _ownership: Ownership,
    identity: String,
}

/// Opens the store in this directory for reading, beside the host that may own it. None if there is
/// none.
///
/// # Errors
/// An [`OpenError`] with the file, the reason and the remedy.
pub(in crate::store) fn look(directory: &Path) -> Result<Option<Box<dyn ReadStore>>, OpenError> {
    let found = connect(directory)?;
    Ok(found.map(|sql| Box::new(SqliteReader::new(sql, Arc::default())) as Box<dyn ReadStore>))
}

/// The connection of [`look`].
pub(super) fn connect(directory: &Path) -> Result<Option<Connection>, OpenError> {
    let path = directory.join(FILE_NAME);
    if !path.exists() {
        return Ok(None);
    }
    let unusable = |error: rusqlite::Error| explain(path.clone(), &error);
    check_mismatch(&path)?;
    // Not opened read-only: a reader must be able to recover the log after a crash.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(&path, flags).map_err(unusable)?;
    leave_log(&connection)
        .and_then(|()| connection.busy_timeout(BUSY))
        .and_then(|()| connection.pragma_update(None, "query_only", "ON"))
        .map_err(unusable)?;
    let found: i64 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(unusable)?;
    match found.cmp(&schema::VERSION) {
        Ordering::Equal => Ok(Some(connection)),
        Ordering::Greater => Err(newer(path, found)),
        Ordering::Less if found > 0 => Err(older(path, found)),
        Ordering::Less => Err(OpenError::Unusable {
            path,
            reason: "has no tables yet; start a host on it first".into(),
        }),
    }
}

/// Creates a data directory if it is missing.
///
/// # Errors
/// It can't be created or used.
pub fn make_directory(directory: &Path) -> Result<(), OpenError> {
    own_files::directory(directory).map_err(|error| OpenError::Directory {
        path: directory.to_owned(),
        reason: error.to_string(),
    })
}

impl StoreFile {
    /// Opens `saga.db` in the directory, or creates it, and takes its lock.
    ///
    /// # Errors
    /// An [`OpenError`] with the file, the reason and the remedy.
    pub(super) fn open(directory: &Path) -> Result<Self, OpenError> {
        make_directory(directory)?;
        let path = directory.join(FILE_NAME);
        if path.is_dir() {
            return Err(OpenError::NotAStore {
                path,
                reason: "is a directory; move it away".into(),
            });
        }
        let ownership = Ownership::take(directory, &path)?;
        own_files::tighten(directory);
        check_mismatch(&path)?;
        let mut file = Self {
            directory: directory.to_owned(),
            path,
            _ownership: ownership,
            identity: String::new(),
        };
        file.prepare()?;
        file.identity = file.identify().map_err(|reason| OpenError::Unusable {
            path: file.path.clone(),
            reason,
        })?;
        Ok(file)
    }

    /// A name that tells this store from all others, including its copies: the copy of a file is
    /// another file.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Disk space in bytes: the database, and the log of its latest commits.
    pub(super) fn bytes(&self) -> Vec<(&'static str, u64)> {
        let log = log_mark::beside(&self.path, "-wal");
        let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        vec![("db", bytes(&self.path)), ("wal", bytes(&log))]
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The shared-memory index of the log; SQLite's locks are on its bytes.
    pub(super) fn index(&self) -> PathBuf {
        log_mark::beside(&self.path, "-shm")
    }

    /// The file on which other programs' locks are looked up.
    pub(super) fn locks(&self) -> LockFile {
        LockFile::at(&self.index())
    }

    /// Takes over the checkpoints of the store and the presence checks of its files, for the
    /// writer.
    pub(super) fn guard(&self, writing: &mut Connection) -> anyhow::Result<(LogMark, Presence)> {
        writing.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES, |_| Ok(()))?;
        let mark = LogMark::new(&self.path, writing)?;
        let files = [
            self.path.clone(),
            log_mark::beside(&self.path, "-wal"),
            log_mark::beside(&self.path, "-shm"),
            self.directory.join(LOCK_NAME),
        ];
        Ok((mark, Presence::new(&self.directory, &files)?))
    }

    /// A connection that may write. Only the writer has one.
    pub(super) fn writing(&self) -> rusqlite::Result<Connection> {
        self.connection(OpenFlags::SQLITE_OPEN_READ_WRITE)
    }

    /// A connection that only reads.
    pub(super) fn reading(&self) -> rusqlite::Result<Connection> {
        let connection = self.connection(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // Not opened read-only: a reader must be able to recover the log after a crash.
        connection.pragma_update(None, "query_only", "ON")?;
        connection.pragma_update(None, "cache_size", READER_CACHE)?;
        Ok(connection)
    }

    fn connection(&self, access: OpenFlags) -> rusqlite::Result<Connection> {
        let connection =
            Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY)?;
        leave_log(&connection)?;
        keep_plans(&connection)?;
        for (name, value) in PRAGMAS {
            connection.pragma_update(None, name, value)?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        Ok(connection)
    }

    fn identify(&self) -> Result<String, String> {
        let number = std::fs::metadata(&self.path).map_err(|error| error.to_string())?;
        let name: String = (self.reading())
            .and_then(|sql| sql.query_row("SELECT id FROM identity", [], |row| row.get(0)))
            .map_err(|error| error.to_string())?;
        Ok(format!("{name}-{:x}", number.ino()))
    }

    fn prepare(&self) -> Result<(), OpenError> {
        let path = || self.path.clone();
        let unusable = |error: rusqlite::Error| explain(path(), &error);
        let mut connection = Connection::open(&self.path).map_err(unusable)?;
        leave_log(&connection)
            .and_then(|()| connection.pragma_update(None, "wal_autocheckpoint", 0))
            .map_err(unusable)?;
        // SQLite opens a file without write permission as read-only, and reports that at the first
        // write.
        if connection.is_readonly("main").map_err(unusable)? {
            return Err(OpenError::Unusable {
                path: path(),
                reason: cannot_write("it may only be read"),
            });
        }
        let found: i64 = connection
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .map_err(unusable)?;
        let application: i64 = connection
            .pragma_query_value(None, "application_id", |row| row.get(0))
            .map_err(unusable)?;
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
            .map_err(unusable)?;
        if tables > 0 && application != schema::APPLICATION_ID {
            return Err(OpenError::NotAStore {
                path: path(),
                reason: "is a SQLite database of another program; choose another data directory"
                    .into(),
            });
        }
        if found > schema::VERSION {
            return Err(newer(path(), found));
        }
        if found < schema::VERSION && tables > 0 {
            return Err(older(path(), found));
        }
        if tables == 0 {
            let transaction = connection.transaction().map_err(unusable)?;
            schema::create(&transaction).map_err(unusable)?;
            transaction.commit().map_err(unusable)?;
        }
        drop(connection);
        self.writing().map(drop).map_err(unusable)
    }
}

/// No version before this one has been released, so there is no migration.
fn older(path: PathBuf, found: i64) -> OpenError {
    OpenError::Unusable {
        path,
        reason: format!(
            "has schema version {found}, of a build before the first release; this saga needs {}: choose another data directory",
            schema::VERSION
        ),
    }
}

fn newer(path: PathBuf, found: i64) -> OpenError {
    OpenError::Newer {
        path,
        found,
        known: schema::VERSION,
    }
}

/// Keeps a connection from taking a checkpoint when it is closed: checkpoints are the writer's.
fn leave_log(connection: &Connection) -> rusqlite::Result<()> {
    (connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)).map(drop)
}

/// Makes a connection keep the plan of a cached statement. Otherwise SQLite recompiles a statement
/// when a bound value changes that may affect the plan, such as a limit or the start of a range.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    (connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)).map(drop)
}

/// An error if the file and the log don't belong together.
fn check_mismatch(path: &Path) -> Result<(), OpenError> {
    for _ in 0..LOOKS {
        if log_mark::judge(path).is_none() {
            return Ok(());
        }
        // A running host may have taken a checkpoint between two checks.
        std::thread::sleep(BETWEEN_LOOKS);
    }
    match log_mark::judge(path) {
        None => Ok(()),
        Some(mismatch) => Err(OpenError::Mismatch {
            path: path.to_owned(),
            reason: explain_mismatch(mismatch),
        }),
    }
}

/// Closes the writing connection, usually the last one: then the database file stands alone.
pub(super) fn close(writing: Connection) -> rusqlite::Result<()> {
    writing.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    writing.close().map_err(|(_, error)| error)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let first = StoreFile::open(directory.path()).unwrap();
        let Err(OpenError::InUse { .. }) = StoreFile::open(directory.path()) else {
            panic!("was let in")
        };
        drop(first);
        StoreFile::open(directory.path()).unwrap();
    }

    #[test]
    fn a_store_is_told_from_others_and_from_its_copies() {
        let (one, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let identity = |directory: &Path| StoreFile::open(directory).unwrap().identity().to_owned();
        let first = identity(one.path());
        assert_eq!(identity(one.path()), first);
        std::fs::copy(one.path().join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
        assert_ne!(identity(copy.path()), first);
        assert_ne!(identity(tempfile::tempdir().unwrap().path()), first);
    }

    #[test]
    fn a_directory_in_its_place_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("saga.db")).unwrap();
        let error = StoreFile::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("saga.db: is a directory"), "{error}");
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        drop(StoreFile::open(directory.path()).unwrap());
        let path = directory.path().join("saga.db");
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let error = StoreFile::open(directory.path()).err().unwrap().to_string();
        assert!(
            error.contains("schema version 99") && error.contains("newer saga"),
            "{error}"
        );
        let version: i64 = Connection::open(&path)
            .unwrap()
            .pragma_query_value(None, "user_version", |row| row.get(0))
            .unwrap();
        assert_eq!(version, 99);
    }

    #[test]
    fn an_older_schema_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        drop(StoreFile::open(directory.path()).unwrap());
        let older = "PRAGMA user_version = 1";
        let path = directory.path().join("saga.db");
        Connection::open(path)
            .unwrap()
            .execute_batch(older)
            .unwrap();
        let expected = "has schema version 1, of a build before the first release; this saga needs 3: choose another data directory";
        let opened = StoreFile::open(directory.path()).err().unwrap().to_string();
        assert!(opened.ends_with(expected), "{opened}");
        let looked = look(directory.path()).err().unwrap().to_string();
        assert!(looked.ends_with(expected), "{looked}");
    }

    #[test]
    fn a_file_that_is_no_store_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("saga.db"),
            "no database at all, only some text in a file",
        )
        .unwrap();
        let error = StoreFile::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("is not a store"), "{error}");
    }

    #[test]
    fn a_database_of_another_program_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("saga.db");
        Connection::open(&path)
            .unwrap()
            .execute_batch("CREATE TABLE theirs (x)")
            .unwrap();
        let error = StoreFile::open(directory.path()).err().unwrap().to_string();
        assert!(error.contains("another program"), "{error}");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let error = StoreFile::open(Path::new("/proc/saga-data"))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("data directory /proc/saga-data"), "{error}");
    }
}
