//! What a process has used so far, from `/proc`.
//!
//! Owns: reading processor time (user and system, all threads) and memory, now and at its peak. Linux only, like the
//! benchmark.
//!
//! Must not know: which process it is.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Processor time of a process since its start; counted in ticks of 10 ms.
///
/// # Errors
/// There is no such process, or `/proc` reads differently than on Linux.
pub(crate) fn cpu_time(pid: &str) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("{path} has no processor times"))?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let millis = u128::from(ticks) * 1_000 / u128::from(per_second);
    Ok(Duration::from_millis(
        u64::try_from(millis).unwrap_or(u64::MAX),
    ))
}

/// Peak resident memory of a process since its start, in MiB.
///
/// # Errors
/// There is no such process, or `/proc` reads differently than on Linux.
pub(crate) fn peak_memory_mib(pid: &str) -> Result<f64> {
    memory_mib(pid, "VmHWM:")
}

/// Resident memory of a process now, in MiB.
///
/// # Errors
/// There is no such process, or `/proc` reads differently than on Linux.
pub(crate) fn resident_memory_mib(pid: &str) -> Result<f64> {
    memory_mib(pid, "VmRSS:")
}

fn memory_mib(pid: &str, figure: &str) -> Result<f64> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("can't read {path}"))?;
    let kib = kib(&status, figure).with_context(|| format!("{path} has no {figure}"))?;
    Ok(f64::from(kib) / 1024.0)
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
        assert!(peak_memory_mib("self").unwrap() > 0.1);
        assert!(resident_memory_mib("self").unwrap() > 0.1);
        cpu_time("self").unwrap();
    }
}
