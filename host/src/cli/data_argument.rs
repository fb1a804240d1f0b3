//! The arguments `--data` and `--config`: where a command finds the store of a host.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::{load, setting};
use super::operate::DATA;
use super::reply::CommandFailure;
use crate::store::{SERVER_SCHEMES, StoreLocation};

/// The environment variable with the URL of a host's store.
const URL_VARIABLE: &str = "SAGA__STORE__URL";

/// The store of a host, with its settings.
#[derive(Debug, Clone, Args)]
pub(super) struct StoreArguments {
    /// The data directory of the host, or the postgres:// URL of its store
    #[arg(long, value_name = "DIR|URL", default_value = DATA)]
    data: DataArgument,
    /// Settings file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl StoreArguments {
    /// The settings file.
    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }

    /// The store: see [`DataArgument::location`].
    pub(super) fn location(&self) -> Result<StoreLocation, CommandFailure> {
        self.data.location(self.config())
    }
}

/// A data directory, or the URL of a store on PostgreSQL.
#[derive(Clone)]
pub(crate) struct DataArgument(OsString);

impl DataArgument {
    /// The store that the argument names. A URL has its password, certificates and schema from the
    /// settings file and the environment.
    pub(super) fn given(&self, file: Option<&Path>) -> Result<StoreLocation, CommandFailure> {
        let directory = PathBuf::from(&self.0);
        let Some(url) = self.url() else {
            return Ok(StoreLocation::Directory(directory));
        };
        let config = load(file, vec![setting(&["store", "url"], url, "--data")])?;
        Ok(config.store.location(&directory))
    }

    /// The store: without the argument, the one that the settings file or the environment name.
    pub(super) fn location(&self, file: Option<&Path>) -> Result<StoreLocation, CommandFailure> {
        let may_be_set = file.is_some() || std::env::var_os(URL_VARIABLE).is_some();
        if self.0 != DATA || !may_be_set {
            return self.given(file);
        }
        let config = load(file, Vec::new())?;
        Ok(config.store.location(Path::new(DATA)))
    }

    fn url(&self) -> Option<&str> {
        let text = self.0.to_str()?;
        let is_url = SERVER_SCHEMES.iter().any(|scheme| text.starts_with(scheme));
        is_url.then_some(text)
    }
}

impl From<OsString> for DataArgument {
    fn from(text: OsString) -> Self {
        Self(text)
    }
}

/// Without the password of a URL.
impl fmt::Debug for DataArgument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.url() {
            Some(_) => f.write_str("DataArgument(URL)"),
            None => f.debug_tuple("DataArgument").field(&self.0).finish(),
        }
    }
}
