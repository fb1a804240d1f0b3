//! Builds and tests a project with the toolchain of its language, whose output goes to the terminal.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio_util::sync::CancellationToken;

use super::project::Project;
use crate::base::notify::Notify;
use crate::base::stop::NotifiedAtStop;

/// Delay between two looks at a process.
const LOOK: Duration = Duration::from_millis(20);

/// Time that a stopped process gets to end.
const LAST: Duration = Duration::from_secs(3);

/// A step from sources to a component that may be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Build the component.
    Build,
    /// Run the tests.
    Test,
}

/// The reason why a step did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepFailed {
    /// The step failed; its program has said why.
    #[error("{0}")]
    Failed(&'static str),
    /// Its program can't be started.
    #[error("{0}")]
    NoProgram(String),
    /// The stop was asked for.
    #[error("stopped")]
    Stopped,
}

impl Step {
    fn failure(self) -> StepFailed {
        StepFailed::Failed(match self {
            Self::Build => "the component does not build",
            Self::Test => "a test fails, or the tests do not build",
        })
    }
}

/// How the programs of a toolchain are called.
#[derive(Debug, Clone, Default)]
pub struct Toolchain {
    /// The mask of the modes of its files, if it is not that of this process.
    pub umask: Option<u32>,
    /// Ends a step in progress.
    pub stop: CancellationToken,
    /// True for a process group of its own, so that a stop ends its compilers and tests too. Then
    /// the caller handles signals, of which a terminal sends it none.
    pub has_own_group: bool,
}

impl Toolchain {
    /// Runs a command of a step to its end, or until the stop.
    ///
    /// # Errors
    /// The reason why it did not succeed.
    pub fn run(&self, step: Step, words: &[&str], project: &Project) -> Result<(), StepFailed> {
        let [program, arguments @ ..] = words else {
            return Ok(());
        };
        let mut command = self.command(program);
        command.args(arguments).current_dir(&project.folder);
        if self.has_own_group {
            command.process_group(0);
        }
        let child = command.stdin(Stdio::null()).spawn();
        let mut child = child.map_err(|error| {
            StepFailed::NoProgram(format!("{program} can't be started: {error}"))
        })?;
        let status = ended(&mut child, &self.stop);
        if self.stop.is_cancelled() {
            return Err(StepFailed::Stopped);
        }
        match status {
            Some(status) if status.success() => Ok(()),
            _ => Err(step.failure()),
        }
    }

    fn command(&self, program: &str) -> Command {
        let Some(umask) = self.umask else {
            return Command::new(program);
        };
        let mut shell = Command::new("sh");
        shell.args(["-c", "umask \"$0\" && exec \"$@\""]);
        shell.args([&format!("{umask:04o}"), program]);
        shell
    }
}

/// Waits for the end of a process, which a stop brings about.
fn ended(child: &mut Child, stop: &CancellationToken) -> Option<ExitStatus> {
    let notify = Notify::default();
    let _notified = NotifiedAtStop::new(stop, &notify);
    let mut stopped: Option<Instant> = None;
    loop {
        let seen = notify.count();
        match child.try_wait() {
            Ok(None) => {}
            Ok(Some(status)) => return Some(status),
            Err(_) => return None,
        }
        match stopped {
            None if stop.is_cancelled() => {
                signal(child, Signal::TERM);
                stopped = Some(Instant::now());
            }
            Some(since) if since.elapsed() > LAST => signal(child, Signal::KILL),
            _ => {}
        }
        notify.wait(seen, LOOK);
    }
}

/// Signals the group of a process. Fails only if it has just ended.
fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, signal);
    }
}
