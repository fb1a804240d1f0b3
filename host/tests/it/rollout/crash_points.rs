//! A crash at every single step of writing that swaps take, the machine's power loss included.
//!
//! As in `store::crash_points`, but the steps are counted from the first swap on, and those are steps too that write
//! the host's copies of components and the cache of compiled code. What is not synced to disk is taken back
//! with a power loss, names of files and directories included. `SAGA_CRASH_POINTS=all` takes every step.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::builds::{Build, Files, active, nothing_decided_before_it_was_active};
use crate::chameleon::{Chameleon, count, look};
use crate::preload::{CRASH_POINT, steps};
use crate::store_file::{number, rows};
use crate::support::{Host, Start, try_request};

/// Every how many steps there is a crash where not every step is asked for.
const STRIDE: u64 = 6;
/// The same where the swap is to a build that was never compiled, which takes a while.
const COLD_STRIDE: u64 = 7;
/// More steps than all swaps take.
const MOST: u64 = 500;

/// The next build may lack this, since nothing listens to it yet.
fn builds() -> [(Build, &'static str); 3] {
    let first = Chameleon::new().version("first");
    let second = Chameleon::new().version("second");
    let third = (Chameleon::new().version("third")).with(json!({"subscriptions": []}));
    let build = |chameleon: Chameleon| Build::new("chameleon", chameleon.bytes());
    [
        (build(first), "first"),
        (build(second), "second"),
        (build(third), "third"),
    ]
}

/// One life on a data directory, as far as it got.
struct Walk {
    sent: u64,
    answered: u64,
    active: Build,
    cut_short: Option<Build>,
}

impl Walk {
    fn count(&mut self, url: &str) -> Option<()> {
        self.sent += 1;
        let counted = try_request("POST", &format!("{url}/counters/k"), &[], b"{}").ok()?;
        assert_eq!(counted.status, 200, "{}", counted.text());
        self.answered += 1;
        Some(())
    }

    fn swap(&mut self, admin: &str, build: &Build, goes_back: bool) -> Option<()> {
        self.cut_short = Some(build.clone());
        let answer = if goes_back {
            build.try_go_back(admin)
        } else {
            build.try_apply(admin)
        };
        let swapped = answer.ok()?;
        assert_eq!(swapped.status, 200, "{}", swapped.text());
        self.cut_short = None;
        self.active = build.clone();
        Some(())
    }

    /// To one that lacks nothing, to one that lacks a subscription, and back. None where it did not come to its end.
    fn all(&mut self, host: &Host) -> Option<()> {
        let (url, admin) = (host.url("chameleon").to_owned(), host.admin().to_owned());
        let [(first, _), (second, _), (third, _)] = builds();
        self.count(&url)?;
        self.swap(&admin, &second, false)?;
        self.count(&url)?;
        self.swap(&admin, &third, false)?;
        self.count(&url)?;
        self.swap(&admin, &first, true)?;
        self.count(&url)
    }

    /// To one that was never compiled.
    fn cold(&mut self, host: &Host) -> Option<()> {
        let (url, admin) = (host.url("chameleon").to_owned(), host.admin().to_owned());
        let [_, (second, _), _] = builds();
        self.swap(&admin, &second, false)?;
        self.count(&url)
    }
}

/// Where and how a life ends.
#[derive(Debug, Clone, Copy)]
struct Crash<'c> {
    step: u64,
    power: bool,
    /// A cache that has the first build's compiled code and no other; else that of all tests.
    code: Option<&'c Path>,
}

/// A life that ends before a step, and the next one, which must find the one generation or the other active. Says whether
/// the first came to its end without reaching the step.
fn crash_at(crash: Crash<'_>) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let found = std::panic::catch_unwind(|| lives(directory.path(), crash));
    found.unwrap_or_else(|_| {
        panic!(
            "{crash:?}: the data is kept in {}",
            directory.keep().display()
        )
    })
}

fn lives(directory: &Path, crash: Crash<'_>) -> bool {
    let data = directory.join("data");
    if let Some(code) = crash.code {
        copy(code, &data.join("code"));
    }
    let [(first, _), ..] = builds();
    let files = Files::write(directory, std::slice::from_ref(&first));
    let armed = directory.join("armed");
    let mut command = start(&files, &data).program();
    command
        .env("LD_PRELOAD", &*CRASH_POINT)
        .env("CRASH_DIRECTORY", data.canonicalize().unwrap())
        .env("CRASH_FROM", &armed)
        .env("CRASH_AT", crash.step.to_string());
    if crash.power {
        command.env("CRASH_POWER", "1");
    }
    let host = Host::from_command(command, directory);
    files.spoil();
    let mut walk = Walk {
        sent: 0,
        answered: 0,
        active: first,
        cut_short: None,
    };
    walk.count(host.url("chameleon")).unwrap();
    std::fs::write(&armed, "").unwrap();
    let ended = match crash.code {
        Some(_) => walk.cold(&host),
        None => walk.all(&host),
    };
    let finished = match ended {
        Some(()) => host.stop().success(),
        None => {
            host.kill();
            false
        }
    };
    check(&start(&files, &data), &data, &walk);
    finished
}

fn check(start: &Start, data: &Path, walk: &Walk) {
    let host = start.start();
    let found = active(&host, data, "chameleon");
    let may_be = [Some(&walk.active), walk.cut_short.as_ref()];
    assert!(
        may_be.iter().flatten().any(|build| build.digest == found),
        "{found} is active"
    );
    let there = look(&host, "k")["count"].as_u64().unwrap();
    assert!(
        walk.answered <= there && there <= walk.sent,
        "{} answered, {} sent, {there}",
        walk.answered,
        walk.sent
    );
    // It decides, and it can be swapped as if nothing had been.
    let version = |digest: &str| {
        let (_, version) = (builds().into_iter())
            .find(|(build, _)| build.digest == digest)
            .unwrap();
        version
    };
    let by = |count: u64, digest: &str| json!({"count": count, "by": version(digest)});
    assert_eq!(count(&host, "k"), by(there + 1, &found));
    for (build, _) in builds() {
        build.apply(&host);
        assert_eq!(active(&host, data, "chameleon"), build.digest);
    }
    assert_eq!(
        count(&host, "k"),
        json!({"count": there + 2, "by": "third"})
    );
    assert!(host.stop().success());

    nothing_decided_before_it_was_active(data);
    assert_eq!(
        number(data, "SELECT count(*) FROM journal") as u64,
        there + 2
    );
    let rowless =
        "SELECT generation FROM activations WHERE generation NOT IN (SELECT id FROM generations)";
    assert_eq!(rows(data, rowless), Vec::<Vec<String>>::new());
}

fn start(files: &Files, data: &Path) -> Start {
    files.start(data).setting("instances", 1)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn every_step(power: bool, stride: u64, code: Option<&Path>) {
    let last = steps(stride, MOST, |step| crash_at(Crash { step, power, code }));
    assert!(last > 12, "the library saw {last} steps only");
}

/// A cache of compiled code that has the first build's.
fn code(directory: &Path) -> PathBuf {
    let data = directory.join("data");
    std::fs::create_dir_all(data.join("code")).unwrap();
    let [(first, _), ..] = builds();
    let files = Files::write(directory, &[first]);
    start(&files, &data).start().kill();
    data.join("code")
}

#[test]
fn either_generation_is_active_after_kill_9_before_any_write() {
    every_step(false, STRIDE, None);
}

#[test]
fn either_generation_is_active_after_a_power_loss_before_any_write() {
    every_step(true, STRIDE, None);
}

#[test]
fn either_generation_is_active_after_a_power_loss_while_code_is_cached() {
    let directory = tempfile::tempdir().unwrap();
    every_step(true, COLD_STRIDE, Some(&code(directory.path())));
}
