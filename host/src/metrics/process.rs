//! Resource usage of the process from `/proc`, under the names that all Prometheus clients use.
//! Left out on other systems than Linux.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Resource usage so far.
#[derive(Debug, Clone, Copy, PartialEq)]
struct ProcessUsage {
    cpu_seconds: f64,
    resident_bytes: i64,
    virtual_bytes: i64,
    /// Since the Unix epoch.
    started_seconds: f64,
}

/// Registers the present usage.
pub(super) fn register(registry: &mut Registry) {
    if let Some(usage) = usage() {
        let cpu = Counter::<f64, AtomicU64>::default();
        cpu.inc_by(usage.cpu_seconds);
        registry.register(
            "process_cpu_seconds",
            "Processor time that the process has used, user and system",
            cpu,
        );
        let mut gauge = |name: &str, help: &str, value: f64| {
            let gauge = Gauge::<f64, AtomicU64>::default();
            gauge.set(value);
            registry.register(name, help, gauge);
        };
        gauge(
            "process_start_time_seconds",
            "When the process was started, in seconds since the Unix epoch",
            usage.started_seconds,
        );
        gauge(
            "process_resident_memory_bytes",
            "Memory that the process occupies",
            usage.resident_bytes as f64,
        );
        gauge(
            "process_virtual_memory_bytes",
            "Address space that the process has reserved",
            usage.virtual_bytes as f64,
        );
    }
    // One entry per open file, which the system bounds.
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        let gauge: Gauge = Gauge::default();
        // The directory itself is open while it is read.
        gauge.set(files.count().saturating_sub(1) as i64);
        registry.register("process_open_fds", "Open file descriptors", gauge);
    }
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    if let Some(limit) = limit.and_then(|limit| i64::try_from(limit).ok()) {
        let gauge: Gauge = Gauge::default();
        gauge.set(limit);
        registry.register(
            "process_max_fds",
            "File descriptors that may be open at once",
            gauge,
        );
    }
}

fn usage() -> Option<ProcessUsage> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let booted = std::fs::read_to_string("/proc/stat").ok()?;
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    parse(&stat, &booted, ticks, rustix::param::page_size() as i64)
}

/// Reads `/proc/self/stat` (see proc(5)) and the time of the boot from `/proc/stat`.
fn parse(stat: &str, booted: &str, ticks: f64, page: i64) -> Option<ProcessUsage> {
    // The second field is the program's name in parentheses and may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    // The first field after the name is number 3 of proc(5).
    let field = |number: usize| fields.get(number - 3)?.parse::<i64>().ok();
    let boot: f64 = booted
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()?;
    Some(ProcessUsage {
        cpu_seconds: (field(14)? + field(15)?) as f64 / ticks,
        virtual_bytes: field(23)?,
        resident_bytes: field(24)? * page,
        started_seconds: boot + field(22)? as f64 / ticks,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let stat = "7 (a ) 9 b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 1000 8192 3 18446744073709551615";
        let booted = "cpu 1 2\nbtime 1700000000\nprocesses 9\n";
        assert_eq!(
            parse(stat, booted, 100.0, 4_096),
            Some(ProcessUsage {
                cpu_seconds: 3.0,
                resident_bytes: 12_288,
                virtual_bytes: 8_192,
                started_seconds: 1_700_000_010.0,
            })
        );
        assert_eq!(parse("7 (a) S 1", booted, 100.0, 4_096), None);
        assert_eq!(parse(stat, "cpu 1", 100.0, 4_096), None);
    }
}
