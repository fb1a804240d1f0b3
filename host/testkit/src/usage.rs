//! Processor time and memory of processes, from `/proc`. Linux only.
//!
//! Must not know: the purpose of a process.

use std::time::Duration;

use anyhow::{Context, Result};
use procfs::ProcError;
use procfs::process::Stat;

/// Most readings of a [`ProcessTree`] until no process ends during one.
const READINGS: usize = 10;

/// A process, by its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name in reports.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl Process {
    /// The calling process.
    pub fn own() -> Self {
        Self {
            name: "this process".to_owned(),
            pid: std::process::id(),
        }
    }

    /// Processor time since its start, user and system, of all threads; in ticks of 10 ms.
    ///
    /// # Errors
    /// The process does not exist any more.
    pub fn cpu_time(&self) -> Result<Duration> {
        let stat = self.read(|process| process.stat())?;
        Ok(ticks(stat.utime + stat.stime))
    }

    /// Bytes that it has written to disks since its start, as far as the system has counted them:
    /// what goes through the page cache counts once for each page that it made dirty.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub fn written_bytes(&self) -> Result<u64> {
        Ok(self.read(|process| process.io())?.write_bytes)
    }

    /// Peak resident memory since its start, in bytes.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub fn peak_memory(&self) -> Result<u64> {
        let kib = self.read(|process| process.status())?.vmhwm;
        Ok(kib.context("the process has no memory")? * 1024)
    }

    /// Resident memory now, in bytes.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub fn resident_memory(&self) -> Result<u64> {
        let kib = self.read(|process| process.status())?.vmrss;
        Ok(kib.context("the process has no memory")? * 1024)
    }

    /// Size of its address space, in bytes.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub fn address_space(&self) -> Result<u64> {
        Ok(self.read(|process| process.stat())?.vsize)
    }

    fn read<T>(
        &self,
        what: impl FnOnce(&procfs::process::Process) -> Result<T, ProcError>,
    ) -> Result<T> {
        let pid = i32::try_from(self.pid).unwrap_or(i32::MAX);
        procfs::process::Process::new(pid)
            .and_then(|process| what(&process))
            .with_context(|| format!("can't read /proc/{pid}: is {} still running?", self.name))
    }
}

/// A process and those that it has started, which come and go, such as a database server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessTree(pub Process);

impl ProcessTree {
    /// Processor time since its start: its own, that of its children, and that of all who have ended.
    ///
    /// # Errors
    /// The process itself does not exist any more.
    pub fn cpu_time(&self) -> Result<Duration> {
        let root = || self.0.read(|process| process.stat());
        let of_ended = |root: &Stat| root.cutime.saturating_add(root.cstime);
        let mut before = root()?;
        for _ in 0..READINGS {
            let running = children(self.0.pid);
            let running: u64 = running.iter().map(|child| child.utime + child.stime).sum();
            let after = root()?;
            // One that ends meanwhile would count twice, or not at all.
            let nobody_ended = of_ended(&after) == of_ended(&before);
            before = after;
            if nobody_ended {
                let ended = u64::try_from(of_ended(&before)).unwrap_or(0);
                return Ok(ticks(before.utime + before.stime + ended + running));
            }
        }
        anyhow::bail!("the processes of {} end all the time", self.0.name)
    }
}

/// The processes that a process has started and that have not been reaped.
pub(crate) fn children(parent: u32) -> Vec<Stat> {
    let all = procfs::process::all_processes().into_iter().flatten();
    all.flatten()
        .filter_map(|process| process.stat().ok())
        .filter(|stat| u32::try_from(stat.ppid) == Ok(parent))
        .collect()
}

fn ticks(number: u64) -> Duration {
    let per_second = procfs::ticks_per_second().max(1);
    Duration::from_millis(number * 1_000 / per_second)
}

/// Bytes as MiB, for reports.
#[expect(clippy::cast_precision_loss, reason = "a report shows few digits")]
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_something() {
        let own = Process::own();
        // The peak is read last: other tests of this process allocate meanwhile.
        let resident = own.resident_memory().unwrap();
        assert!(resident > 100_000);
        assert!(own.peak_memory().unwrap() >= resident);
        own.cpu_time().unwrap();
    }

    #[test]
    fn a_tree_counts_children_that_run_and_those_that_have_ended() {
        // A shell with two children: one works and ends, the other works and stays.
        let work = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        let script = format!("({work}); ({work}; echo; read line); :");
        let mut shell = std::process::Command::new("sh")
            .args(["-c", &script])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let process = Process {
            name: "the shell".to_owned(),
            pid: shell.id(),
        };
        let mut line = [0];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut line).unwrap();
        let (own, all) = (process.cpu_time(), ProcessTree(process).cpu_time());
        let running: u64 = children(shell.id())
            .iter()
            .map(|child| child.utime + child.stime)
            .sum();
        drop(shell.stdin.take());
        shell.wait().unwrap();
        let (own, all, running) = (own.unwrap(), all.unwrap(), ticks(running));
        assert!(
            running > Duration::ZERO && own < running,
            "{own:?} {running:?}"
        );
        assert!(all > own + running, "{all:?} {own:?} {running:?}");
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let gone = Process {
            name: "customer".to_owned(),
            pid: u32::MAX,
        };
        let error = gone.cpu_time().unwrap_err().to_string();
        assert!(error.contains("is customer still running?"), "{error}");
    }
}
