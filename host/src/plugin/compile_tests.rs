//! The cache returns code that this host made from this component, and compiles all other code
//! again.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::*;
use crate::base::machine::Machine;
use crate::plugin::{GuestLimits, Reservation, Runtime};

const EMPTY: &[u8] = b"\0asm\x0d\0\x01\0";

struct Cache {
    data: tempfile::TempDir,
    runtime: Runtime,
    cache: CodeCache,
}

impl Cache {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        Self {
            runtime: Runtime::new(GuestLimits::default()).unwrap(),
            cache: CodeCache::new(data.path()),
            data,
        }
    }

    fn compile(&self, digest: &str) {
        self.cache
            .compile(self.runtime.engine(), EMPTY, digest)
            .unwrap();
    }

    /// The path of the code file of this digest, and its validity under the key of the data
    /// directory.
    fn file(&self, digest: &str) -> (PathBuf, Result<bool, String>) {
        let cache = CodeCache::new(self.data.path());
        let engine = self.runtime.engine();
        let origin = CodeOrigin {
            digest,
            engine: engine_hash(engine),
        };
        let on_disk = cache.disk.unwrap();
        let path = on_disk.path(origin);
        let found = on_disk
            .key()
            .and_then(|key| read(engine, key, origin, &path));
        (path, found.map(|component| component.is_some()))
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn damaged_code_is_made_anew() {
    let cache = Cache::new();
    cache.compile("d");
    let (path, found) = cache.file("d");
    assert_eq!(found, Ok(true));
    let good = fs::read(&path).unwrap();
    for damage in [&b""[..], &b"short"[..], &good[..good.len() / 2]] {
        fs::write(&path, damage).unwrap();
        assert!(cache.file("d").1.is_err());
        cache.compile("d");
        assert_eq!(fs::read(&path).unwrap(), good);
    }
}

#[test]
fn code_of_another_component_is_not_taken_under_this_digest() {
    let cache = Cache::new();
    for digest in ["a", "b"] {
        cache.compile(digest);
    }
    let (a, b) = (cache.file("a").0, cache.file("b").0);
    let was = fs::read(&a).unwrap();
    fs::copy(&b, &a).unwrap();
    let refused = cache.file("a").1.unwrap_err();
    assert!(refused.contains("another component"), "{refused}");
    cache.compile("a");
    assert_eq!(fs::read(&a).unwrap(), was);
}

#[test]
fn code_that_another_host_made_is_not_taken() {
    let (own, other) = (Cache::new(), Cache::new());
    own.compile("a");
    other.compile("a");
    let path = own.file("a").0;
    fs::copy(other.file("a").0, &path).unwrap();
    let refused = own.file("a").1.unwrap_err();
    assert!(refused.contains("not made by this host"), "{refused}");
    own.compile("a");
    assert_eq!(own.file("a").1, Ok(true));
}

#[test]
fn code_for_another_configuration_has_a_file_of_its_own() {
    let cache = Cache::new();
    cache.compile("a");
    let small = Runtime::with(
        GuestLimits::default(),
        Reservation::Small,
        Machine::default(),
    );
    let small = small.unwrap();
    assert_ne!(
        engine_hash(small.engine()),
        engine_hash(cache.runtime.engine())
    );
    cache.cache.compile(small.engine(), EMPTY, "a").unwrap();
    let files = || {
        fs::read_dir(cache.data.path().join("code"))
            .unwrap()
            .count()
    };
    assert_eq!(files(), 2);
    cache.cache.forget("a");
    assert_eq!(files(), 0);
}

#[test]
fn the_cache_is_for_the_own_user_only_and_what_others_may_write_is_not_used() {
    let cache = Cache::new();
    cache.compile("a");
    let (directory, key) = (
        cache.data.path().join("code"),
        cache.data.path().join("code.key"),
    );
    let path = cache.file("a").0;
    assert_eq!(
        [mode(&directory), mode(&key), mode(&path)],
        [0o700, 0o600, 0o600]
    );
    allow(&path, 0o620);
    let refused = cache.file("a").1.unwrap_err();
    assert!(refused.contains("others may write"), "{refused}");
    cache.compile("a");
    assert_eq!(mode(&path), 0o600, "it was written again");
    assert_eq!(cache.file("a").1, Ok(true));
    allow(&directory, 0o720);
    assert_eq!(cache.file("a").1, Ok(false), "it was deleted");
    assert_eq!(mode(&directory), 0o700);
    cache.compile("a");
    assert_eq!(cache.file("a").1, Ok(true));
}

#[test]
fn a_key_that_is_lost_or_damaged_is_replaced_and_all_code_made_anew() {
    let cache = Cache::new();
    cache.compile("a");
    let key = cache.data.path().join("code.key");
    for damage in [None, Some(&b"short"[..])] {
        match damage {
            None => fs::remove_file(&key).unwrap(),
            Some(bytes) => fs::write(&key, bytes).unwrap(),
        }
        assert!(cache.file("a").1.is_err());
        assert_eq!(
            (fs::read(&key).unwrap().len(), mode(&key)),
            (KEY_BYTES, 0o600)
        );
        let (engine, anew) = (cache.runtime.engine(), CodeCache::new(cache.data.path()));
        anew.compile(engine, EMPTY, "a").unwrap();
        assert_eq!(cache.file("a").1, Ok(true));
    }
}

#[test]
fn a_key_that_others_could_read_or_write_is_replaced_and_all_code_made_anew() {
    for exposed in [0o644, 0o640, 0o620] {
        let cache = Cache::new();
        let key = cache.data.path().join("code.key");
        cache.compile("a");
        let was = fs::read(&key).unwrap();
        allow(&key, exposed);
        assert_eq!(cache.file("a").1, Ok(false), "made under the old key");
        assert_ne!(fs::read(&key).unwrap(), was);
        assert_eq!(mode(&key), 0o600);
        let anew = CodeCache::new(cache.data.path());
        anew.compile(cache.runtime.engine(), EMPTY, "a").unwrap();
        assert_eq!(cache.file("a").1, Ok(true));
    }
}

#[test]
fn a_cache_that_cannot_be_written_is_no_reason_to_fail() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let runtime = Runtime::new(GuestLimits::default()).unwrap();
    CodeCache::new(&file)
        .compile(runtime.engine(), EMPTY, "d")
        .unwrap();
}
