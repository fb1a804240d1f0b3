//! Java on this machine, and the jars of Kafka.
//!
//! The jars are fetched once, by Maven, into a directory of `target/kafka` that is named for the content of
//! `pom.xml`: another version is another directory. Several processes may come at once. Each fetches into a
//! directory of its own and moves it into place; the first one wins, and a fetch that was cut
//! short leaves nothing that looks complete.
//!
//! Must not know: what the jars are used for.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::broker::error::{Error, Unavailable};

/// The list of jars to fetch.
const POM: &str = include_str!("pom.xml");

/// Kafka 4 runs on this version of Java and later ones.
const JAVA: u32 = 17;

/// Checks that a broker can be run here.
///
/// # Errors
/// Names what is missing. Maven's way to its registry is not tried.
pub fn available() -> Result<(), Unavailable> {
    find().map(drop)
}

/// The Java that runs Kafka's classes.
#[derive(Debug, Clone)]
pub(crate) struct Java {
    program: PathBuf,
    /// For `-cp`.
    class_path: String,
}

impl Java {
    /// With the jars, which are fetched if they are not there yet.
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

    /// A command that runs a class, to be given its arguments. These options suit short lives
    /// on few cores.
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

/// Where the jars are, or will be.
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
        // Another process was first: its jars are the same.
        Err(_) if jars.is_dir() => Ok(()),
        moved => moved.map_err(Error::at("can't move the jars to", jars)),
    }
}

fn run(command: &mut Command) -> std::io::Result<Output> {
    command.stdin(Stdio::null()).output()
}

/// Everything that a program said.
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
