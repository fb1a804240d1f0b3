//! Processes of other programs: start, wait, signals, end.
//!
//! Their output goes to a file; a line in it shows that one is ready. On Linux a [`bound`] process
//! is killed when the program that started it ends for whatever reason (`setpriv --pdeathsig`). The
//! system watches the *thread* that started it, so all are started by one thread that lasts as long
//! as the program.
//!
//! Must not know: the programs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Interval at which files and processes are polled.
const LOOK: Duration = Duration::from_millis(20);

/// Number of lines of the log's end in an error.
const TAIL_LINES: usize = 30;
const TAIL_BYTES: u64 = 32 * 1024;

/// A process could not be handled.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A file, or the start of the process, failed.
    #[error("{what}: {source}")]
    Io {
        /// The step, with the path.
        what: String,
        /// The error.
        source: io::Error,
    },
    /// It ended, or did not start or stop in time.
    #[error("it {what}; the end of its log, {}:\n{tail}", log.display())]
    Ended {
        /// The step at which it failed.
        what: String,
        /// Path of its log.
        log: PathBuf,
        /// The last lines of its log.
        tail: String,
    },
}

impl Failure {
    /// Adds the step and the path to an error, for `map_err`.
    pub(crate) fn at(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("{what} {}", path.display());
        move |source| Self::Io { what, source }
    }
}

/// A process with a log. It is killed on drop.
#[derive(Debug)]
pub(crate) struct LoggedProcess {
    child: Child,
    log: PathBuf,
    /// Position in the log at which this start begins.
    begins: u64,
}

impl LoggedProcess {
    /// Starts it [`bound`]; its output is appended to the log.
    ///
    /// # Errors
    /// It can't be started, or the log can't be written.
    pub(crate) fn start_bound(command: &Command, log: &Path) -> Result<Self, Failure> {
        Self::start(bound(command), log)
    }

    /// Starts it; its output is appended to the log.
    ///
    /// # Errors
    /// It can't be started, or the log can't be written.
    pub(crate) fn start(mut command: Command, log: &Path) -> Result<Self, Failure> {
        let open = || -> io::Result<(File, u64)> {
            let mut file = File::options().create(true).append(true).open(log)?;
            let begins = file.seek(SeekFrom::End(0))?;
            Ok((file, begins))
        };
        let (file, begins) = open().map_err(Failure::at("can't write", log))?;
        let program = PathBuf::from(command.get_program());
        let failed = Failure::at("can't start", &program);
        let output = file.try_clone().map_err(Failure::at("can't write", log))?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let child = spawn(command).map_err(failed)?;
        Ok(Self {
            child,
            log: log.to_owned(),
            begins,
        })
    }

    /// Waits until its log, since this start, contains a text this many times.
    ///
    /// # Errors
    /// It ended, or the time is over; with the end of its log.
    pub(crate) fn until_it_says(
        &mut self,
        text: &str,
        times: usize,
        within: Duration,
    ) -> Result<(), Failure> {
        let until = Instant::now() + within;
        loop {
            if self.times_it_said(text) >= times {
                return Ok(());
            }
            if let Some(status) = self.ended() {
                return Err(self.failure(format!("ended ({status}) before it said `{text}`")));
            }
            if Instant::now() > until {
                let within = within.as_secs();
                return Err(self.failure(format!("did not say `{text}` within {within} s")));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Number of times that its log, since this start, contains a text.
    pub(crate) fn times_it_said(&self, text: &str) -> usize {
        let said = read_from(&self.log, self.begins).unwrap_or_default();
        said.matches(text).count()
    }

    /// Sends a signal that ends it, and waits for its end.
    ///
    /// # Errors
    /// It does not end in time, and is killed.
    pub(crate) fn stop(mut self, by: Signal, within: Duration) -> Result<(), Failure> {
        self.signal(by);
        // A paused process takes no other signal.
        self.signal(Signal::CONT);
        let until = Instant::now() + within;
        while self.ended().is_none() {
            if Instant::now() > until {
                return Err(self.failure(format!("did not stop within {} s", within.as_secs())));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Sends it a signal, unless it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may have ended; its id is still its own, since only this thread reaps it.
            let _ = kill_process(pid, signal);
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn failure(&self, what: String) -> Failure {
        let end = self.begins.max(
            std::fs::metadata(&self.log)
                .map_or(0, |log| log.len())
                .saturating_sub(TAIL_BYTES),
        );
        let text = read_from(&self.log, end).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(TAIL_LINES);
        Failure::Ended {
            what,
            log: self.log.clone(),
            tail: lines.into_iter().skip(first).collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Drop for LoggedProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_from(log: &Path, position: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    file.seek(SeekFrom::Start(position))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The same command; on systems that support it, killed when the thread that starts it ends.
pub(crate) fn bound(command: &Command) -> Command {
    static SETPRIV: OnceLock<bool> = OnceLock::new();
    let there = *SETPRIV.get_or_init(|| {
        let tried = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "true"])
            .stdin(Stdio::null())
            .output();
        tried.is_ok_and(|output| output.status.success())
    });
    let mut bound = if there {
        let mut setpriv = Command::new("setpriv");
        setpriv
            .args(["--pdeathsig", "KILL"])
            .arg(command.get_program());
        setpriv
    } else {
        Command::new(command.get_program())
    };
    bound.args(command.get_args());
    bound
}

/// Starts a process on the thread that lasts as long as the program.
pub(crate) fn spawn(command: Command) -> io::Result<Child> {
    type Request = (Command, Sender<io::Result<Child>>);
    static STARTER: OnceLock<Option<Sender<Request>>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (give, take) = channel::<Request>();
        std::thread::Builder::new()
            .name("process-starter".into())
            .spawn(move || {
                for (mut command, answer) in take {
                    let _ = answer.send(command.spawn());
                }
            })
            .ok()
            .map(|_| give)
    });
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, started) = channel();
    let request = (command, answer);
    starter
        .as_ref()
        .and_then(|starter| starter.send(request).ok())
        .ok_or_else(gone)?;
    started.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> (LoggedProcess, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let process = LoggedProcess::start_bound(&command, &directory.path().join("log")).unwrap();
        (process, directory)
    }

    #[test]
    fn log_lines_of_an_earlier_start_are_ignored() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, "ready\n").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken; exit 3"]);
        let mut process = LoggedProcess::start_bound(&command, &log).unwrap();
        let error = process
            .until_it_says("ready", 1, Duration::from_secs(30))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("exit status: 3") && error.ends_with("broken"),
            "{error}"
        );
    }

    #[test]
    fn a_process_outlives_the_requesting_thread_and_can_be_stopped_while_paused() {
        let asked = std::thread::spawn(|| shell("echo ready; while :; do sleep 0.01; done"));
        let (mut process, _directory) = asked.join().unwrap();
        process
            .until_it_says("ready", 1, Duration::from_secs(30))
            .unwrap();
        assert_eq!(process.ended(), None);
        process.signal(Signal::STOP);
        process.stop(Signal::TERM, Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn one_that_does_not_stop_is_killed_and_said() {
        let (mut process, _directory) =
            shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        process
            .until_it_says("ready", 1, Duration::from_secs(30))
            .unwrap();
        let error = process
            .stop(Signal::TERM, Duration::from_millis(100))
            .unwrap_err();
        assert!(error.to_string().contains("did not stop"), "{error}");
    }
}
