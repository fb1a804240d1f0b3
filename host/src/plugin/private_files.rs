//! Files that only the host's user can write, or, for secrets, read.
//!
//! The checked file is the one that is read: it is opened once, and owner and mode are those of the
//! open file.

use std::fs::{self, DirBuilder, File, Metadata, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::Path;

use rustix::fs::OFlags;

/// Mode bits that let others write.
const OTHERS_MAY_WRITE: u32 = 0o022;

/// Mode bits that let others do anything.
const OTHERS_MAY: u32 = 0o077;

/// A file that only the host's user may read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SecretFile {
    /// There is none.
    Missing,
    /// Others could read or write it; its mode.
    Exposed(u32),
    /// Its content.
    Kept(Vec<u8>),
}

/// Reads a file of at most `most` bytes; `None` if there is none.
///
/// # Errors
/// The reason why it can't be read or trusted.
pub(super) fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, String> {
    let Some((file, metadata)) = open(path)? else {
        return Ok(None);
    };
    only_ours(&metadata)?;
    contents(file, &metadata, most).map(Some)
}

/// Reads a secret of at most `most` bytes.
///
/// # Errors
/// The reason why it can't be read or trusted.
pub(super) fn secret(path: &Path, most: u64) -> Result<SecretFile, String> {
    let Some((file, metadata)) = open(path)? else {
        return Ok(SecretFile::Missing);
    };
    of_our_user(&metadata)?;
    if metadata.mode() & OTHERS_MAY != 0 {
        return Ok(SecretFile::Exposed(metadata.mode() & 0o7777));
    }
    contents(file, &metadata, most).map(SecretFile::Kept)
}

/// Opens a file; `None` if there is none.
fn open(path: &Path) -> Result<Option<(File, Metadata)>, String> {
    let opened = File::options()
        .read(true)
        // Opening a pipe without a writer would block.
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.to_string()),
    };
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a file".into());
    }
    Ok(Some((file, metadata)))
}

fn contents(file: File, metadata: &Metadata, most: u64) -> Result<Vec<u8>, String> {
    if metadata.len() > most {
        return Err(format!(
            "{} bytes are over the limit of {most}",
            metadata.len()
        ));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0));
    (file.take(most).read_to_end(&mut bytes)).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A directory of the host's user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DirectoryState {
    /// No other user could write to it.
    Safe,
    /// Others could write to it until now, by this mode: nothing in it can be trusted.
    Exposed(u32),
}

/// Creates a directory if necessary, and revokes other users' access.
///
/// # Errors
/// The reason why it can't be created or trusted.
pub(super) fn directory(path: &Path) -> Result<DirectoryState, String> {
    let private = || fs::set_permissions(path, Permissions::from_mode(0o700));
    match DirBuilder::new().mode(0o700).create(path) {
        // Whatever the umask was.
        Ok(()) => private().map_err(|error| error.to_string())?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.to_string()),
    }
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_dir() {
        return Err("it is not a directory".into());
    }
    of_our_user(&metadata)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS_MAY == 0 {
        return Ok(DirectoryState::Safe);
    }
    // The target of a link may be shared on purpose.
    if path.is_symlink() {
        only_ours(&metadata)?;
        return Ok(DirectoryState::Safe);
    }
    private().map_err(|error| format!("others may use it (mode {mode:04o}): {error}"))?;
    Ok(match mode & OTHERS_MAY_WRITE {
        0 => DirectoryState::Safe,
        _ => DirectoryState::Exposed(mode),
    })
}

/// Writes a file that only the host's user can read, atomically, through a temporary file beside
/// it.
///
/// # Errors
/// The system's error.
pub(super) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{}.new", std::process::id()));
    // A file that a crash left behind may have other permissions.
    if let Err(error) = fs::remove_file(&unfinished)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let written = write_new(&unfinished, parts).and_then(|()| fs::rename(&unfinished, path));
    if written.is_err() {
        // The disk may be full.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write_new(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    for part in parts {
        file.write_all(part)?;
    }
    file.sync_all()
}

fn of_our_user(metadata: &Metadata) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    let owner = metadata.uid();
    if owner != own && owner != 0 {
        return Err(format!(
            "it belongs to user {owner}, not to user {own}, which runs the host"
        ));
    }
    Ok(())
}

fn only_ours(metadata: &Metadata) -> Result<(), String> {
    of_our_user(metadata)?;
    let mode = metadata.mode();
    if mode & OTHERS_MAY_WRITE != 0 {
        return Err(format!(
            "others may write to it (mode {:04o}): take that away with `chmod go-w`",
            mode & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    #[test]
    fn what_is_written_is_for_the_own_user_only_and_what_others_may_write_is_not_read() {
        let place = tempfile::tempdir().unwrap();
        let inner = place.path().join("inner");
        directory(&inner).unwrap();
        directory(&inner).unwrap();
        assert_eq!(mode(&inner), 0o700);
        let path = inner.join("file");
        assert_eq!(read(&path, 9).unwrap(), None);
        write(&path, &[b"old"]).unwrap();
        write(&path, &[b"some", b"thing"]).unwrap();
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read(&path, 9).unwrap().unwrap(), b"something");
        assert!(read(&path, 8).unwrap_err().contains("limit of 8"));
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        for unsafe_mode in [0o620, 0o602] {
            fs::set_permissions(&path, Permissions::from_mode(unsafe_mode)).unwrap();
            assert!(read(&path, 9).unwrap_err().contains("others may write"));
        }
        for (before, found) in [
            (0o770, DirectoryState::Exposed(0o770)),
            (0o755, DirectoryState::Safe),
            (0o700, DirectoryState::Safe),
        ] {
            fs::set_permissions(&inner, Permissions::from_mode(before)).unwrap();
            assert_eq!(directory(&inner), Ok(found));
            assert_eq!(mode(&inner), 0o700);
        }
        assert!(directory(&path).unwrap_err().contains("not a directory"));
        assert!(read(&inner, 9).is_err());
    }

    #[test]
    fn a_secret_that_others_may_read_or_write_is_exposed() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("secret");
        assert_eq!(secret(&path, 9), Ok(SecretFile::Missing));
        write(&path, &[b"secret"]).unwrap();
        assert_eq!(secret(&path, 9), Ok(SecretFile::Kept(b"secret".into())));
        for exposed in [0o640, 0o604, 0o620, 0o602, 0o610] {
            fs::set_permissions(&path, Permissions::from_mode(exposed)).unwrap();
            assert_eq!(secret(&path, 9), Ok(SecretFile::Exposed(exposed)));
        }
        assert!(secret(place.path(), 9).unwrap_err().contains("not a file"));
    }

    #[test]
    fn a_pipe_that_nobody_writes_to_holds_up_nothing() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("pipe");
        pipe(&path);
        assert_eq!(read(&path, 9), Err("it is not a file".into()));
        assert_eq!(secret(&path, 9), Err("it is not a file".into()));
    }

    #[test]
    fn what_belongs_to_another_user_is_not_trusted() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        write(&path, &[b"x"]).unwrap();
        // Only root can give a file away.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let refused = read(&path, 9).unwrap_err();
            assert!(refused.contains("belongs to user 12345"), "{refused}");
        }
    }
}
