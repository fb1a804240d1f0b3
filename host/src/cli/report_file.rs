//! A file that a report goes to. It is opened before the work begins, so that a path that can't be
//! written is told at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// An open file. What it had stays until the report is written.
pub(super) struct ReportFile {
    path: PathBuf,
    file: File,
    /// True if there was no such file.
    is_new: bool,
}

impl ReportFile {
    /// # Errors
    /// The path, and why no file can be written there.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let told = |error: io::Error| format!("{}: {error}", path.display());
        let mut options = OpenOptions::new();
        options.write(true);
        let (file, is_new) = match options.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                (options.open(path).map_err(told)?, false)
            }
            Err(error) => return Err(told(error)),
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            is_new,
        })
    }

    /// Writes the report.
    ///
    /// # Errors
    /// The path, and why it can't be written.
    pub(super) fn write(mut self, report: &str) -> Result<(), String> {
        let mut write = || {
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(report.as_bytes())
        };
        write().map_err(|error| format!("{}: {error}", self.path.display()))
    }

    /// Leaves the path as it was.
    pub(super) fn abandon(self) {
        if self.is_new {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_it_had_until_the_report_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("report.html");
        ReportFile::open(&path).unwrap().abandon();
        assert!(!path.exists());
        ReportFile::open(&path)
            .unwrap()
            .write("a long report")
            .unwrap();
        ReportFile::open(&path).unwrap().abandon();
        assert_eq!(fs::read_to_string(&path).unwrap(), "a long report");
        ReportFile::open(&path).unwrap().write("short").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "short");
        let nowhere = directory.path().join("nowhere/report.html");
        let error = ReportFile::open(&nowhere).map(|_| ()).unwrap_err();
        assert!(error.contains("nowhere/report.html: "), "{error}");
    }
}
