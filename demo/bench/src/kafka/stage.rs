//! A single host with a state that is prepared once and copied for each round.
//!
//! Owns: the directories. While the state is prepared, the host is configured for a Kafka that does
//! not exist, so it takes requests and publishes nothing, as in an outage.
//!
//! Must not know: the state, or the measurements.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::Run;
use super::names::TopicNames;
use saga_demo_client::files::{self, ServicePorts};
use saga_testkit::host::{self, Host, Launch};

/// An address without a listener.
const NOBODY: &str = "127.0.0.1:1";

/// A prepared state.
#[derive(Debug)]
pub(super) struct Prepared {
    launch: Launch,
}

impl Prepared {
    /// Starts the host of a participant without Kafka, with other names for its topics; runs
    /// `prepare` with it; then drains it.
    pub(super) async fn make(
        run: &Run<'_>,
        participant: &str,
        topics: &TopicNames<'_>,
        prepare: impl AsyncFnOnce(&Host) -> Result<()>,
    ) -> Result<Self> {
        let data = run.bench.scratch.join("prepared");
        let launches = run.bench.binaries.apart(&data, ServicePorts::default());
        let launch = launches.into_iter().find(|launch| {
            launch
                .participants
                .iter()
                .any(|one| one.name == participant)
        });
        let launch = launch.with_context(|| format!("there is no {participant}"))?;
        let alone = Launch {
            settings: topics.settings(participant),
            ..launch.clone().over(NOBODY)
        };
        files::check(&alone)?;
        let host = Host::start(&alone).await?;
        let prepared = prepare(&host).await;
        prepared.with_context(|| host.log_tail())?;
        host::drain(vec![host], std::future::pending()).await?;
        Ok(Self { launch })
    }

    /// Starts the host on a copy of the state, with the Kafka of the run.
    pub(super) async fn start(&self, run: &Run<'_>, topics: &TopicNames<'_>) -> Result<OnStage> {
        let first = self.launch.participants.first();
        let participant = first.map_or("", |one| one.name.as_str());
        let launch = Launch {
            data: run.bench.scratch.join("copy"),
            settings: topics.settings(participant),
            ..self.launch.clone().over(run.bootstrap)
        };
        copy(&self.launch.data, &launch.data)
            .with_context(|| format!("can't copy {}", self.launch.data.display()))?;
        let host = Host::start(&launch).await?;
        let data = launch.data;
        Ok(OnStage { host, data })
    }
}

/// A host on a copy of the state.
#[derive(Debug)]
pub(super) struct OnStage {
    /// The host.
    pub(super) host: Host,
    data: PathBuf,
}

impl OnStage {
    /// Waits for `work` while the host runs.
    pub(super) async fn during<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let title = &self.host.title;
        let done = tokio::select! {
            done = work => done,
            status = self.host.exited() => Err(anyhow::anyhow!("{title} ended ({status})")),
        };
        done.with_context(|| self.host.log_tail())
    }

    /// Drains the host and removes the copy.
    pub(super) async fn end(self) -> Result<()> {
        host::drain(vec![self.host], std::future::pending()).await?;
        std::fs::remove_dir_all(&self.data)
            .with_context(|| format!("can't remove {}", self.data.display()))
    }
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_all_files_of_all_directories() {
        let directory = tempfile::tempdir().unwrap();
        let from = directory.path().join("from");
        std::fs::create_dir_all(from.join("inner")).unwrap();
        std::fs::write(from.join("inner/file"), "text").unwrap();
        let to = directory.path().join("to");
        copy(&from, &to).unwrap();
        assert_eq!(
            std::fs::read_to_string(to.join("inner/file")).unwrap(),
            "text"
        );
    }
}
