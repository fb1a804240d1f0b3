//! `saga new`: what it makes, and what it refuses.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::commands::call;
use crate::support::saga;

/// Exit code, standard output and standard error of `saga new` in this folder.
fn new(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    call(saga().arg("new").args(arguments).current_dir(folder))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Makes the project `seat-reservation`; gives its folder.
fn made(folder: &Path, arguments: &[&str]) -> PathBuf {
    let (code, out, err) = new(folder, &[&["seat-reservation"], arguments].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("cd seat-reservation && saga dev"), "{out}");
    folder.join("seat-reservation")
}

/// Checks that each of these files of a project has a text.
fn have(project: &Path, files: &[(&str, &str)]) {
    for (file, expected) in files {
        let text = fs::read_to_string(project.join(file)).unwrap();
        assert!(text.contains(expected), "{file}:\n{text}");
    }
}

#[test]
fn a_new_project_is_named_throughout_and_has_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let project = made(folder.path(), &[]);
    assert_eq!(names(folder.path()), ["seat-reservation"]);
    let expected = [
        ".gitignore",
        "Cargo.lock",
        "Cargo.toml",
        "README.md",
        "saga.toml",
        "src",
        "tests",
        "vendor",
    ];
    assert_eq!(names(&project), expected);
    assert_eq!(
        names(&project.join("vendor")),
        ["saga-contract", "saga-sdk"]
    );
    let files = [
        ("Cargo.toml", "name = \"seat-reservation\""),
        ("Cargo.toml", "saga-sdk = { path = \"vendor/saga-sdk\" }"),
        ("src/lib.rs", "pub struct SeatReservationService;"),
        ("tests/rules.rs", "use seat_reservation::messages"),
        ("saga.toml", "release/seat_reservation.wasm"),
        ("README.md", "8080/seat-reservation/swagger-ui/"),
        ("vendor/saga-sdk/Cargo.toml", "path = \"../saga-contract\""),
    ];
    have(&project, &files);
    // Others may read sources, whatever the mode of a host's files.
    let mode = fs::metadata(project.join("src/lib.rs"))
        .unwrap()
        .permissions()
        .mode();
    let usual = folder.path().join("usual");
    fs::write(&usual, "").unwrap();
    assert_eq!(mode, fs::metadata(usual).unwrap().permissions().mode());
}

#[test]
fn a_new_project_in_typescript_is_named_throughout_and_has_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let project = made(folder.path(), &["--lang", "typescript"]);
    let expected = [
        ".gitignore",
        "README.md",
        "package.json",
        "saga.toml",
        "src",
        "tests",
        "tsconfig.json",
        "vendor",
    ];
    assert_eq!(names(&project), expected);
    assert_eq!(names(&project.join("vendor")), ["saga-sdk"]);
    let files = [
        ("package.json", "\"saga-sdk\": \"file:vendor/saga-sdk\""),
        ("src/rules.ts", "participant(\"seat-reservation\", "),
        ("saga.toml", "dist/seat-reservation.wasm"),
        ("README.md", "8080/seat-reservation/swagger-ui/"),
    ];
    have(&project, &files);
    let (code, _, err) = new(folder.path(), &["other", "--lang", "cobol"]);
    assert_eq!(code, 64, "{err}");
    assert!(err.contains("rust, typescript, python"), "{err}");
    // Another SDK: the one of this checkout.
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let words = ["other", "--lang", "typescript", "--sdk", checkout];
    assert_eq!(new(folder.path(), &words).0, 0);
    let manifest = fs::read_to_string(folder.path().join("other/package.json")).unwrap();
    assert!(manifest.contains("/sdk/typescript\""), "{manifest}");
    let (code, _, err) = new(
        folder.path(),
        &["third", "--lang", "typescript", "--sdk", "/tmp"],
    );
    assert_eq!(code, 64);
    assert!(err.contains("has no `saga-sdk` for typescript"), "{err}");
}

#[test]
fn a_new_project_in_python_is_named_throughout_and_has_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let project = made(folder.path(), &["--lang", "python"]);
    let expected = [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "requirements.txt",
        "saga.toml",
        "src",
        "tests",
        "vendor",
    ];
    assert_eq!(names(&project), expected);
    assert_eq!(names(&project.join("vendor")), ["saga-sdk"]);
    let files = [
        ("requirements.txt", "\n-e ./vendor/saga-sdk[build,test]\n"),
        ("pyproject.toml", "name = \"seat-reservation\""),
        ("src/rules.py", "Contract(\"seat-reservation\", "),
        ("saga.toml", "dist/seat-reservation.wasm"),
        ("README.md", "8080/seat-reservation/swagger-ui/"),
    ];
    have(&project, &files);
    // Another SDK: the one of this checkout, and that of a repository.
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    for (name, sdk, expected) in [
        ("other", checkout, "/sdk/python[build,test]\n"),
        (
            "third",
            "https://git.example/saga.git",
            "saga-sdk[build,test] @ git+https://git.example/saga.git#subdirectory=sdk/python\n",
        ),
    ] {
        let words = [name, "--lang", "python", "--sdk", sdk];
        assert_eq!(new(folder.path(), &words).0, 0);
        let text = fs::read_to_string(folder.path().join(name).join("requirements.txt")).unwrap();
        assert!(text.ends_with(expected), "{text}");
    }
    let words = ["fourth", "--lang", "python", "--sdk", "/tmp"];
    let (code, _, err) = new(folder.path(), &words);
    assert_eq!(code, 64);
    assert!(err.contains("has no `saga-sdk` for python"), "{err}");
}

#[test]
fn a_name_that_is_none_makes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["Loan", "3d", "a_b", "fn", "saga-sdk", "..", "a b"] {
        let (code, out, err) = new(folder.path(), &[name]);
        assert_eq!((code, out.as_str()), (64, ""), "{name}: {err}");
        assert!(err.contains("such as `"), "{name}: {err}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_folder_that_holds_something_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("loan")).unwrap();
    fs::write(folder.path().join("loan/mine"), "mine").unwrap();
    fs::write(folder.path().join("file"), "mine").unwrap();
    for name in ["loan", "file"] {
        let (code, out, err) = new(folder.path(), &[name]);
        assert_eq!((code, out.as_str()), (73, ""), "{err}");
        assert!(
            err.contains(name) && err.contains("nothing was changed"),
            "{err}"
        );
    }
    assert_eq!(names(folder.path()), ["file", "loan"]);
    assert_eq!(names(&folder.path().join("loan")), ["mine"]);
    // An empty one is as good as none.
    fs::create_dir(folder.path().join("empty")).unwrap();
    assert_eq!(new(folder.path(), &["empty"]).0, 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("file"), "").unwrap();
    let (code, out, err) = new(folder.path(), &["file/services/loan"]);
    assert_eq!((code, out.as_str()), (73, ""), "{err}");
    assert!(err.contains("file/services/loan: can't be made: "), "{err}");
    // Not even root may write there.
    let (code, _, err) = new(Path::new("/proc"), &["loan"]);
    assert_eq!(code, 73, "{err}");
    assert!(err.contains("loan: can't be made"), "{err}");
}

#[test]
fn missing_folders_above_are_made_and_removed_if_it_fails() {
    let folder = tempfile::tempdir().unwrap();
    let (code, _, err) = new(folder.path(), &["services/tickets/loan"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(names(&folder.path().join("services/tickets")), ["loan"]);
    let (code, _, _) = new(folder.path(), &["others/loan", "--sdk", "nowhere"]);
    assert_eq!(code, 64);
    assert_eq!(names(folder.path()), ["services"]);
}

#[test]
fn another_sdk_is_a_path_or_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .unwrap();
    let sdk = format!("saga-sdk = {{ path = \"{}\" }}", root.join("sdk").display());
    let of_root = root.to_str().unwrap();
    let of_crate = root.join("sdk");
    for (name, source, expected) in [
        ("of-root", of_root, sdk.as_str()),
        ("of-crate", of_crate.to_str().unwrap(), &sdk),
        (
            "of-git",
            "https://git.example/saga.git",
            "saga-sdk = { git = \"https://git.example/saga.git\" }",
        ),
    ] {
        let (code, _, err) = new(folder.path(), &[name, "--sdk", source]);
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        let project = folder.path().join(name);
        let manifest = fs::read_to_string(project.join("Cargo.toml")).unwrap();
        assert!(manifest.contains(expected), "{manifest}");
        assert!(!project.join("vendor").exists());
    }
    let (code, _, err) = new(folder.path(), &["of-none", "--sdk", "nowhere"]);
    assert_eq!(code, 64);
    assert!(
        err.contains("--sdk nowhere: has no `saga-sdk` for rust"),
        "{err}"
    );
    assert!(!folder.path().join("of-none").exists());
}
