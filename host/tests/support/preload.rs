//! Small libraries that are loaded into the real process and change what the system does for it. They need Linux and a C
//! compiler, which the host needs itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

/// Ends the process just before the nth write to the store's files.
pub static CRASH_POINT: LazyLock<PathBuf> = LazyLock::new(|| build("crash_point"));

/// Lets the disk stand still as long as a file is there.
pub static FREEZE: LazyLock<PathBuf> = LazyLock::new(|| build("freeze"));

fn build(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Built aside and put in place whole: another run may be using it.
    let unfinished = directory.join(format!("{name}-{}.so", std::process::id()));
    let path = directory.join(format!("{name}.so"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/support/{name}.c"));
    let compiler = std::env::var("CC").unwrap_or_else(|_| "cc".into());
    let built = Command::new(compiler)
        .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o"])
        .arg(&unfinished)
        .arg(source)
        .args(["-ldl", "-lpthread"])
        .status()
        .unwrap();
    assert!(built.success());
    std::fs::rename(unfinished, &path).unwrap();
    path
}
