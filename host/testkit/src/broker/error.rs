//! Errors of brokers, for people: the step, its place, and the words of the program.

use std::io;
use std::path::{Path, PathBuf};

/// The programs that this machine lacks; each in one line, with how to get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There is no `java`.
    #[error("no Java 17 found; install a JDK (17 or later) and Maven")]
    NoJava,
    /// It is too old, or does not say its version.
    #[error(
        "{} is of version {found}, and Kafka needs 17; install a JDK of version 17 or later, or set JAVA_HOME",
        java.display()
    )]
    OldJava {
        /// The program.
        java: PathBuf,
        /// Its version, in its own words.
        found: String,
    },
    /// The jars have not been fetched, and there is no `mvn` to do it.
    #[error("no Maven found, which gets Kafka's jars; install it")]
    NoMaven,
}

/// Why a broker or a tool does not do what it should.
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
        /// Why it failed.
        source: io::Error,
    },
    /// Maven did not get the jars.
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
        /// How it ended.
        status: String,
        /// Its output.
        said: String,
    },
    /// There is no tool of this name.
    #[error("`{0}` is none of Kafka's tools that are known here")]
    UnknownTool(String),
    /// The broker ended, or did not get ready or stop in time.
    #[error("the broker {what}; the end of its log, {}:\n{tail}", log.display())]
    Broker {
        /// The step that it failed at.
        what: String,
        /// Where its log is.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The broker was started without what is asked for.
    #[error("the broker has no {0}; ask for it in `Settings::security`")]
    NotConfigured(&'static str),
}

impl Error {
    /// Names what was tried with a path, to be used with `map_err`.
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }
}
