//! PostgreSQL's programs on this machine, and the user that they run as.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The oldest version that is supported.
const OLDEST: u32 = 15;

/// Where Debian has the programs of each version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The programs that a server and its tests take.
const NEEDED: [&str; 3] = ["initdb", "postgres", "psql"];

/// Users without rights, as which a server runs if the caller is root.
const USERS: [&str; 2] = ["postgres", "nobody"];

/// This machine can't run a server. Each message is one line and says how to get it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// There are no programs.
    #[error(
        "no PostgreSQL server found; install PostgreSQL {OLDEST} or later (Debian, Ubuntu: apt-get install postgresql)"
    )]
    NoPrograms,
    /// They are too old.
    #[error("PostgreSQL {found} in {} is too old; install version {OLDEST} or later", bin.display())]
    Old {
        /// Their directory.
        bin: PathBuf,
        /// Their version.
        found: String,
    },
    /// A server does not run as root, and there is no other user.
    #[error(
        "a PostgreSQL server does not run as root, and there is no user `postgres` or `nobody`"
    )]
    NoUser,
}

/// Checks that a server can run here.
///
/// # Errors
/// Names what is missing.
pub fn available() -> Result<(), Unavailable> {
    Programs::find().map(drop)
}

/// The programs, and the user that they run as.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    bin: PathBuf,
    /// Numbers of the user and of its group. None for the caller.
    pub(super) user: Option<(u32, u32)>,
}

impl Programs {
    /// The programs of the newest version.
    pub(super) fn find() -> Result<Self, Unavailable> {
        let versions = std::fs::read_dir(DEBIAN).into_iter().flatten().flatten();
        let mut places: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
        let path = std::env::var_os("PATH").unwrap_or_default();
        places.extend(std::env::split_paths(&path));
        let found = places
            .into_iter()
            .filter(|bin| NEEDED.iter().all(|program| bin.join(program).is_file()))
            .map(|bin| (version(&bin), bin))
            .max();
        let (found, bin) = found.ok_or(Unavailable::NoPrograms)?;
        if found.0 < OLDEST {
            let found = found.1;
            return Err(Unavailable::Old { bin, found });
        }
        let user = match rustix::process::geteuid().is_root() {
            true => Some(other_user().ok_or(Unavailable::NoUser)?),
            false => None,
        };
        Ok(Self { bin, user })
    }

    /// One of the programs. A server, and what works on its files, runs as their owner.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("LC_ALL", "C")
            .env("TZ", "UTC")
            .current_dir("/")
            .stdin(Stdio::null());
        command
    }
}

/// The first number of the version of the programs in a directory, and the version; 0 if they don't
/// tell it.
fn version(bin: &Path) -> (u32, String) {
    let output = Command::new(bin.join("postgres"))
        .arg("--version")
        .stdin(Stdio::null())
        .output();
    // "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"
    let text = output.map_or(String::new(), |output| {
        String::from_utf8_lossy(&output.stdout).into_owned()
    });
    let version = text.split_whitespace().nth(2).unwrap_or("(unknown)");
    let digits = version.split(|c: char| !c.is_ascii_digit()).next();
    let first = digits.and_then(|digits| digits.parse().ok());
    (first.unwrap_or(0), version.to_owned())
}

/// Numbers of a user without rights and of its group.
fn other_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    USERS.iter().find_map(|name| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(*name))?;
        let mut numbers = line.split(':').skip(2).map(str::parse);
        let (user, group) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        (user != 0).then_some((user, group))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_the_program_that_tells_it() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(version(directory.path()).0, 0, "there is none");
        let program = directory.path().join("postgres");
        let script = "#!/bin/sh\necho 'postgres (PostgreSQL) 17beta1 (Debian)'\n";
        std::fs::write(&program, script).unwrap();
        let run = std::os::unix::fs::PermissionsExt::from_mode(0o700);
        std::fs::set_permissions(&program, run).unwrap();
        assert_eq!(version(directory.path()), (17, "17beta1".into()));
    }
}
