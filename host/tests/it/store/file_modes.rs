//! A host's files are for its own user only, whatever the umask and whatever was there before.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chameleon::{Chameleon, count};
use crate::commands::call;
use crate::support::{Host, saga};

/// The program under this umask.
fn under(umask: &str) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
        .arg(saga().get_program());
    command
}

/// A host whose data directory does not exist yet, or is as a test has made it. Its log lies beside.
fn start(directory: &Path, umask: &str) -> Host {
    let component = directory.join("chameleon.wasm");
    Chameleon::new().write(&component);
    let mut command = under(umask);
    command
        .args(["run", "--listen", "chameleon=127.0.0.1:0", "--data"])
        .arg(directory.join("data"))
        .arg("--plugin")
        .arg(format!("chameleon={}", component.display()));
    Host::from_command(command, directory)
}

/// Everything in a directory, itself included, that others may read or write.
fn open_to_others(directory: &Path) -> Vec<(PathBuf, u32)> {
    let mut open = Vec::new();
    let mut places = vec![directory.to_owned()];
    while let Some(place) = places.pop() {
        let metadata = fs::symlink_metadata(&place).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            open.push((place.clone(), mode));
        }
        if metadata.is_dir() {
            let inner = fs::read_dir(&place).unwrap();
            places.extend(inner.map(|entry| entry.unwrap().path()));
        }
    }
    open
}

#[test]
fn no_other_user_may_read_or_write_what_a_host_keeps_whatever_the_umask() {
    for umask in ["000", "022"] {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let host = start(directory.path(), umask);
        count(&host, "k");
        // While it runs there are the store's log, its index, and the address.
        for name in [
            "saga.db",
            "saga.db-wal",
            "saga.db-shm",
            "saga.lock",
            "admin.json",
            "code",
        ] {
            assert!(data.join(name).exists(), "{name}");
        }
        assert_eq!(open_to_others(&data), [], "umask {umask}");
        let backup = directory.path().join("backup");
        let (code, out, said) = call(
            under(umask)
                .args(["backup", "--data"])
                .arg(&data)
                .arg(&backup),
        );
        assert_eq!(code, 0, "{out} {said}");
        assert_eq!(open_to_others(&backup), [], "umask {umask}");
        assert!(host.stop().success());
        assert_eq!(open_to_others(&data), [], "umask {umask}");
    }
}

#[test]
fn access_of_other_users_is_removed_at_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let host = start(directory.path(), "077");
    count(&host, "k");
    assert!(host.stop().success());
    let set = |name: &str, mode| {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    set("", 0o755);
    set("saga.db", 0o644);
    set("components", 0o755);
    let host = start(directory.path(), "022");
    assert_eq!(count(&host, "k")["count"], 2);
    assert_eq!(open_to_others(&data), []);
    assert!(
        host.log().contains("other users had access to this"),
        "{}",
        host.log()
    );
    assert!(host.stop().success());
}

#[test]
fn compiled_code_that_others_could_write_is_deleted_and_replaced_by_private_code() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let run = || {
        let host = start(directory.path(), "077");
        count(&host, "k");
        let log = host.log();
        assert!(host.stop().success());
        fs::remove_file(directory.path().join("log.txt")).unwrap();
        log
    };
    run();
    let code = || fs::read_dir(data.join("code")).unwrap().count();
    assert!(code() > 0);
    fs::write(data.join("code/of-others.code"), "x").unwrap();
    for name in ["code", "code.key", "code/of-others.code"] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    let log = run();
    assert!(
        log.contains("other users could write to the compiled code (mode 0777)"),
        "{log}"
    );
    assert!(!data.join("code/of-others.code").exists());
    assert!(code() > 0, "it is compiled again");
    assert_eq!(open_to_others(&data), []);
    assert!(!run().contains("WARN"), "once is enough");
}

#[test]
fn compiled_code_that_others_could_read_is_kept_and_made_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let run = || {
        let host = start(directory.path(), "077");
        count(&host, "k");
        assert!(host.stop().success());
        let code = fs::read_dir(data.join("code")).unwrap();
        let mut made: Vec<_> = code
            .map(|file| file.unwrap().metadata().unwrap().modified().unwrap())
            .collect();
        made.sort();
        made
    };
    let before = run();
    fs::set_permissions(data.join("code"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(run(), before);
    assert_eq!(open_to_others(&data), []);
}

/// The error of a start that refuses this data directory.
fn refused(data: &Path, component: &Path) -> String {
    let (code, _, said) = call(
        saga()
            .args(["run", "--data"])
            .arg(data)
            .arg("--plugin")
            .arg(format!("chameleon={}", component.display())),
    );
    assert_eq!(code, 73, "{said}");
    said
}

#[test]
fn a_world_writable_directory_is_refused_as_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, fs::Permissions::from_mode(0o1777)).unwrap();
    let component = directory.path().join("chameleon.wasm");
    Chameleon::new().write(&component);
    let said = refused(&data, &component);
    assert!(
        said.contains("a directory for all users (mode 1777)"),
        "{said}"
    );
    let mode = fs::metadata(&data).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode, 0o1777);
}

#[test]
fn a_directory_that_holds_other_things_is_left_to_its_users() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    fs::create_dir(&data).unwrap();
    let component = data.join("chameleon.wasm");
    Chameleon::new().write(&component);
    fs::set_permissions(&data, fs::Permissions::from_mode(0o775)).unwrap();
    let said = refused(&data, &component);
    assert!(said.contains("it holds other things"), "{said}");
    let left = fs::read_dir(&data).unwrap().count();
    let mode = fs::metadata(&data).unwrap().permissions().mode() & 0o7777;
    assert_eq!((left, mode), (1, 0o775), "nothing is written to it");
}
