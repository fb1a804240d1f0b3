//! The JVM of a broker: started, waited for, signalled, ended.
//!
//! Its output goes to a file, which is how it is known to be ready. On Linux it is killed when the program that
//! started it ends in whatever way (`setpriv --pdeathsig`). What counts there is the end of the
//! starting *thread*, so that one thread starts them all and lasts as long as the program.
//!
//! Must not know: what the JVM runs.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::broker::error::Error;

/// How often a file or a process is looked at that can't be waited for.
const LOOK: Duration = Duration::from_millis(20);

/// So much of the log's end is shown.
const TAIL_LINES: usize = 30;
const TAIL_BYTES: u64 = 32 * 1024;

/// A process with a log. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
    /// Where the log of this start begins.
    begins: u64,
}

impl Process {
    /// Starts it; what it says is appended to the log.
    ///
    /// # Errors
    /// It can't be started, or the log can't be written.
    pub(crate) fn start(command: &Command, log: &Path) -> Result<Self, Error> {
        let open = || -> io::Result<(File, u64)> {
            let mut file = File::options().create(true).append(true).open(log)?;
            let begins = file.seek(SeekFrom::End(0))?;
            Ok((file, begins))
        };
        let (file, begins) = open().map_err(Error::at("can't write", log))?;
        let program = PathBuf::from(command.get_program());
        let failed = Error::at("can't start", &program);
        let mut command = bound(command);
        let output = file.try_clone().map_err(Error::at("can't write", log))?;
        command.stdin(Stdio::null()).stdout(output).stderr(file);
        let child = spawn(command).map_err(failed)?;
        Ok(Self {
            child,
            log: log.to_owned(),
            begins,
        })
    }

    /// Waits until its log, since it was started, holds this text so many times.
    ///
    /// # Errors
    /// It ended, or the time is over; with the end of its log.
    pub(crate) fn until_it_says(
        &mut self,
        text: &str,
        times: usize,
        within: Duration,
    ) -> Result<(), Error> {
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

    /// How often its log, since it was started, holds this text.
    pub(crate) fn times_it_said(&self, text: &str) -> usize {
        let said = read_from(&self.log, self.begins).unwrap_or_default();
        said.matches(text).count()
    }

    /// Asks it to end, and waits.
    ///
    /// # Errors
    /// It does not end in time; it is killed then.
    pub(crate) fn stop(mut self, within: Duration) -> Result<(), Error> {
        self.signal(Signal::TERM);
        // Whoever is paused hears nothing else.
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

    /// Sends it a signal; nothing where it has ended.
    pub(crate) fn signal(&mut self, signal: Signal) {
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            // It may end in between, and is not reaped before the next call.
            let _ = kill_process(pid, signal);
        }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    fn failure(&self, what: String) -> Error {
        let end = self.begins.max(
            std::fs::metadata(&self.log)
                .map_or(0, |log| log.len())
                .saturating_sub(TAIL_BYTES),
        );
        let text = read_from(&self.log, end).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(TAIL_LINES);
        Error::Broker {
            what,
            log: self.log.clone(),
            tail: lines.into_iter().skip(first).collect::<Vec<_>>().join("\n"),
        }
    }
}

impl Drop for Process {
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

/// The same command, to be killed when the thread that starts it ends, where the system can do that.
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
            .name("broker-starter".into())
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

    fn shell(script: &str) -> (Process, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let process = Process::start(&command, &directory.path().join("log")).unwrap();
        (process, directory)
    }

    #[test]
    fn what_an_earlier_start_said_is_not_taken_for_this_one() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        std::fs::write(&log, "ready\n").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken; exit 3"]);
        let mut process = Process::start(&command, &log).unwrap();
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
    fn it_outlives_the_thread_that_asked_for_it_and_stops_even_if_it_is_paused() {
        let asked = std::thread::spawn(|| shell("echo ready; while :; do sleep 0.01; done"));
        let (mut process, _directory) = asked.join().unwrap();
        process
            .until_it_says("ready", 1, Duration::from_secs(30))
            .unwrap();
        assert_eq!(process.ended(), None);
        process.signal(Signal::STOP);
        process.stop(Duration::from_secs(30)).unwrap();
    }

    #[test]
    fn one_that_does_not_stop_is_killed_and_said() {
        let (mut process, _directory) =
            shell("trap '' TERM; echo ready; while :; do sleep 0.01; done");
        process
            .until_it_says("ready", 1, Duration::from_secs(30))
            .unwrap();
        let error = process.stop(Duration::from_millis(100)).unwrap_err();
        assert!(error.to_string().contains("did not stop"), "{error}");
    }
}
