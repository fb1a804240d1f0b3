//! Java on this machine, and the jars of Kafka.
//!
//! Maven fetches the jars once, into a directory of `target/kafka` that is named after the content
//! of `pom.xml`, so each version has its own. Several processes may fetch at once: each fetches
//! into a directory of its own and moves it into place. The first one wins, and an aborted fetch
//! leaves nothing that looks complete.
//!
//! Must not know: the use of the jars.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::broker::error::{Error, Unavailable};

/// The list of jars to fetch.
const POM: &str = include_str!("pom.xml");

/// Kafka 4 needs at least this version of Java.
const JAVA: u32 = 17;

/// Checks that a broker can run here.
///
/// # Errors
/// Names the missing program. It is not tested if Maven can reach its registry.
pub fn available() -> Result<(), Unavailable> {
    find().map(drop)
}

/// Java with the class path of Kafka.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    program: PathBuf,
    /// The class path.
    class_path: String,
}

impl Java {
    /// Finds Java and the jars; fetches the jars if they are missing.
    ///
    /// # Errors
    /// Something is missing, or Maven failed.
    pub(crate) fn with_jars() -> Result<Self, Error> {
        let program = find()?;
        let jars = place();
        if !jars.is_dir() {
            fetch(&jars)?;
        }
        Ok(Self {
            program,
            class_path: format!("{}/*", jars.display()),
        })
    }

    /// The command that runs a class, without its arguments. Its options suit processes that live
    /// shortly, on few cores.
    pub(crate) fn class(&self, class: &str, options: &[String]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args([
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
            ])
            .args(options)
            .args(["-cp", &self.class_path, class]);
        command
    }
}

/// Finds Java, and either the jars or Maven.
fn find() -> Result<PathBuf, Unavailable> {
    let java = std::env::var_os("JAVA_HOME")
        .map(|home| Path::new(&home).join("bin/java"))
        .filter(|java| java.is_file())
        .or_else(|| on_path("java"))
        .ok_or(Unavailable::NoJava)?;
    let said = run(Command::new(&java).arg("-version"))
        .map(|output| text(&output))
        .unwrap_or_default();
    match version(&said) {
        Some(found) if found >= JAVA => {}
        found => {
            let found = found.map_or_else(|| "(unknown)".to_owned(), |found| found.to_string());
            return Err(Unavailable::OldJava { java, found });
        }
    }
    if place().is_dir() || on_path("mvn").is_some() {
        Ok(java)
    } else {
        Err(Unavailable::NoMaven)
    }
}

/// `openjdk version "17.0.15"` → 17; `java version "1.8.0_292"` → 8.
fn version(said: &str) -> Option<u32> {
    let quoted = said.split('"').nth(1)?;
    let mut numbers = quoted
        .split(|letter: char| !letter.is_ascii_digit())
        .map_while(|number| number.parse().ok());
    match numbers.next()? {
        1 => numbers.next(),
        first => Some(first),
    }
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// The directory of the jars, which may not exist yet.
fn place() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"),
        PathBuf::from,
    );
    let mut hash = DefaultHasher::new();
    POM.hash(&mut hash);
    target
        .join("kafka")
        .join(format!("lib-{:016x}", hash.finish()))
}

fn fetch(jars: &Path) -> Result<(), Error> {
    let parent = jars.parent().unwrap_or(jars);
    std::fs::create_dir_all(parent).map_err(Error::at("can't make", parent))?;
    // Maven's own repository can't take two downloads of a file at a time.
    let lock = parent.join("fetching.lock");
    let held = File::create(&lock).map_err(Error::at("can't make", &lock))?;
    held.lock().map_err(Error::at("can't lock", &lock))?;
    if jars.is_dir() {
        return Ok(());
    }
    let scratch = tempfile::Builder::new()
        .prefix("fetching-")
        .tempdir_in(parent)
        .map_err(Error::at("can't make a directory in", parent))?;
    let pom = scratch.path().join("pom.xml");
    std::fs::write(&pom, POM).map_err(Error::at("can't write", &pom))?;
    let fetched = scratch.path().join("lib");
    let output = run(Command::new("mvn")
        .args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", fetched.display())))
    .map_err(Error::at("can't start", Path::new("mvn")))?;
    if !output.status.success() {
        return Err(Error::Fetch {
            said: text(&output),
        });
    }
    match std::fs::rename(&fetched, jars) {
        // Another process was faster; its jars are the same.
        Err(_) if jars.is_dir() => Ok(()),
        moved => moved.map_err(Error::at("can't move the jars to", jars)),
    }
}

fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

/// Standard output and standard error of a program.
fn text(output: &Output) -> String {
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_what_stands_in_quotes() {
        for (said, expected) in [
            ("openjdk version \"17.0.15\" 2025-04-15\n", Some(17)),
            ("openjdk version \"21\" 2023-09-19", Some(21)),
            ("openjdk version \"25-ea\" 2025-09-16", Some(25)),
            ("java version \"1.8.0_292\"", Some(8)),
            ("no Java here", None),
            ("a \"word\"", None),
        ] {
            assert_eq!(version(said), expected, "{said}");
        }
    }
}
