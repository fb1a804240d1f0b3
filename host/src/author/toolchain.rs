//! The parts of a Rust toolchain that building components needs, and how to get missing ones.
//!
//! The target is tried by compiling a program, because a target that is installed may belong to
//! another version of the compiler. So is the linker of the machine's own programs: dependencies have
//! macros and build scripts, which run while cargo builds. `wasm-target.sh` installs it: with rustup or, where rustup's
//! server can't be reached but a Debian mirror can, from Debian's sources of the standard library.

use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use saga_core::hex;
use serde::Serialize;

use super::template::RUST_VERSION;
use crate::base::clock::random_tail;

/// The target of components.
pub const TARGET: &str = "wasm32-wasip2";

/// Installs the target into the toolchain in use.
const INSTALL: &str = include_str!("wasm-target.sh");

/// The program that is compiled on trial.
const TRIAL: &str = "pub fn greet() { println!(\"hello\"); }\n";

/// The program that is linked on trial, for the machine itself.
const HOST_TRIAL: &str = "fn main() {}\n";

/// How Rust is got.
const RUSTUP: &str =
    "install Rust (stable), for example with rustup, and see that cargo is on the PATH";

/// Characters of a compiler's message that are shown.
const MESSAGE: usize = 2_000;

/// One part of a toolchain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The part: `cargo`, `rustc`, `linker`, `wasm32-wasip2`; `node`, `npm`.
    pub part: &'static str,
    /// True if it is there and works.
    pub is_fit: bool,
    /// The finding, or the problem.
    pub found: String,
    /// How to get it; `None` if it is fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// All that the compiler said, if it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Finding {
    pub(super) fn fit(part: &'static str, found: impl Into<String>) -> Self {
        Self {
            part,
            is_fit: true,
            found: found.into(),
            remedy: None,
            detail: None,
        }
    }

    pub(super) fn unfit(
        part: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            part,
            is_fit: false,
            found: found.into(),
            remedy: Some(remedy.into()),
            detail: None,
        }
    }

    fn with(self, detail: String) -> Self {
        let detail = Some(detail);
        Self { detail, ..self }
    }
}

/// Looks at every part. `folder` is where cargo would be called: rustup may have an override there.
#[must_use]
pub fn check(folder: &Path) -> Vec<Finding> {
    let cargo = match output(Command::new("cargo").arg("--version").current_dir(folder)) {
        Ok(version) => Finding::fit("cargo", version.trim().trim_start_matches("cargo ")),
        Err(reason) => Finding::unfit("cargo", reason, RUSTUP),
    };
    let rustc = rustc(folder);
    // Without a compiler there is neither.
    let compiled = match rustc.is_fit {
        true => vec![linker(folder), target(folder)],
        false => Vec::new(),
    };
    [cargo, rustc].into_iter().chain(compiled).collect()
}

fn rustc(folder: &Path) -> Finding {
    let version = match output(Command::new("rustc").arg("-vV").current_dir(folder)) {
        Ok(version) => version,
        Err(reason) => return Finding::unfit("rustc", reason, RUSTUP),
    };
    let release = version
        .lines()
        .find_map(|line| line.strip_prefix("release: "));
    let release = release.unwrap_or("of an unknown version").to_owned();
    if is_at_least(&release, RUST_VERSION) {
        return Finding::fit(
            "rustc",
            format!("{release}, at least {RUST_VERSION} is needed"),
        );
    }
    let found = format!("{release} is too old: at least {RUST_VERSION} is needed");
    Finding::unfit("rustc", found, "update Rust: rustup update stable")
}

/// Compares `1.95.0` or `1.97.0-nightly` with `1.95`.
fn is_at_least(release: &str, least: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let plain = text.split('-').next().unwrap_or_default();
        plain
            .split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    numbers(release) >= numbers(least)
}

fn linker(folder: &Path) -> Finding {
    let said = match trial(folder, HOST_TRIAL, &["--crate-type", "bin"]) {
        Ok(()) => return Finding::fit("linker", "a trial program links"),
        Err(said) => said,
    };
    let install = "install a C compiler (Debian: apt install gcc)";
    let missing = quoted_after(&said, "linker `");
    let found = match missing.filter(|_| said.contains("not found")) {
        Some(name) => format!("{name} is not on the PATH"),
        None => format!("no program of this machine links: {}", first_line(&said)),
    };
    Finding::unfit("linker", found, install).with(said)
}

fn target(folder: &Path) -> Finding {
    let arguments = [
        "--target",
        TARGET,
        "--crate-type",
        "cdylib",
        "-Cpanic=abort",
    ];
    let said = match trial(folder, TRIAL, &arguments) {
        Ok(()) => return Finding::fit(TARGET, "a trial program builds"),
        Err(said) => said,
    };
    let remedy = format!(
        "rustup target add {TARGET}; without rustup, or where its server can't be reached: saga doctor --fix"
    );
    // The compiler's error for a missing standard library.
    let found = match said.contains("E0463") {
        true => format!("is not installed for {}", toolchain(folder)),
        false => first_line(&said).to_owned(),
    };
    Finding::unfit(TARGET, found, remedy).with(said)
}

/// The toolchain in use: its folder, whose name is rustup's for it.
fn toolchain(folder: &Path) -> String {
    let mut rustc = Command::new("rustc");
    let root = output(rustc.args(["--print", "sysroot"]).current_dir(folder));
    root.map_or_else(
        |_| "this toolchain".to_owned(),
        |root| format!("the toolchain {}", root.trim()),
    )
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// The text between `before`, which ends with a quote, and the next quote.
fn quoted_after<'t>(text: &'t str, before: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    rest.split_once('`').map(|(quoted, _)| quoted)
}

/// Compiles a program with these arguments; fails with what the compiler says.
fn trial(folder: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    // A new folder whose name nobody can foresee: others may write where it is made.
    let name = hex(&random_tail());
    let directory = std::env::temp_dir().join(format!("saga-doctor-{name}"));
    let tried = std::fs::create_dir(&directory)
        .and_then(|()| std::fs::write(directory.join("trial.rs"), program))
        .map_err(|error| format!("{}: {error}", directory.display()))
        .and_then(|()| {
            let mut rustc = Command::new("rustc");
            rustc.args(arguments).arg("-o").arg(directory.join("trial"));
            rustc.arg(directory.join("trial.rs")).current_dir(folder);
            output(&mut rustc).map(drop)
        });
    // What is left there is a few bytes in a directory for such files.
    let _ = std::fs::remove_dir_all(&directory);
    tried
}

/// Standard output of a command that succeeds, or the reason.
pub(super) fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output();
    let Output {
        status,
        stdout,
        stderr,
    } = output.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => "is not on the PATH".to_owned(),
        _ => format!("{name} can't be started: {error}"),
    })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&stderr);
    let said: String = said.trim().chars().take(MESSAGE).collect();
    Err(match said.is_empty() {
        true => format!("{name} failed ({status})"),
        false => said,
    })
}

/// Installs the target; its progress goes to standard error.
///
/// # Errors
/// The reason why it could not be called, or that it failed, which it has explained.
pub fn install_target(folder: &Path) -> Result<(), String> {
    let mut shell = Command::new("bash");
    let shell = shell.args(["-c", INSTALL]).current_dir(folder);
    let status = shell.stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("bash can't be started: {error}"))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("the target {TARGET} was not installed ({status})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for (release, least, expected) in [
            ("1.95.0", "1.95", true),
            ("1.100.0", "1.95", true),
            ("2.0.0", "1.95", true),
            ("1.96.0-nightly", "1.95", true),
            ("1.94.1", "1.95", false),
            ("1.9.0", "1.95", false),
            ("of an unknown version", "1.95", false),
        ] {
            assert_eq!(is_at_least(release, least), expected, "{release}");
        }
    }
}
