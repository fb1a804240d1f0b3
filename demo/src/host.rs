//! One host as a child process: started, waited for until it is ready, and asked to end.
//!
//! Owns: what stdout promises (`listening NAME URL` and `admin URL`, then `ready`), the log file that
//! stderr goes to, and the signals. The child gets a process group of its own: Ctrl-C in a terminal
//! goes to the whole group, and would otherwise reach the host twice, which means "end now".
//!
//! Must not know: anything of the host but its command line (`launch`) and these promises, or how
//! many hosts there are (`hosts`).

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::{mpsc, watch};

use crate::http::Endpoint;
use crate::launch::Launch;
use crate::log::Log;
use crate::procfs;

/// A host that compiles its components anew takes about a second; slow machines take longer.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A host that is ready. Dropped while it runs, it is killed.
#[derive(Debug)]
pub(crate) struct Host {
    /// What it is called: `the host`, `the order host`.
    pub(crate) title: String,
    /// Its participants and where they listen.
    pub(crate) services: Vec<(&'static str, Endpoint)>,
    /// The admin interface, where the host has one.
    pub(crate) admin: Option<Endpoint>,
    /// From the start of the process to `ready`.
    pub(crate) ready_after: Duration,
    process: Process,
    log: Log,
}

impl Host {
    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// The host ended or did not get ready; the error says which host and holds the end of its log.
    pub(crate) async fn start(launch: &Launch) -> Result<Self> {
        let title = launch.title();
        let data = &launch.data;
        std::fs::create_dir_all(data)
            .with_context(|| format!("can't make the data directory {}", data.display()))?;
        if !launch.settings.is_empty() {
            let path = launch.settings_file();
            std::fs::write(&path, &launch.settings)
                .with_context(|| format!("can't write {}", path.display()))?;
        }
        let log = Log::open(&data.join("host.log"))?;
        let (process, mut lines) = Process::spawn(launch, &log)?;
        let start = Instant::now();
        let says = match tokio::time::timeout(READY_WITHIN, Says::read(&mut lines)).await {
            Ok(Ok(Some(says))) => Ok(says),
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
        let ready_after = start.elapsed();
        let says = says.map_err(|error| anyhow!("{error:#}\n{}", log.tail()))?;
        let mut services = Vec::new();
        for participant in &launch.participants {
            let name = participant.name;
            let Some(endpoint) = says.endpoint(name) else {
                bail!("{title} is ready but did not say `listening {name} URL`");
            };
            services.push((name, endpoint));
        }
        Ok(Self {
            title,
            services,
            admin: says.admin,
            ready_after,
            process,
            log,
        })
    }

    /// Its process, which is called after the participant, where it has only one.
    pub(crate) fn in_system(&self) -> procfs::Process {
        let name = match self.services.as_slice() {
            [(only, _)] => only,
            _ => "host",
        };
        procfs::Process {
            name,
            pid: self.process.pid.as_raw_nonzero().get().unsigned_abs(),
        }
    }

    /// Where a participant listens, if the host serves it.
    pub(crate) fn service(&self, name: &str) -> Option<&Endpoint> {
        let found = self.services.iter().find(|(service, _)| *service == name);
        found.map(|(_, endpoint)| endpoint)
    }

    /// Where the host's log goes.
    pub(crate) fn log(&self) -> &Path {
        self.log.path()
    }

    /// The end of the host's log, with its path.
    pub(crate) fn log_tail(&self) -> String {
        self.log.tail()
    }

    /// Asks it to finish what is under way and end; asked a second time, it ends at once.
    pub(crate) fn ask_to_end(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Returns when the process has ended, whatever made it. Giving up the wait loses nothing.
    pub(crate) async fn exited(&self) -> ExitStatus {
        self.process.exited().await
    }

    /// How the process ended; none while it runs.
    pub(crate) fn status(&self) -> Option<ExitStatus> {
        *self.process.status.borrow()
    }
}

/// What a host has said of itself by the time it is ready.
#[derive(Debug, Default)]
struct Says {
    listening: Vec<(String, Endpoint)>,
    admin: Option<Endpoint>,
}

impl Says {
    /// None where the lines end before `ready`.
    async fn read(lines: &mut mpsc::Receiver<String>) -> Result<Option<Self>> {
        let mut says = Self::default();
        while let Some(line) = lines.recv().await {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                ["listening", name, url] => {
                    let endpoint = Endpoint::parse(url)?;
                    says.listening.push(((*name).to_owned(), endpoint));
                }
                ["admin", url] => says.admin = Some(Endpoint::parse(url)?),
                ["ready"] => return Ok(Some(says)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn endpoint(&self, name: &str) -> Option<Endpoint> {
        let found = self.listening.iter().find(|(said, _)| said == name);
        found.map(|(_, endpoint)| endpoint.clone())
    }
}

#[derive(Debug)]
struct Process {
    pid: Pid,
    status: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    fn spawn(launch: &Launch, log: &Log) -> Result<(Self, mpsc::Receiver<String>)> {
        let mut child = Command::new(&launch.saga)
            .args(launch.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log.writer()?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("can't start {}", launch.saga.display()))?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the process has no id")?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        let (send_line, lines) = mpsc::channel(64);
        let (send_status, status) = watch::channel(None);
        thread::Builder::new()
            .name("host-stdout".to_owned())
            .spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // Nobody listens any more once the host is ready; the pipe must be emptied all the same.
                    let _ = send_line.blocking_send(line);
                }
                // An error here means that the process is gone already.
                let ended = child.wait().ok();
                send_status.send_replace(ended);
            })?;
        Ok((Self { pid, status }, lines))
    }

    async fn exited(&self) -> ExitStatus {
        match self.status.clone().wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_) => ExitStatus::default(),
        }
    }

    /// The id can't belong to another process: it is given anew only after the child was waited for,
    /// and then a status is known.
    fn signal(&self, signal: Signal) {
        if self.status.borrow().is_none() {
            // Fails only if the process ended just now, which is what was wanted.
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.status.borrow().is_none() {
            // The whole group, so that nothing that the host may have started outlives it.
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launch::tests::launch;

    const LISTENING: &str =
        "listening customer http://127.0.0.1:1/c\nlistening order http://127.0.0.1:2/o\n";

    #[tokio::test]
    async fn a_host_is_started_waited_for_and_asked_to_end() {
        let data = tempfile::tempdir().unwrap();
        let says = format!("{LISTENING}admin http://127.0.0.1:3\n");
        std::fs::write(data.path().join("stdout"), says).unwrap();
        let settings = "[log]\n".to_owned();
        let launch = Launch {
            settings,
            ..launch(data.path())
        };
        let host = Host::start(&launch).await.unwrap();
        let text = |endpoint: Option<&Endpoint>| endpoint.map(ToString::to_string);
        let customer = text(host.service("customer"));
        assert_eq!(customer.as_deref(), Some("http://127.0.0.1:1/c"));
        let order = text(host.service("order"));
        assert_eq!(order.as_deref(), Some("http://127.0.0.1:2/o"));
        let admin = text(host.admin.as_ref());
        assert_eq!(admin.as_deref(), Some("http://127.0.0.1:3"));
        let settings = std::fs::read_to_string(data.path().join("settings.toml")).unwrap();
        assert_eq!(settings, "[log]\n");
        assert!(host.status().is_none());
        host.ask_to_end();
        assert!(host.exited().await.success());
        assert!(host.log_tail().contains("drained"), "{}", host.log_tail());
    }

    #[tokio::test]
    async fn a_host_that_fails_shows_this_starts_log_and_no_older_one() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("fail"), "").unwrap();
        std::fs::write(data.path().join("host.log"), "an older failure\n").unwrap();
        let error = format!("{:#}", Host::start(&launch(data.path())).await.unwrap_err());
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
        std::fs::write(
            data.path().join("stdout"),
            "listening order http://127.0.0.1:2/o\n",
        )
        .unwrap();
        let error = Host::start(&launch(data.path())).await.unwrap_err();
        assert!(
            error.to_string().contains("listening customer URL"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_host_that_is_dropped_is_killed() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(data.path().join("stdout"), LISTENING).unwrap();
        let host = Host::start(&launch(data.path())).await.unwrap();
        let mut status = host.process.status.clone();
        drop(host);
        let status = *status.wait_for(Option::is_some).await.unwrap();
        assert!(!status.unwrap().success());
        assert!(
            !std::fs::read_to_string(data.path().join("host.log"))
                .unwrap()
                .contains("drained")
        );
    }
}
