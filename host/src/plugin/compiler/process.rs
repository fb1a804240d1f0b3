//! A process that is killed when its handle is dropped.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};

/// A process, killed on drop.
pub(super) struct CompilerProcess {
    child: Child,
    pipes: Option<(ChildStdin, ChildStdout, ChildStderr)>,
}

impl CompilerProcess {
    /// Starts it; all its streams must be pipes.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take())
            .zip(child.stdout.take())
            .zip(child.stderr.take())
            .map(|((stdin, stdout), stderr)| (stdin, stdout, stderr));
        Ok(Self { child, pipes })
    }

    /// Its streams; available once.
    pub(super) fn pipes(&mut self) -> io::Result<(ChildStdin, ChildStdout, ChildStderr)> {
        (self.pipes.take()).ok_or_else(|| io::Error::other("a process without pipes"))
    }

    /// Resident memory in bytes; `None` if the system doesn't report it.
    pub(super) fn memory(&self) -> Option<u64> {
        let path = format!("/proc/{}/statm", self.child.id());
        let statm = std::fs::read_to_string(path).ok()?;
        let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Kills it.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        // Fails if the process has ended, which is fine.
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for CompilerProcess {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
