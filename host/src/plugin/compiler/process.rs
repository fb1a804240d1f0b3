//! A process that ends with its handle.

use std::io;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus};

/// A process. It is killed when it is dropped.
pub(super) struct Process {
    child: Child,
    pipes: Option<(ChildStdin, ChildStdout, ChildStderr)>,
}

impl Process {
    /// Starts it; all its streams must be pipes.
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command.spawn()?;
        let pipes = (child.stdin.take())
            .zip(child.stdout.take())
            .zip(child.stderr.take())
            .map(|((stdin, stdout), stderr)| (stdin, stdout, stderr));
        Ok(Self { child, pipes })
    }

    /// Its streams, once.
    pub(super) fn pipes(&mut self) -> io::Result<(ChildStdin, ChildStdout, ChildStderr)> {
        (self.pipes.take()).ok_or_else(|| io::Error::other("a process without pipes"))
    }

    /// Bytes of memory that it occupies; none where the system does not tell.
    pub(super) fn memory(&self) -> Option<u64> {
        let path = format!("/proc/{}/statm", self.child.id());
        let statm = std::fs::read_to_string(path).ok()?;
        let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64)
    }

    /// Lets it end by itself.
    pub(super) fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait()
    }

    /// Ends it.
    pub(super) fn kill(&mut self) -> io::Result<ExitStatus> {
        // One that has ended needs no killing.
        let _ = self.child.kill();
        self.child.wait()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
