//! Compiled code is taken only where this host made it, from this component: a file that is exchanged, or that others may
//! write, is compiled anew.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::chameleon::{self, Chameleon, count, rollback, swap};
use crate::support::Host;

const ANEW: &str = "cached code is not used, but compiled again";

/// A build that counts by so much.
fn build(step: u64) -> Chameleon {
    Chameleon::new().with(json!({"handle": {"count": {"count": step}}}))
}

fn start(data: &Path) -> Host {
    chameleon::start(&data.join("chameleon.wasm"), data)
        .setting("reload.watch_ms", 0)
        .start()
}

/// The compiled code of a build.
fn code(data: &Path, build: &Chameleon) -> PathBuf {
    let files = fs::read_dir(data.join("code")).unwrap();
    let mut files = files.map(|file| file.unwrap().path());
    let of_build = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&build.digest())
    };
    files.find(of_build).unwrap()
}

/// A data directory with a cache of its own, in which the code of both builds is.
fn cached(data: &Path) -> [PathBuf; 2] {
    // The other tests share one.
    fs::create_dir(data.join("code")).unwrap();
    let builds = [build(1), build(100)];
    builds[0].write(&data.join("chameleon.wasm"));
    let host = start(data);
    swap(&host, &builds[1]);
    assert_eq!(rollback(&host).status, 200);
    assert_eq!(count(&host, "k")["count"], 1);
    assert!(!host.log().contains(ANEW));
    assert!(host.stop().success());
    builds.map(|build| code(data, &build))
}

#[test]
fn code_that_was_exchanged_for_that_of_another_build_does_not_decide() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let [first, second] = cached(data);
    let beside = data.join("beside");
    fs::rename(&first, &beside).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::rename(&beside, &second).unwrap();
    let host = start(data);
    assert_eq!(count(&host, "k")["count"], 2, "by the rules of this digest");
    let log = host.log();
    let said = "it was made from another component, or by another engine";
    assert!(log.contains(ANEW) && log.contains(said), "{log}");
    assert_eq!(log.matches(ANEW).count(), 1, "once:\n{log}");
    swap(&host, &build(100));
    assert_eq!(count(&host, "k")["count"], 102);
    assert!(host.stop().success());
    // What was compiled again is taken.
    let host = start(data);
    assert_eq!(count(&host, "k")["count"], 202);
    assert_eq!(host.log().matches(ANEW).count(), 2, "one for each file");
    assert!(host.stop().success());
}

#[test]
fn code_of_another_data_directory_does_not_decide() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (number, data) in [&one, &other].into_iter().enumerate() {
        let key = data.path().join("code.key");
        fs::write(&key, [number as u8; 32]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let [first, _] = cached(one.path());
    let [foreign, _] = cached(other.path());
    fs::copy(foreign, &first).unwrap();
    let host = start(one.path());
    host.log_until("it is damaged, or was not made by this host");
    assert_eq!(count(&host, "k")["count"], 2);
    assert!(host.stop().success());
}

#[test]
fn compiled_code_that_others_may_write_is_not_used_and_the_hosts_own_is_private() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let [first, _] = cached(data);
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!(mode(&first), 0o600);
    fs::set_permissions(&first, fs::Permissions::from_mode(0o666)).unwrap();
    let host = start(data);
    host.log_until("others may write to it (mode 0666)");
    assert_eq!(mode(&first), 0o600, "it was written again");
    assert!(host.stop().success());
    fs::set_permissions(data.join("code"), fs::Permissions::from_mode(0o777)).unwrap();
    let host = start(data);
    host.log_until("other users could write to the compiled code (mode 0777)");
    assert_eq!(count(&host, "k")["count"], 2);
    assert!(host.stop().success());
}

#[test]
fn a_key_that_others_could_read_is_replaced_and_all_code_recompiled() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let [first, _] = cached(data);
    fs::remove_file(data.join("log.txt")).unwrap();
    let key = data.join("code.key");
    let (old_key, old_code) = (fs::read(&key).unwrap(), fs::read(&first).unwrap());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let host = start(data);
    assert_eq!(count(&host, "k")["count"], 2);
    let log = host.log();
    let said = "other users could read or write the key of compiled code (mode 0644)";
    assert_eq!(log.matches(said).count(), 1, "{log}");
    assert_eq!(
        log.matches("WARN").count(),
        1,
        "nothing else is said:\n{log}"
    );
    assert_eq!(fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    assert_ne!(fs::read(&key).unwrap(), old_key);
    assert_ne!(fs::read(&first).unwrap(), old_code);
    assert!(host.stop().success());
    fs::remove_file(data.join("log.txt")).unwrap();
    let host = start(data);
    assert_eq!(count(&host, "k")["count"], 3);
    let log = host.log();
    assert!(!log.contains("compiled"), "{log}");
    assert!(host.stop().success());
}

#[test]
fn a_pipe_in_the_place_of_the_key_or_of_code_does_not_hold_up_the_start() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path();
    let [first, _] = cached(data);
    let pipe = |path: &Path| {
        fs::remove_file(path).unwrap();
        mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    };
    pipe(&first);
    let host = start(data);
    assert_eq!(count(&host, "k")["count"], 2);
    assert!(host.log().contains(ANEW), "{}", host.log());
    assert!(host.stop().success());
    pipe(&data.join("code.key"));
    let host = start(data);
    host.log_until("code.key: it is not a file");
    assert_eq!(count(&host, "k")["count"], 3);
    assert!(host.stop().success());
}
