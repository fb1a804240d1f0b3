//! What a process has used so far, from `/proc`.
//!
//! Owns: reading processor time (user and system, all threads) and memory, now and at its peak. Linux only, like the
//! benchmark.
//!
//! Must not know: what it does.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// A process, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Process {
    /// What a report calls it.
    pub(crate) name: &'static str,
    /// Its number.
    pub(crate) pid: u32,
}

impl Process {
    /// This one, which makes the load.
    pub(crate) fn own() -> Self {
        Self {
            name: "generator",
            pid: std::process::id(),
        }
    }

    /// Processor time since its start; counted in ticks of 10 ms.
    ///
    /// # Errors
    /// There is no such process any more, or `/proc` reads differently than on Linux.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let path = self.path("stat");
        let stat = self.read(&path)?;
        let ticks = cpu_ticks(&stat).with_context(|| format!("{path} has no processor times"))?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let millis = u128::from(ticks) * 1_000 / u128::from(per_second);
        Ok(Duration::from_millis(
            u64::try_from(millis).unwrap_or(u64::MAX),
        ))
    }

    /// Peak resident memory since its start, in MiB.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub(crate) fn peak_memory_mib(&self) -> Result<f64> {
        self.memory_mib("VmHWM:")
    }

    /// Resident memory now, in MiB.
    ///
    /// # Errors
    /// As for [`Process::cpu_time`].
    pub(crate) fn resident_memory_mib(&self) -> Result<f64> {
        self.memory_mib("VmRSS:")
    }

    fn memory_mib(&self, figure: &str) -> Result<f64> {
        let path = self.path("status");
        let status = self.read(&path)?;
        let kib = kib(&status, figure).with_context(|| format!("{path} has no {figure}"))?;
        Ok(f64::from(kib) / 1024.0)
    }

    fn path(&self, file: &str) -> String {
        format!("/proc/{}/{file}", self.pid)
    }

    fn read(&self, path: &str) -> Result<String> {
        fs::read_to_string(path)
            .with_context(|| format!("can't read {path}: is {} still running?", self.name))
    }
}

/// Fields 14 and 15; counted from the last `)`, since the second field, the name, may hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

fn kib(status: &str, figure: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(figure))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_the_name() {
        let stat = "42 (a) b c) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_ticks(stat), Some(175));
        let status = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n";
        assert_eq!(kib(status, "VmHWM:"), Some(2048));
        assert_eq!(kib(status, "VmRSS:"), Some(1));
        assert_eq!(cpu_ticks("42 (x) S"), None);
        assert_eq!(kib("Name:\tx\n", "VmHWM:"), None);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = Process::own();
        assert!(own.peak_memory_mib().unwrap() > 0.1);
        assert!(own.resident_memory_mib().unwrap() > 0.1);
        own.cpu_time().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_named() {
        let gone = Process {
            name: "customer",
            pid: u32::MAX,
        };
        let error = gone.cpu_time().unwrap_err().to_string();
        assert!(error.contains("is customer still running?"), "{error}");
    }
}
