//! A project as `saga new` makes it, and what its author does with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::chameleon::Chameleon;
use crate::commands::call;
use crate::dev::edit;
use crate::support::{Start, saga};

/// Cargo's settings for all projects: no network, and one shared cache of quickly compiled dependencies.
/// How dependencies are compiled is not what is tested.
fn settings() -> String {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author");
    format!(
        "[net]\noffline = true\n[build]\nbuild-dir = {kept:?}\n\
         [profile.release.package.\"*\"]\nopt-level = 0\noverflow-checks = false\n\
         [profile.dev]\ndebug = false\n"
    )
}

/// A new project, and the folder that it is in, until it is dropped.
pub struct Project {
    directory: TempDir,
    /// Cargo keeps one build of a name: projects are built one after the other.
    _alone: File,
}

impl Project {
    pub fn new() -> Self {
        let alone = Path::new(env!("CARGO_TARGET_TMPDIR")).join("author.lock");
        let alone = File::create(alone).unwrap();
        alone.lock().unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join(".cargo")).unwrap();
        std::fs::write(directory.path().join(".cargo/config.toml"), settings()).unwrap();
        let (code, _, err) = call(saga().args(["new", "loan"]).current_dir(directory.path()));
        assert_eq!((code, err.as_str()), (0, ""));
        Self {
            directory,
            _alone: alone,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("loan").canonicalize().unwrap()
    }

    /// A command of the program in the project.
    pub fn saga(&self, command: &str) -> Command {
        let mut saga = saga();
        saga.arg(command).current_dir(self.path());
        for variable in ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR", "RUSTFLAGS"] {
            saga.env_remove(variable);
        }
        saga
    }

    /// Replaces a text in a file.
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        edit(&self.path().join(file), from, to);
    }
}

#[test]
fn a_new_project_passes_its_tests_and_is_served() {
    let project = Project::new();
    let (code, out, err) = call(&mut project.saga("test"));
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("a_late_payment_is_paid_back_once ... ok"),
        "{out}"
    );
    assert!(
        out.contains("\nok loan 0.1.0 ") && !out.contains("note: "),
        "{out}"
    );
    assert!(!err.contains("warning"), "{err}");

    let data = tempfile::tempdir().unwrap();
    let component = project
        .path()
        .join("target/wasm32-wasip2/release/loan.wasm");
    let plugin = format!("loan={}", component.display());
    let host = Start::new(&[], data.path())
        .arguments(&["--plugin", &plugin, "--listen", "loan=127.0.0.1:0"])
        .setting("participants.loan.rules.payment_timeout", "200ms")
        .start();
    let seat = json!({"seat": "C7", "guest": "Ann", "priceCents": 2500});
    let reserved = host.post("loan", "/reservations", &seat);
    assert_eq!(
        (reserved.status, reserved.header("location")),
        (201, Some("/loan/reservations/1"))
    );
    // Nobody pays.
    host.get_until("loan", "/reservations/1", |one| {
        one.json()["status"] == "released"
    });
    let paid = json!({"isPaid": true, "amountCents": 2500});
    assert_eq!(
        host.post("loan", "/reservations/1/payment", &paid).status,
        200
    );
    let shown = host.get("loan", "/reservations/1").json();
    assert_eq!(
        (&shown["reservation"], &shown["isPaid"]),
        (&json!(1), &json!(true))
    );
    let wrong = json!({"isPaid": true, "amountCents": 1});
    assert_eq!(
        host.post("loan", "/reservations/1/payment", &wrong).status,
        422
    );
    assert_eq!(
        host.send("loan", "POST", "/reservations/1/cancel", "")
            .status,
        409
    );
    let listed = host
        .get("loan", "/reservations?guest=Ann&status=released")
        .json();
    assert_eq!(listed["items"][0], shown, "an item tells its key");
    assert_eq!(
        listed["items"].as_array().map(Vec::len),
        Some(1),
        "{listed}"
    );
    assert!(host.stop().success());

    project.edit("tests/rules.rs", "2500 cents", "9 cents");
    let (code, out, err) = call(&mut project.saga("test"));
    assert_eq!(code, 65);
    assert!(
        err.contains("a test fails") && !out.contains("\nok loan"),
        "{out}{err}"
    );
    project.edit("src/lib.rs", "fn money(", "fn money(,");
    let (code, _, err) = call(&mut project.saga("test"));
    assert_eq!(code, 65);
    assert!(err.contains("the component does not build"), "{err}");
}

#[test]
fn a_folder_without_a_project_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["test", "dev"] {
        let (code, out, err) = call(saga().arg(command).current_dir(folder.path()));
        assert_eq!((code, out.as_str()), (64, ""));
        assert!(err.contains("saga new NAME"), "{err}");
    }
}

#[test]
fn a_project_without_its_source_is_told_what_is_missing() {
    let project = Project::new();
    std::fs::remove_file(project.path().join("src/lib.rs")).unwrap();
    for command in ["test", "dev"] {
        let (code, out, err) = call(&mut project.saga(command));
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        assert!(
            err.contains("src/lib.rs is missing") && !err.contains("saga new"),
            "{err}"
        );
    }
}

#[test]
fn a_contract_that_is_wrong_is_told_once_before_the_tests() {
    let project = Project::new();
    project.edit("src/lib.rs", "\"/guest\")", "\"/gast\")");
    let (code, out, err) = call(&mut project.saga("test"));
    assert_eq!(code, 65, "{out}{err}");
    assert!(err.contains("refused (description): "), "{err}");
    assert!(!out.contains("$ cargo test"), "{out}");
}

#[test]
fn what_the_command_line_says_of_participants_is_checked_before_a_build() {
    let project = Project::new();
    let chameleon = project.path().join("chameleon.wasm");
    Chameleon::new().write(&chameleon);
    let other = format!("other={}", chameleon.display());
    let chameleon = format!("chameleon={}", chameleon.display());
    for (arguments, expected) in [
        (
            &["--listen", "lon=127.0.0.1:0", "--plugin", &chameleon][..],
            "--listen lon: there is no participant `lon`; there are: loan, chameleon",
        ),
        (&["--plugin", &other], "chameleon"),
        (
            &["--plugin", "other=none.wasm"],
            "--plugin other=none.wasm: refused (component)",
        ),
        (
            &["--plugin", "loan=none.wasm"],
            "whose component saga dev builds",
        ),
    ] {
        let (code, out, err) = call(project.saga("dev").args(arguments));
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        assert!(err.contains(expected), "{arguments:?}: {err}");
    }
    let (code, _, err) = call(project.saga("dev").args(["--plugin", "x.wasm"]));
    assert_eq!(code, 64);
    assert!(err.contains("is not of the form NAME=PATH"), "{err}");
}
