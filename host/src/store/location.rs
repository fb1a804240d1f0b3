//! Where a store is: in a data directory, or on a server. Opens it there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::copy::rows::{Rows, TargetRows};
use super::engine::{Engine, Stopped};
use super::idempotency::IdempotencySettings;
use super::open_error::OpenError;
use super::read::ReadStore;
use super::settings::StoreSettings;
use super::streams::OutboxReaders;
use super::{ServerAddress, postgres, sqlite};
use crate::metrics::Commits;

/// Where a store is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// A file in this data directory.
    Directory(PathBuf),
    /// The tables of a PostgreSQL schema.
    Server(ServerAddress),
}

/// The components that a store on a server keeps for all its hosts. A store in a directory keeps
/// them in files beside it.
pub trait Components: Send + Sync {
    /// The bytes of this digest, if they are there.
    ///
    /// # Errors
    /// The server's message.
    fn read(&self, digest: &str) -> Result<Option<Vec<u8>>, String>;

    /// Keeps a component.
    ///
    /// # Errors
    /// The server's message.
    fn keep(&self, digest: &str, bytes: &[u8]) -> Result<(), String>;

    /// All digests, sorted.
    ///
    /// # Errors
    /// The server's message.
    fn digests(&self) -> Result<Vec<String>, String>;

    /// Deletes all but these; returns the deleted digests.
    ///
    /// # Errors
    /// The server's message.
    fn retain(&self, digests: &[String]) -> Result<Vec<String>, String>;
}

impl StoreLocation {
    /// Opens the store for a host, or creates it, and starts its writer.
    ///
    /// # Errors
    /// An [`OpenError`] if the store can't be used; or the system's error.
    pub fn open(
        &self,
        settings: StoreSettings,
        idempotency: IdempotencySettings,
        readers: OutboxReaders,
        commits: Commits,
    ) -> anyhow::Result<Arc<dyn Engine>> {
        match self {
            Self::Directory(data) => sqlite::open(data, settings, idempotency, readers, commits),
            Self::Server(address) => {
                postgres::open(address.clone(), settings, idempotency, readers, commits)
            }
        }
    }

    /// Opens the store for reading, beside the host that may own it. None if there is none.
    ///
    /// # Errors
    /// An [`OpenError`] with the store, the reason and the remedy.
    pub fn look(&self) -> Result<Option<Box<dyn ReadStore>>, OpenError> {
        match self {
            Self::Directory(data) => sqlite::look(data),
            Self::Server(address) => postgres::look(address),
        }
    }

    /// Opens the store to read and change it while no host runs on it. None if there is none.
    ///
    /// # Errors
    /// An [`OpenError`] with the store, the reason and the remedy.
    pub fn own(&self) -> Result<Option<Box<dyn Stopped>>, OpenError> {
        match self {
            Self::Directory(data) => sqlite::own(data),
            Self::Server(address) => postgres::own(address),
        }
    }

    /// All rows of the store, while no host runs on it. None if there is none.
    ///
    /// # Errors
    /// An [`OpenError`] with the store, the reason and the remedy.
    pub(crate) fn rows(&self) -> Result<Option<Box<dyn Rows>>, OpenError> {
        match self {
            Self::Directory(data) => sqlite::rows(data),
            Self::Server(address) => postgres::rows(address),
        }
    }

    /// All rows of the store, beside the host that may own it. None if there is none.
    ///
    /// # Errors
    /// An [`OpenError`] with the store, the reason and the remedy.
    pub(crate) fn rows_beside(&self) -> Result<Option<Box<dyn Rows>>, OpenError> {
        match self {
            Self::Directory(data) => sqlite::rows_beside(data),
            Self::Server(address) => postgres::rows_beside(address),
        }
    }

    /// The store, to be filled with rows while no host runs on it; it is created if there is none.
    ///
    /// # Errors
    /// An [`OpenError`] with the store, the reason and the remedy.
    pub(crate) fn target_rows(&self) -> Result<Box<dyn TargetRows>, OpenError> {
        match self {
            Self::Directory(data) => sqlite::target_rows(data),
            Self::Server(address) => postgres::target_rows(address),
        }
    }

    /// True if both are the same place.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(one), Self::Directory(two)) => {
                let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
                real(one) == real(two)
            }
            (Self::Server(one), Self::Server(two)) => one == two,
            _ => false,
        }
    }

    /// The components that the store keeps, if it is on a server.
    #[must_use]
    pub fn components(&self) -> Option<Arc<dyn Components>> {
        match self {
            Self::Directory(_) => None,
            Self::Server(address) => Some(postgres::components(address)),
        }
    }

    /// The data directory of a store in one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Self::Directory(data) => Some(data),
            Self::Server(_) => None,
        }
    }
}

impl fmt::Display for StoreLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(data) => data.display().fmt(f),
            Self::Server(address) => address.fmt(f),
        }
    }
}
