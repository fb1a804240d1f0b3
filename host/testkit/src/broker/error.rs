//! Errors of brokers, as text: the step, its place, and the message of the program.

use std::io;
use std::path::{Path, PathBuf};

use crate::process::Failure;

/// Programs that this machine lacks. Each message is one line and says how to get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no `java`.
    #[error("no Java 17 found; install a JDK (17 or later) and Maven")]
    NoJava,
    /// It is too old, or doesn't report its version.
    #[error(
        "{} is of version {found}, and Kafka needs 17; install a JDK of version 17 or later, or set JAVA_HOME",
        java.display()
    )]
    OldJava {
        /// The program.
        java: PathBuf,
        /// Its version, as it reports it.
        found: String,
    },
    /// The jars have not been fetched, and there is no `mvn` to do it.
    #[error("no Maven found, which gets Kafka's jars; install it")]
    NoMaven,
}

/// The errors of brokers and tools.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The machine lacks something.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// A file, a directory or a process could not be handled.
    #[error("{what}: {source}")]
    Io {
        /// The step, with the path.
        what: String,
        /// The error.
        source: io::Error,
    },
    /// Maven could not get the jars.
    #[error("Maven could not get Kafka's jars; is its registry reachable? It said:\n{said}")]
    Fetch {
        /// Its output.
        said: String,
    },
    /// A Kafka tool, or the formatting of the storage, failed.
    #[error("{name} failed ({status}) and said:\n{said}")]
    Tool {
        /// Name of the tool.
        name: String,
        /// Its exit status.
        status: String,
        /// Its output.
        said: String,
    },
    /// There is no tool of this name.
    #[error("`{0}` is none of Kafka's tools that are known here")]
    UnknownTool(String),
    /// The broker ended, or did not start or stop in time.
    #[error("the broker {what}; the end of its log, {}:\n{tail}", log.display())]
    Broker {
        /// The step at which it failed.
        what: String,
        /// Path of its log.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The broker was started without the wanted settings.
    #[error("the broker has no {0}; ask for it in `Settings::security`")]
    NotConfigured(&'static str),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Io { what, source } => Self::Io { what, source },
            Failure::Ended { what, log, tail } => Self::Broker { what, log, tail },
        }
    }
}

impl Error {
    /// Adds the step and the path to an error, for `map_err`.
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }
}
