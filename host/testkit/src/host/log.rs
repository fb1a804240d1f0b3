//! The file with a host's standard error.
//!
//! Owns: appending to it, and the end of the log of a failed start. Text of earlier starts stays in
//! the file and is not shown.
//!
//! Must not know: the content.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result};

/// Most lines that are shown.
const LINES_MAX: usize = 20;
/// Most bytes of the end that are read; 20 lines of a log are far less.
const BYTES_MAX: u64 = 16 * 1024;

/// The log of one start of a host.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    /// Position at which this start begins; earlier text belongs to earlier starts.
    begins: u64,
}

impl Log {
    /// Opens the log for appending, creating it if necessary; returns it with a standard error for
    /// a process.
    ///
    /// # Errors
    /// It can't be written; with the path.
    pub fn open(path: &Path) -> Result<(Self, Stdio)> {
        let open = || -> io::Result<(File, u64)> {
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            let begins = file.seek(SeekFrom::End(0))?;
            Ok((file, begins))
        };
        let (file, begins) =
            open().with_context(|| format!("can't write the log {}", path.display()))?;
        let log = Self {
            begins,
            ..Self::elsewhere(path)
        };
        Ok((log, file.into()))
    }

    /// A log that another program writes to this path.
    pub fn elsewhere(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            begins: 0,
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last lines of this start, with the path, as text.
    pub fn tail(&self) -> String {
        let read = || -> io::Result<Vec<u8>> {
            let mut file = File::open(&self.path)?;
            let end = file.seek(SeekFrom::End(0))?;
            file.seek(SeekFrom::Start(
                self.begins.max(end.saturating_sub(BYTES_MAX)),
            ))?;
            let mut bytes = Vec::new();
            file.take(BYTES_MAX).read_to_end(&mut bytes)?;
            Ok(bytes)
        };
        let text = match read() {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => format!("(can't be read: {error})"),
        };
        let lines: Vec<&str> = text.lines().collect();
        let first = lines.len().saturating_sub(LINES_MAX);
        let mut tail = format!("the end of its log, {}:", self.path.display());
        for line in lines.iter().skip(first) {
            tail.push_str("\n  | ");
            tail.push_str(line);
        }
        tail
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn the_tail_is_the_end_of_what_this_start_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("host.log");
        std::fs::write(&path, "an older start\n").unwrap();
        let (log, _) = Log::open(&path).unwrap();
        assert!(!log.tail().contains("older"));
        let mut text = std::fs::read_to_string(&path).unwrap();
        for line in 1..=30 {
            writeln!(text, "line {line}.").unwrap();
        }
        std::fs::write(&path, text).unwrap();
        let tail = log.tail();
        assert!(
            tail.contains("| line 11.") && tail.contains("| line 30."),
            "{tail}"
        );
        assert!(
            !tail.contains("| line 10.") && tail.contains("host.log"),
            "{tail}"
        );
    }

    #[test]
    fn a_log_that_cannot_be_written_is_named() {
        let error = Log::open(Path::new("/nonexistent/host.log")).unwrap_err();
        assert!(
            error.to_string().contains("/nonexistent/host.log"),
            "{error}"
        );
    }
}
