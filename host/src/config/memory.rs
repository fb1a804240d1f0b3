//! The memory available to the process, as far as the system reports it.

use std::path::Path;

/// Bytes that requests and answers may hold: one eighth of the available memory, within bounds.
const SHARE: u64 = 8;
const LEAST: u64 = 8 << 20;
const MOST: u64 = 256 << 20;

/// Bytes that compiling a component of Rust rules takes.
pub(super) const LEAST_TO_COMPILE: u64 = 64 << 20;

/// Mount point of the control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// Default of the bytes that requests and answers may hold.
pub(super) fn share() -> usize {
    let memory = [total(), group()].into_iter().flatten().min();
    let share = memory.map_or(MOST, |memory| memory / SHARE);
    usize::try_from(share.clamp(LEAST, MOST)).unwrap_or(usize::MAX)
}

/// Default of the bytes that compiling a component may take: `most`, or half of the control group's
/// limit, since the host runs in it too.
pub(super) fn to_compile(most: u64) -> u64 {
    at_most_half(most, group())
}

fn at_most_half(most: u64, group: Option<u64>) -> u64 {
    group.map_or(most, |group| most.min((group / 2).max(LEAST_TO_COMPILE)))
}

/// Memory of the machine.
fn total() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    kilobytes.checked_mul(1_024)
}

/// The lowest limit of the process's control group and its ancestors.
fn group() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let file = match controllers {
            "" => "memory.max",
            _ if controllers.split(',').any(|one| one == "memory") => {
                "memory/memory.limit_in_bytes"
            }
            _ => return None,
        };
        Some((file, path.trim_start_matches('/')))
    });
    let (file, path) = own?;
    let (root, file) = match file.split_once('/') {
        Some((controller, file)) => (Path::new(GROUPS).join(controller), file),
        None => (Path::new(GROUPS).to_owned(), file),
    };
    let limits = Path::new(path).ancestors().filter_map(|group| {
        let text = std::fs::read_to_string(root.join(group).join(file)).ok()?;
        text.trim().parse().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compiling_takes_half_of_a_control_group_at_most() {
        let gib = 1 << 30;
        assert_eq!(at_most_half(2 * gib, None), 2 * gib);
        assert_eq!(at_most_half(2 * gib, Some(8 * gib)), 2 * gib);
        assert_eq!(at_most_half(2 * gib, Some(gib)), gib / 2);
        assert_eq!(at_most_half(2 * gib, Some(128 << 20)), 64 << 20);
        assert_eq!(at_most_half(2 * gib, Some(64 << 20)), LEAST_TO_COMPILE);
    }
}
