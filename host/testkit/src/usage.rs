//! Processor time and memory of a process, from `/proc`. Linux only.
//!
//! Must not know: the purpose of the process.

use std::time::Duration;

use anyhow::{Context, Result};
use procfs::ProcError;

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
        let per_second = procfs::ticks_per_second().max(1);
        Ok(Duration::from_millis(
            (stat.utime + stat.stime) * 1_000 / per_second,
        ))
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
    fn a_process_that_is_gone_is_named() {
        let gone = Process {
            name: "customer".to_owned(),
            pid: u32::MAX,
        };
        let error = gone.cpu_time().unwrap_err().to_string();
        assert!(error.contains("is customer still running?"), "{error}");
    }
}
