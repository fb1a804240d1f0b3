//! The process of a host: its lines on standard output, signals, and its end.
//!
//! Must not know: the meaning of the lines.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::panic::AssertUnwindSafe;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::sync::{mpsc, watch};

/// Most lines that wait to be read; a host writes a handful.
const LINES_MAX: usize = 64;

/// A started process. It is killed on drop.
#[derive(Debug)]
pub(super) struct HostProcess {
    pid: Pid,
    has_own_group: bool,
    status: watch::Receiver<Option<ExitStatus>>,
    /// Waits for the end.
    waiter: Option<AssertUnwindSafe<JoinHandle<()>>>,
}

impl HostProcess {
    /// Starts it; returns the lines of its standard output.
    pub(super) fn spawn(
        mut command: Command,
        own_group: bool,
        stderr: Stdio,
    ) -> Result<(Self, mpsc::Receiver<String>)> {
        if own_group {
            command.process_group(0);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .with_context(|| format!("can't start {}", command.get_program().display()))?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("the process has no id")?;
        let stdout = child.stdout.take().context("the process has no stdout")?;
        let (send_line, lines) = mpsc::channel(LINES_MAX);
        thread::Builder::new()
            .name("host-stdout".to_owned())
            .spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    // After `ready` nothing reads the lines, but the pipe must be emptied.
                    let _ = send_line.blocking_send(line);
                }
            })?;
        let (send_status, status) = watch::channel(None);
        let waiter = thread::Builder::new()
            .name("host-end".to_owned())
            .spawn(move || {
                // An error means that the process is gone.
                let ended = child.wait().unwrap_or_default();
                send_status.send_replace(Some(ended));
            })?;
        let process = Self {
            pid,
            has_own_group: own_group,
            status,
            waiter: Some(AssertUnwindSafe(waiter)),
        };
        Ok((process, lines))
    }

    /// Its process id.
    pub(super) fn id(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its exit status; None while it runs.
    pub(super) fn status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    /// Returns when it has ended.
    pub(super) async fn exited(&self) -> ExitStatus {
        match self.status.clone().wait_for(Option::is_some).await {
            Ok(status) => status.unwrap_or_default(),
            Err(_) => ExitStatus::default(),
        }
    }

    /// The id can't belong to another process: it becomes free only when the child is reaped, and
    /// then the status is known.
    pub(super) fn signal(&self, signal: Signal) {
        if self.status().is_none() {
            // Fails only if the process has just ended.
            let _ = kill_process(self.pid, signal);
        }
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        if self.status().is_some() {
            return;
        }
        // The whole group, in case the host has started processes.
        let _ = if self.has_own_group {
            kill_process_group(self.pid, Signal::KILL)
        } else {
            kill_process(self.pid, Signal::KILL)
        };
        if let Some(AssertUnwindSafe(waiter)) = self.waiter.take() {
            // Its directory may be removed next.
            let _ = waiter.join();
        }
    }
}
