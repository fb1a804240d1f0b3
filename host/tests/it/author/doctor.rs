//! `saga doctor`: what a toolchain lacks.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tempfile::TempDir;

use crate::commands::call;
use crate::support::saga;

/// A folder with programs of these names, which print a text and succeed.
fn programs(texts: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in texts {
        let path = folder.path().join(name);
        fs::write(&path, format!("#!/bin/sh\necho '{text}'\n")).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    folder
}

#[test]
fn a_toolchain_that_builds_components_is_fit() {
    let (code, out, err) = call(saga().arg("doctor"));
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let parts: Vec<_> = out
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .collect();
    assert_eq!(parts, ["cargo", "rustc", "linker", "wasm32-wasip2"]);
    let (code, out, _) = call(saga().args(["doctor", "--json", "--fix"]));
    let findings: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, 0);
    assert!(
        findings
            .as_array()
            .unwrap()
            .iter()
            .all(|one| one["is_fit"] == true),
        "{out}"
    );
}

#[test]
fn without_rust_it_says_how_to_get_it() {
    let empty = programs(&[]);
    let (code, out, err) = call(saga().arg("doctor").env("PATH", empty.path()));
    assert_eq!((code, err.as_str()), (69, ""));
    assert!(
        out.contains("cargo") && out.contains("is not on the PATH") && out.contains("install Rust"),
        "{out}"
    );
}

#[test]
fn the_toolchain_of_another_language_is_looked_at_where_its_project_is_or_it_is_named() {
    let old = programs(&[("node", "v18.1.0"), ("npm", "9.0.0")]);
    let folder = tempfile::tempdir().unwrap();
    let (code, out, _) = call(
        saga()
            .args(["doctor", "--lang", "typescript"])
            .env("PATH", old.path()),
    );
    assert_eq!(code, 69);
    assert!(
        out.contains("unfit  node") && out.contains("v18.1.0 is too old: at least 20 is needed"),
        "{out}"
    );
    assert!(out.contains("ok     npm"), "{out}");
    let new = programs(&[("node", "v22.0.0")]);
    fs::write(folder.path().join("package.json"), "{}").unwrap();
    let mut doctor = saga();
    doctor.arg("doctor").current_dir(folder.path());
    let (code, out, _) = call(doctor.env("PATH", new.path()));
    assert_eq!(code, 69);
    assert!(
        out.contains("ok     node") && out.contains("install Node.js 20"),
        "{out}"
    );
}

#[test]
fn a_python_that_is_too_old_is_told() {
    let old = programs(&[("python3", "Python 3.9.2")]);
    let mut doctor = saga();
    doctor.args(["doctor", "--lang", "python"]);
    let (code, out, _) = call(doctor.env("PATH", old.path()));
    assert_eq!(code, 69);
    assert!(
        out.contains("unfit  python3") && out.contains("3.9.2 is too old: at least 3.10 is needed"),
        "{out}"
    );
    let none = programs(&[]);
    let (code, out, _) = call(doctor.env("PATH", none.path()));
    assert_eq!(code, 69);
    assert!(out.contains("install Python 3.10 or later"), "{out}");
}

#[test]
fn a_compiler_that_is_too_old_and_a_missing_target_are_told_apart() {
    let old = programs(&[("cargo", "cargo 1.80.0"), ("rustc", "release: 1.80.0")]);
    let (code, out, _) = call(saga().arg("doctor").env("PATH", old.path()));
    assert_eq!(code, 69);
    assert!(
        out.contains("1.80.0 is too old") && out.contains("rustup update"),
        "{out}"
    );

    let lacking = programs(&[("cargo", "cargo 1.99.0")]);
    let path = lacking.path().join("rustc");
    let script = "#!/bin/sh\ncase $1 in -vV) echo release: 1.99.0;; --target) echo no such target >&2; exit 1;; esac\n";
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    let (code, out, _) = call(saga().arg("doctor").env("PATH", lacking.path()));
    assert_eq!(code, 69);
    assert!(
        out.contains("no such target") && out.contains("rustup target add wasm32-wasip2"),
        "{out}"
    );
    // The other commands say it before they begin.
    for command in ["test", "dev"] {
        let (code, out, err) = call(saga().arg(command).env("PATH", lacking.path()));
        assert_eq!((code, out.as_str()), (69, ""));
        assert!(
            err.contains("no such target") && err.contains("rustup target add"),
            "{err}"
        );
    }
}

/// A toolchain whose compiler fails with a text where its first argument is `failing`.
fn failing(failing: &str, says: &str) -> TempDir {
    let folder = programs(&[("cargo", "cargo 1.99.0")]);
    let path = folder.path().join("rustc");
    let script = format!(
        "#!/bin/sh\ncase $1 in -vV) echo release: 1.99.0;; --print) echo /toolchains/one;; {failing}) echo '{says}' >&2; exit 1;; esac\n"
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    folder
}

#[test]
fn a_missing_linker_of_the_machine_is_named() {
    let says =
        "error: linker `cc` not found\n  |\n  = note: No such file or directory (os error 2)";
    let lacking = failing("--crate-type", says);
    let (code, out, _) = call(saga().arg("doctor").env("PATH", lacking.path()));
    assert_eq!(code, 69);
    let said = "unfit  linker         cc is not on the PATH\n                      install a C compiler (Debian: apt install gcc)\n";
    assert!(out.contains(said), "{out}");
    assert!(out.contains("ok     wasm32-wasip2"), "{out}");

    let lacking = failing(
        "--crate-type",
        "error: linking with `cc` failed: exit status: 1\ncannot find -lc",
    );
    let (_, out, _) = call(saga().arg("doctor").env("PATH", lacking.path()));
    let said =
        "no program of this machine links: error: linking with `cc` failed: exit status: 1\n";
    assert!(out.contains(said), "{out}");
}

#[test]
fn the_text_of_the_compiler_is_told_as_json_only() {
    let says = "error[E0463]: can`t find crate for `std`\n  |\n  = note: the `wasm32-wasip2` target may not be installed\n";
    let lacking = failing("--target", says);
    let doctor = || {
        let mut doctor = saga();
        doctor.arg("doctor").env("PATH", lacking.path());
        doctor
    };
    let (code, out, _) = call(&mut doctor());
    assert_eq!(code, 69);
    let said = "unfit  wasm32-wasip2  is not installed for the toolchain /toolchains/one\n";
    assert!(out.contains(said) && !out.contains("\\n"), "{out}");
    let (_, out, _) = call(doctor().arg("--json"));
    let findings: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(findings[3]["detail"], says.trim(), "{out}");
}

#[test]
fn a_missing_target_is_installed_with_rustup() {
    let toolchain = programs(&[("cargo", "cargo 1.99.0")]);
    let folder = toolchain.path().display();
    fs::create_dir_all(toolchain.path().join("lib/rustlib")).unwrap();
    let script = |name: &str, cases: &str| {
        let path = toolchain.path().join(name);
        fs::write(&path, format!("#!/bin/sh\ncase $1 in {cases} esac\n")).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
    };
    let rustc = format!(
        "-vV) echo release: 1.99.0;; --print) echo {folder};; --target) test -e {folder}/installed;;"
    );
    script("rustc", &rustc);
    let rustup = format!("show) echo {folder};; target) echo \"$@\" >{folder}/installed;;");
    script("rustup", &rustup);
    let path = format!("{folder}:{}", std::env::var("PATH").unwrap());
    let doctor = |arguments: &[&str]| call(saga().arg("doctor").args(arguments).env("PATH", &path));
    let (code, out, _) = doctor(&[]);
    assert_eq!(code, 69, "{out}");
    let (code, out, err) = doctor(&["--fix"]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("a trial program builds") && err.contains("done"),
        "{out}{err}"
    );
    let asked = fs::read_to_string(toolchain.path().join("installed")).unwrap();
    assert_eq!(asked.trim(), "target add wasm32-wasip2");
}
