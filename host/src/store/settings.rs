//! Settings of a store, with any engine.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::secret::Secret;

/// Settings of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoreSettings {
    /// Most entries in one commit.
    #[schemars(range(min = 1, max = 100_000))]
    pub batch: usize,
    /// Hours after which published events, identities and recorded decisions may be deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub retention_hours: u64,
    /// Most bytes of recorded decisions, of all participants together; the oldest ones are deleted
    /// beyond it, before they are as old as `retention_hours`. 0 for no bound. A row counts with its
    /// key, its state and its compressed decision.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub journal_bytes: u64,
    /// Hours after which dead letters are deleted.
    #[schemars(range(min = 1, max = 876_000))]
    pub dead_letter_hours: u64,
    /// Bytes that the file may grow to, together with its log if a program keeps that from
    /// shrinking; 0 for no bound. Beyond it writes fail as on a full disk.
    #[schemars(range(min = 0, max = i64::MAX))]
    pub max_bytes: u64,
    /// Seconds that a commit may wait for the disk or for a lock. After that the host is not ready,
    /// and commands are refused until the store goes on.
    #[schemars(range(min = 1, max = 3_600))]
    pub standstill_seconds: u64,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            batch: 1_024,
            retention_hours: 168,
            journal_bytes: 0,
            dead_letter_hours: 2_160,
            max_bytes: 0,
            standstill_seconds: 5,
        }
    }
}

/// Where a store on PostgreSQL is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerSettings {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with parameters of libpq after `?`.
    pub url: Secret,
    /// The password, if it is not in the URL.
    pub password: Option<Secret>,
    /// A file with the certificates (PEM) of the authorities that may have issued the server's;
    /// without it, those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The PostgreSQL schema of its tables.
    pub schema: String,
}
