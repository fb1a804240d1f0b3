//! The file by which commands find the running host of a data directory: `admin.json`.
//!
//! It holds the URL of the admin interface and the process id, no secret; still, only the host's
//! user may read it, as with the store. A crash leaves it behind: then no process has that id, or
//! nothing listens at the URL, and the next start replaces the file.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// Address of a running host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AdminFile {
    /// URL of the admin interface.
    pub(crate) url: String,
    /// Process id of the host.
    pub(crate) pid: u32,
}

/// Writes this process's address, replacing any former file atomically.
pub(crate) fn write(data_dir: &Path, url: &str) -> io::Result<()> {
    let content = AdminFile {
        url: url.to_owned(),
        pid: std::process::id(),
    };
    let path = path(data_dir);
    let unfinished = path.with_extension("json.new");
    // A file that a crash left behind may have other permissions.
    remove_file(&unfinished)?;
    let mut file = fs::File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&unfinished)?;
    serde_json::to_writer(&mut file, &content)?;
    file.write_all(b"\n")?;
    fs::rename(&unfinished, &path)
}

/// Removes the file of a process that has ended. Only for the owner of the data directory.
pub(crate) fn clear(data_dir: &Path) -> io::Result<()> {
    remove_file(&path(data_dir))
}

/// Removes this process's file. If the directory has another owner by now, its file stays.
pub(crate) fn withdraw(data_dir: &Path) -> io::Result<()> {
    match parse(data_dir) {
        Ok(Some(found)) if found.pid == std::process::id() => remove_file(&path(data_dir)),
        _ => Ok(()),
    }
}

/// The address of the host on this data directory; `None` if none runs, or one without an admin
/// interface.
pub(crate) fn read(data_dir: &Path) -> Result<Option<AdminFile>, String> {
    Ok(parse(data_dir)?.filter(|found| is_alive(found.pid)))
}

fn parse(data_dir: &Path) -> Result<Option<AdminFile>, String> {
    let path = path(data_dir);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} can't be read: {error}", path.display())),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| format!("{} is not what a host writes: {error}", path.display()))
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("admin.json")
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// True if a process of this id exists, whatever its program.
fn is_alive(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_host_is_found_while_it_runs_and_not_thereafter() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(read(data.path()), Ok(None));
        fs::write(data.path().join("admin.json.new"), "half").unwrap();
        for url in ["http://127.0.0.1:1", "http://127.0.0.1:2"] {
            write(data.path(), url).unwrap();
            let found = read(data.path()).unwrap().unwrap();
            assert_eq!((found.url.as_str(), found.pid), (url, std::process::id()));
        }
        let mode = fs::metadata(path(data.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        withdraw(data.path()).unwrap();
        withdraw(data.path()).unwrap();
        assert_eq!(read(data.path()), Ok(None));
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[test]
    fn the_file_of_a_crashed_host_is_ignored() {
        let data = tempfile::tempdir().unwrap();
        let mut gone = std::process::Command::new("true").spawn().unwrap();
        gone.wait().unwrap();
        let left = format!(r#"{{"url":"http://127.0.0.1:1","pid":{}}}"#, gone.id());
        fs::write(path(data.path()), left).unwrap();
        assert_eq!(read(data.path()), Ok(None));
        fs::write(path(data.path()), "{}").unwrap();
        let said = read(data.path()).unwrap_err();
        assert!(said.contains("admin.json"), "{said}");
        clear(data.path()).unwrap();
        clear(data.path()).unwrap();
        assert_eq!(read(data.path()), Ok(None));
    }

    #[test]
    fn the_file_of_another_host_is_not_removed() {
        let data = tempfile::tempdir().unwrap();
        let other = std::os::unix::process::parent_id();
        let said = format!(r#"{{"url":"http://127.0.0.1:1","pid":{other}}}"#);
        fs::write(path(data.path()), said).unwrap();
        withdraw(data.path()).unwrap();
        assert_eq!(
            read(data.path()).unwrap().map(|found| found.pid),
            Some(other)
        );
    }
}
