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

/// Crashes before each `stride`th step of writing, a different set each time, until all steps were taken; gives the last
/// one. With `SAGA_CRASH_POINTS=all` it is every step.
pub fn steps(stride: u64, most: u64, crashes_at: impl Fn(u64) -> bool) -> u64 {
    let all = std::env::var("SAGA_CRASH_POINTS").is_ok_and(|wanted| wanted == "all");
    let (first, stride) = match all {
        true => (1, 1),
        false => (fastrand::u64(1..=stride), stride),
    };
    let mut step = first;
    while !crashes_at(step) {
        step += stride;
        assert!(step < most, "it never came to its end");
    }
    println!(
        "{} crashes before steps {first}, {}, … {step}",
        (step - first) / stride,
        first + stride
    );
    step
}
