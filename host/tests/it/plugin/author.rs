//! The crate that the README shows, as an author makes it: outside of the workspace, with its own `Cargo.toml`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::documents::listing;
use crate::expect::broke;
use crate::support::{Host, Start, saga};

/// The documented profile.
const CHECKS: &str = "overflow-checks = true";

/// Where the documented crate finds the SDK.
const SDK: &str = "../saga/sdk";

/// What is compiled once for all tests and all runs of them: the dependencies, quickly. How they are compiled is not what is tested.
const DEPENDENCIES: [&str; 4] = [
    "--config",
    r#"profile.release.package."*".opt-level=0"#,
    "--config",
    r#"profile.release.package."*".overflow-checks=false"#,
];

/// Where cargo keeps what it compiled.
fn kept() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("author")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The crate on disk, until it is dropped.
struct Author {
    directory: TempDir,
    /// What cargo keeps has the same name for every such crate: one is written and built after the other, in other runs of the
    /// tests too, so that cargo sees by the times of the files which it is.
    _alone: File,
}

impl Author {
    /// Makes the crate, outside of the workspace.
    fn new(manifest: impl Fn(String) -> String) -> Self {
        let alone = File::create(kept().with_extension("lock")).unwrap();
        alone.lock().unwrap();
        let author = Self {
            directory: tempfile::tempdir().unwrap(),
            _alone: alone,
        };
        let root = root();
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        let documented = listing(&readme, "toml");
        assert!(documented.contains(SDK), "{documented}");
        // By way of a link beside the crate, the SDK would be another one for cargo each time.
        let sdk = root.join("sdk");
        let manifest = manifest(documented.replace(SDK, sdk.to_str().unwrap()));
        std::fs::create_dir(author.path().join("src")).unwrap();
        std::fs::write(author.path().join("Cargo.toml"), manifest).unwrap();
        std::fs::write(author.path().join("src/lib.rs"), listing(&readme, "rust")).unwrap();
        // Without a network, cargo can take only the versions that are there.
        std::fs::copy(root.join("Cargo.lock"), author.path().join("Cargo.lock")).unwrap();
        author
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Calls cargo in the crate; gives what it printed. What it compiles is kept, the component is in the crate's directory.
    fn cargo(&self, arguments: &[&str]) -> String {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let output = Command::new(cargo)
            .args(arguments)
            .args(DEPENDENCIES)
            .arg("--offline")
            .current_dir(self.path())
            .env("CARGO_BUILD_BUILD_DIR", kept())
            .env("CARGO_TARGET_DIR", self.path().join("target"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}:\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Builds the component; gives what `saga verify` prints of it.
    fn build_and_verify(&self) -> (PathBuf, String) {
        self.cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
        let component = self
            .path()
            .join("target/wasm32-wasip2/release/library.wasm");
        let verified = saga().arg("verify").arg(&component).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{said}");
        let printed = String::from_utf8_lossy(&verified.stdout).into_owned();
        (component, printed)
    }
}

/// A host on the component, with one copy of a book.
fn serve(component: &Path, data: &Path) -> Host {
    let plugin = format!("library={}", component.display());
    let host = Start::new(&[], data)
        .arguments(&["--plugin", &plugin, "--listen", "library=127.0.0.1:0"])
        .start();
    let added = host.post("library", "/books", &json!({"title": "Emma", "copies": 1}));
    assert_eq!((added.status, &*added.text()), (201, "1"));
    assert_eq!(added.header("location"), Some("/library/books/1"));
    host
}

#[test]
fn the_crate_of_the_readme_passes_its_test_and_traps_where_its_arithmetic_overflows() {
    let author = Author::new(|manifest| manifest);
    // Natively, too, with what is compiled for the component: `cargo test` alone would compile it in another profile.
    let tested = author.cargo(&[
        "test",
        "--release",
        "--config",
        "profile.release.opt-level=0",
    ]);
    assert!(tested.contains("a_wish_takes_a_copy ... ok"), "{tested}");
    let (component, verified) = author.build_and_verify();
    assert!(!verified.contains("note: "), "{verified}");

    let data = tempfile::tempdir().unwrap();
    let host = serve(&component, data.path());
    let restock = |copies: u32| {
        host.post(
            "library",
            "/books/1/deliveries",
            &json!({ "copies": copies }),
        )
    };
    assert_eq!(restock(2).text(), "3");
    broke(&restock(u32::MAX), "trap");
    host.log_until("attempt to add with overflow");
    assert_eq!(host.get("library", "/books/1").text(), "3");
    assert!(host.stop().success());
}

#[test]
fn a_component_without_overflow_checks_is_noted_before_it_wraps() {
    let author = Author::new(|manifest| {
        assert!(manifest.contains(CHECKS), "{manifest}");
        manifest.replace(CHECKS, "overflow-checks = false")
    });
    let (component, verified) = author.build_and_verify();
    assert!(
        verified.contains("note: it was built without overflow checks")
            && verified.contains(CHECKS),
        "{verified}"
    );
    let data = tempfile::tempdir().unwrap();
    let host = serve(&component, data.path());
    host.log_until("it was built without overflow checks");
    // What the note is for.
    let restocked = host.post(
        "library",
        "/books/1/deliveries",
        &json!({"copies": u32::MAX}),
    );
    assert_eq!(restocked.text(), "0");
    assert!(host.stop().success());
}
