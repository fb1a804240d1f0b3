//! A host as a child process: start, readiness, drain, kill.
//!
//! Owns: the lines that a host promises on standard output (`listening NAME URL` and `admin URL`,
//! then `ready`), the log file for standard error, and the signals.
//!
//! # Layout
//!
//! - [`launch`]: the command line
//! - [`group`]: several hosts as one
//! - [`log`]: its log; `process`: its process
//!
//! Must not know: anything of the host but its command line and these lines.

pub mod group;
pub mod launch;
pub mod log;
mod process;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::Signal;
use tokio::sync::mpsc;

use crate::http::BaseUrl;
use crate::usage;

pub use group::{Hosts, drain};
pub use launch::{Launch, LaunchedParticipant};
pub use log::Log;
use process::HostProcess;

/// Longest start. A host compiles its components in about a second; slow machines take longer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A host that is ready. It is killed on drop.
#[derive(Debug)]
pub struct Host {
    /// Its name in messages: `the host`, `the order host`.
    pub title: String,
    /// Its participants and their addresses.
    pub services: Vec<(String, BaseUrl)>,
    /// The URL of the admin interface, if the host has one.
    pub admin: Option<BaseUrl>,
    /// Lines on standard output that are not promised.
    pub other_lines: Vec<String>,
    /// Time from the start of the process to `ready`.
    pub ready_after: Duration,
    process: HostProcess,
    log: Log,
}

impl Host {
    /// Starts the process, with its log in `host.log` of its data directory, and waits until it is
    /// ready.
    ///
    /// # Errors
    /// The host ended or did not get ready; with its name and the end of its log.
    pub async fn start(launch: &Launch) -> Result<Self> {
        let (title, data) = (launch.title(), &launch.data);
        std::fs::create_dir_all(data)
            .with_context(|| format!("can't make the data directory {}", data.display()))?;
        if !launch.settings.is_empty() {
            let path = launch.settings_file();
            std::fs::write(&path, &launch.settings)
                .with_context(|| format!("can't write {}", path.display()))?;
        }
        let (log, stderr) = Log::open(&data.join("host.log"))?;
        let command = launch.command();
        let host = Self::spawn(command, launch.own_group, title, stderr, log).await?;
        for LaunchedParticipant { name, .. } in &launch.participants {
            if host.service(name).is_none() {
                bail!(
                    "{} is ready but did not say `listening {name} URL`",
                    host.title
                );
            }
        }
        Ok(host)
    }

    /// Starts this command and waits until it is ready.
    ///
    /// # Errors
    /// As for [`Host::start`].
    pub async fn spawn(
        command: Command,
        own_group: bool,
        title: String,
        stderr: Stdio,
        log: Log,
    ) -> Result<Self> {
        let start = Instant::now();
        let (process, mut lines) = HostProcess::spawn(command, own_group, stderr)?;
        let told = tokio::time::timeout(READY_WITHIN, ReadyLines::read(&mut lines)).await;
        let told = match told {
            Ok(Ok(Some(told))) => Ok(told),
            Ok(Ok(None)) => {
                let status = process.exited().await;
                Err(anyhow!("{title} ended before it was ready ({status})"))
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(anyhow!(
                "{title} was not ready within {} s",
                READY_WITHIN.as_secs()
            )),
        };
        let told = told.map_err(|error| anyhow!("{error:#}\n{}", log.tail()))?;
        Ok(Self {
            title,
            services: told.services,
            admin: told.admin,
            other_lines: told.other_lines,
            ready_after: start.elapsed(),
            process,
            log,
        })
    }

    /// Its process, named after the participant if there is only one.
    pub fn in_system(&self) -> usage::Process {
        let name = match self.services.as_slice() {
            [(only, _)] => only.clone(),
            _ => "host".to_owned(),
        };
        usage::Process {
            name,
            pid: self.process.id(),
        }
    }

    /// The URL of a participant, if the host serves it.
    pub fn service(&self, name: &str) -> Option<&BaseUrl> {
        let found = self.services.iter().find(|(service, _)| service == name);
        found.map(|(_, url)| url)
    }

    /// The log of the host.
    pub fn log_path(&self) -> &Path {
        self.log.path()
    }

    /// The end of the host's log, with its path.
    pub fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Sends SIGTERM: it drains and ends. The second time, it ends at once.
    pub fn ask_to_end(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Kills it, which is like a crash.
    pub fn kill(&self) {
        self.process.signal(Signal::KILL);
    }

    /// Pauses it: its connections stay open, but nothing is answered.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Resumes it after [`pause`](Self::pause).
    pub fn resume(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Returns when the process has ended, for whatever reason. Cancel-safe.
    pub async fn exited(&self) -> ExitStatus {
        self.process.exited().await
    }

    /// Its exit status; None while it runs.
    pub fn status(&self) -> Option<ExitStatus> {
        self.process.status()
    }
}

/// A script that stands in for a host's program in tests: see its first lines.
pub fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hosts/host.sh")
}

/// The lines of a host on standard output until it is ready.
#[derive(Debug, Default)]
struct ReadyLines {
    services: Vec<(String, BaseUrl)>,
    admin: Option<BaseUrl>,
    other_lines: Vec<String>,
}

impl ReadyLines {
    /// None if the output ends before `ready`.
    async fn read(lines: &mut mpsc::Receiver<String>) -> Result<Option<Self>> {
        let mut told = Self::default();
        while let Some(line) = lines.recv().await {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["listening", name, url] => {
                    let url = BaseUrl::parse(url)?;
                    told.services.push(((*name).to_owned(), url));
                }
                ["admin", url] => told.admin = Some(BaseUrl::parse(url)?),
                ["ready"] => return Ok(Some(told)),
                _ => told.other_lines.push(line),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shell script that stands in for a host.
    async fn spawn(script: &str, data: &Path) -> Result<Host> {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let (log, stderr) = Log::open(&data.join("host.log"))?;
        Host::spawn(command, true, "the host".to_owned(), stderr, log).await
    }

    const READY: &str = "echo listening customer http://127.0.0.1:1/c; echo admin http://127.0.0.1:3; echo what; echo ready;";

    #[tokio::test]
    async fn a_host_is_started_awaited_and_asked_to_end() {
        let data = tempfile::tempdir().unwrap();
        let script =
            format!("trap 'echo drained >&2; exit 0' TERM; {READY} while :; do sleep 0.01; done");
        let host = spawn(&script, data.path()).await.unwrap();
        let text = |url: Option<&BaseUrl>| url.map(ToString::to_string);
        let customer = text(host.service("customer"));
        assert_eq!(customer.as_deref(), Some("http://127.0.0.1:1/c"));
        let admin = text(host.admin.as_ref());
        assert_eq!(admin.as_deref(), Some("http://127.0.0.1:3"));
        assert_eq!(host.other_lines, ["what"]);
        assert!(host.status().is_none());
        host.ask_to_end();
        assert!(host.exited().await.success());
        assert!(host.log_tail().contains("drained"), "{}", host.log_tail());
    }

    #[tokio::test]
    async fn a_host_that_fails_shows_this_starts_log_and_no_older_one() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("host.log"), "an older failure\n").unwrap();
        let failed = spawn("echo the store is broken >&2; exit 3", data.path()).await;
        let error = format!("{:#}", failed.unwrap_err());
        assert!(
            error.contains("the host ended before it was ready (exit status: 3)"),
            "{error}"
        );
        assert!(error.contains("| the store is broken"), "{error}");
        assert!(!error.contains("older"), "{error}");
    }

    #[tokio::test]
    async fn a_host_that_does_not_say_where_it_listens_is_refused() {
        let data = tempfile::tempdir().unwrap();
        let program = data.path().join("host.sh");
        std::fs::write(&program, "#!/bin/sh\necho ready\n").unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let launch = Launch::new(&program, data.path()).participant("customer", &program, 0);
        let error = Host::start(&launch).await.unwrap_err().to_string();
        assert!(error.contains("listening customer URL"), "{error}");
    }

    #[tokio::test]
    async fn a_host_that_is_dropped_is_killed() {
        let data = tempfile::tempdir().unwrap();
        let script =
            format!("trap 'echo drained >&2; exit 0' TERM; {READY} while :; do sleep 0.01; done");
        let host = spawn(&script, data.path()).await.unwrap();
        let id = host.in_system().pid;
        drop(host);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
        let log = std::fs::read_to_string(data.path().join("host.log")).unwrap();
        assert!(!log.contains("drained"), "{log}");
    }
}
