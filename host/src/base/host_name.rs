//! The name of this host, for people.

/// Where this host runs: the machine's name and the process.
#[must_use]
pub fn host_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}:{}", machine.trim(), std::process::id())
}
