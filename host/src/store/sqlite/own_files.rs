//! The modes of a data directory: only the host's own user has access.
//!
//! Files that the host creates have these modes because the program sets its umask. Others, created
//! by hand or under another umask, are changed when the store is opened. Compiled code and its key
//! are left to `plugin`, which deletes them if others could write them.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Mode bits that grant others any access.
const OTHERS: u32 = 0o077;

/// Mode bits that let others write.
const WRITE: u32 = 0o022;

/// The sticky bit of directories such as `/tmp`.
const STICKY: u32 = 0o1000;

/// Files in a data directory, except compiled code and its key.
const FILES: [&str; 7] = [
    "saga.db",
    "saga.db-wal",
    "saga.db-shm",
    "saga.db-journal",
    "saga.db-mark",
    "saga.lock",
    "admin.json",
];

/// Other entries of a directory that only a host uses: compiled code, and those that file systems
/// have at their root.
const BESIDE: [&str; 3] = ["code", "code.key", "lost+found"];

/// The directory of the components.
const COMPONENTS: &str = "components";

/// Creates a data directory if there is none, and denies others read and write access.
///
/// # Errors
/// The system's error; or the directory is a shared one, such as `/tmp`, or one with other contents
/// that others may write to.
pub(super) fn directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    let mode = fs::metadata(path)?.mode();
    let refused = |what: &str| {
        io::Error::other(format!(
            "{what} (mode {:04o}); name one for the host alone, such as {}",
            mode & 0o7777,
            path.join("saga-data").display()
        ))
    };
    if mode & STICKY != 0 {
        return Err(refused("it is a directory for all users"));
    }
    let path = &fs::canonicalize(path)?;
    if mode & OTHERS == 0 || !has_other_things(path)? {
        take(path, OTHERS);
    } else if mode & WRITE == 0 {
        tracing::info!(
            path = %path.display(),
            mode = %format_args!("{:04o}", mode & 0o7777),
            "the data directory holds other things too, so other users may still see the names in it"
        );
    } else if path.join("saga.db").exists() {
        take(path, WRITE);
    } else {
        return Err(refused(
            "it holds other things, and other users may write to it",
        ));
    }
    Ok(())
}

/// True if a directory has entries that are not a host's.
fn has_other_things(path: &Path) -> io::Result<bool> {
    let own: Vec<_> = (FILES.iter()).chain(&BESIDE).chain([&COMPONENTS]).collect();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        if !own.iter().any(|own| name == **own) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Denies others read and write access to the files of a data directory.
pub(super) fn tighten(data: &Path) {
    FILES.iter().for_each(|name| take(&data.join(name), OTHERS));
    let components = data.join(COMPONENTS);
    take(&components, OTHERS);
    for file in fs::read_dir(components).into_iter().flatten().flatten() {
        take(&file.path(), OTHERS);
    }
}

/// Clears these mode bits. Logs a failure; a host that can work goes on.
fn take(path: &Path, bits: u32) {
    // Links are not followed: their targets may be anybody's.
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return;
    };
    let mode = metadata.mode();
    if metadata.is_symlink() || mode & bits == 0 {
        return;
    }
    let own = Permissions::from_mode(mode & 0o7777 & !0o6000 & !bits);
    let result = fs::set_permissions(path, own);
    let path = path.display();
    match result {
        Ok(()) => tracing::info!(
            %path,
            mode = %format_args!("{:04o}", mode & 0o7777),
            "other users had access to this; now only the host's own user has"
        ),
        Err(error) => tracing::warn!(
            %path,
            mode = %format_args!("{:04o}", mode & 0o7777),
            %error,
            "other users may use this, and the host can't change that: have it belong to the user who runs the host"
        ),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn access_of_other_users_is_removed_except_for_compiled_code() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path().join("one/two");
        directory(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
        fs::create_dir(data.join("components")).unwrap();
        let files = ["saga.db", "components/x.wasm", "code.key"].map(|name| {
            let path = data.join(name);
            fs::write(&path, "x").unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
            path
        });
        directory(&data).unwrap();
        tighten(&data);
        assert_eq!(mode(&data), 0o700);
        assert_eq!(mode(&data.join("components")), 0o700);
        assert_eq!(files.map(|path| mode(&path)), [0o600, 0o600, 0o666]);
    }

    #[test]
    fn a_directory_that_holds_other_things_is_not_taken_from_others() {
        let place = tempfile::tempdir().unwrap();
        let data = place.path();
        let becomes = |before| {
            fs::set_permissions(data, Permissions::from_mode(before)).unwrap();
            let refused = directory(data).err().map(|error| error.to_string());
            let says = |reason: String| {
                reason.contains("holds other things") && reason.contains("saga-data")
            };
            (refused.map(says), mode(data))
        };
        fs::create_dir(data.join("lost+found")).unwrap();
        assert_eq!(becomes(0o777), (None, 0o700));
        fs::write(data.join("notes.txt"), "x").unwrap();
        assert_eq!(becomes(0o755), (None, 0o755));
        assert_eq!(becomes(0o775), (Some(true), 0o775));
        assert_eq!(becomes(0o757), (Some(true), 0o757));
        assert_eq!(becomes(0o700), (None, 0o700));
        // Others may not write to a directory with a store.
        fs::write(data.join("saga.db"), "x").unwrap();
        assert_eq!(becomes(0o775), (None, 0o755));
        fs::remove_file(data.join("notes.txt")).unwrap();
        assert_eq!(becomes(0o775), (None, 0o700));
    }

    #[test]
    fn a_directory_for_everybody_is_refused_and_left_as_it_is() {
        let place = tempfile::tempdir().unwrap();
        fs::set_permissions(place.path(), Permissions::from_mode(0o1777)).unwrap();
        let refused = directory(place.path()).unwrap_err().to_string();
        assert!(
            refused.contains("mode 1777") && refused.contains("saga-data"),
            "{refused}"
        );
        assert_eq!(mode(place.path()), 0o1777);
    }
}
