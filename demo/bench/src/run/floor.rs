//! The floor: the time of a durable append of 4 KiB on this machine.
//!
//! Owns: measuring append and fdatasync in the directory of the host's state. No durable decision
//! can be faster than one of these, and figures of two machines can be compared only with it.
//!
//! Must not know: the host.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::saga::latency::millis;

const APPENDS: usize = 200;
const APPEND_BYTES: usize = 4 * 1024;

/// The time of one durable append.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Floor {
    /// The median.
    pub(crate) p50: Duration,
    /// The 99th percentile.
    pub(crate) p99: Duration,
}

impl Floor {
    /// As JSON: milliseconds.
    pub(crate) fn json(&self) -> Value {
        json!({ "p50": millis(self.p50), "p99": millis(self.p99) })
    }

    /// As the first line of a report.
    pub(crate) fn text(&self) -> String {
        format!(
            "floor      fsync of a 4 KiB append: {:.2} ms (p50), {:.2} ms (p99)\n",
            millis(self.p50),
            millis(self.p99)
        )
    }
}

/// Appends 4 KiB and waits for the disk, 200 times, to a file in `directory` that is removed
/// afterwards.
///
/// # Errors
/// The file can't be written.
pub(crate) fn measure(directory: &Path) -> Result<Floor> {
    let path = directory.join("floor.bin");
    let floor = append_all(&path).with_context(|| format!("can't measure with {}", path.display()));
    let removed =
        fs::remove_file(&path).with_context(|| format!("can't remove {}", path.display()));
    let floor = floor?;
    removed?;
    Ok(floor)
}

fn append_all(path: &Path) -> Result<Floor> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let block = [0x5a_u8; APPEND_BYTES];
    let mut times = Vec::with_capacity(APPENDS);
    for _ in 0..APPENDS {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let at = |position: usize| times.get(position).copied().context("no append was timed");
    Ok(Floor {
        p50: at(APPENDS / 2)?,
        p99: at(APPENDS * 99 / 100)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_measured_and_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let floor = measure(directory.path()).unwrap();
        assert!(floor.p50 > Duration::ZERO && floor.p50 <= floor.p99);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_directory_that_is_not_there_is_named() {
        let error = measure(Path::new("/nonexistent/here")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/here"), "{error}");
    }
}
