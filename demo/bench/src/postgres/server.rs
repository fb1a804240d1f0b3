//! A durable PostgreSQL server of this machine's programs, for one run.
//!
//! Owns: its settings, which are PostgreSQL's own defaults and not those of the tests, and its place:
//! on the disk on which the hosts on SQLite have their files.
//!
//! Must not know: hosts.

use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use saga_testkit::host::Launch;
use saga_testkit::kafka::off_thread;
use saga_testkit::postgres::server::Error;
use saga_testkit::postgres::{Server, Settings};
use saga_testkit::usage::{Process, ProcessTree};

/// PostgreSQL's defaults for what the testkit sets otherwise; so many connections are enough.
const SETTINGS: [(&str, &str); 6] = [
    ("synchronous_commit", "on"),
    ("shared_buffers", "128MB"),
    ("wal_level", "replica"),
    ("max_wal_senders", "10"),
    ("max_wal_size", "1GB"),
    ("checkpoint_timeout", "5min"),
];

/// A running server. On drop it ends, and its files are removed.
#[derive(Debug)]
pub(crate) struct BenchServer {
    /// Its version.
    pub(crate) version: String,
    server: Server,
}

impl BenchServer {
    /// Starts a server with its files in a directory of its own in `place`.
    ///
    /// # Errors
    /// There is no PostgreSQL here, or it does not start; the text says what to do.
    pub(crate) async fn start(place: &Path) -> Result<Self> {
        eprintln!("starting PostgreSQL");
        let place = place.canonicalize();
        let place = place.context("can't find the directory for PostgreSQL's files")?;
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let settings = Settings {
            fsync: true,
            further: SETTINGS.map(owned).to_vec(),
            place: Some(place),
        };
        off_thread(move || {
            let server = Server::start(&settings).map_err(|error| match error {
                Error::Unavailable(missing) => {
                    anyhow!("{missing}. On Debian and Ubuntu `make install-servers`, as root, does it")
                }
                error => error.into(),
            })?;
            let asked = server.sql(
                "SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit') || ' ' || \
                 current_setting('server_version')",
            )?;
            let durable = asked.trim().strip_prefix("on on ");
            ensure!(
                durable.is_some(),
                "the server must write each commit through: fsync and synchronous_commit are {asked}"
            );
            let version = durable.and_then(|version| version.split(' ').next());
            let version = version.unwrap_or_default().to_owned();
            Ok(Self { version, server })
        })
        .await
    }

    /// All its processes.
    ///
    /// # Errors
    /// It has ended.
    pub(crate) fn processes(&self) -> Result<ProcessTree> {
        let pid = self.server.pid().context("the server has ended")?;
        let name = "PostgreSQL".to_owned();
        Ok(ProcessTree(Process { name, pid }))
    }

    /// The same host with its store in a schema of this server.
    pub(crate) fn store(&self, launch: Launch, schema: &str) -> Launch {
        launch
            .setting("store.url", self.server.url())
            .setting("store.schema", schema)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_is_durable_and_its_work_is_counted() {
        if !saga_testkit::postgres::can_start() {
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o711);
        std::fs::set_permissions(place.path(), open).unwrap();
        let server = BenchServer::start(place.path()).await.unwrap();
        assert!(server.version.starts_with(|c: char| c.is_ascii_digit()));
        assert!(server.server.directory().starts_with(place.path()));
        let processes = server.processes().unwrap();
        let before = processes.cpu_time().unwrap();
        // The process of this connection has ended when the time is read.
        let work = "SELECT count(*) FROM generate_series(1, 3000000)";
        server.server.sql(work).unwrap();
        assert!(processes.cpu_time().unwrap() > before);
    }
}
