//! The crate that the README shows, as an author makes it: outside of the workspace, with its own `Cargo.toml`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::expect::broke;
use crate::support::{Host, Start, saga};

/// What the documented profile says.
const CHECKS: &str = "overflow-checks = true";

/// The directory of the crate is one for all tests of a checkout: in a new one cargo would compile the SDK again.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The first listing in this language.
pub fn listing(document: &str, language: &str) -> String {
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// The crate on disk, until it is dropped.
struct Author {
    beside: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

impl Author {
    /// Makes the crate, beside a checkout called `saga`, as the README has it.
    fn new(manifest: impl Fn(String) -> String) -> Self {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let (root, user) = (root(), std::env::var("USER").unwrap_or_default());
        let digest = Sha256::digest(format!("{} {user}", root.display()));
        let name: String = digest
            .iter()
            .take(8)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let beside = std::env::temp_dir().join(format!("saga-author-{name}"));
        let _ = std::fs::remove_dir_all(&beside);
        let author = Self {
            beside,
            _alone: alone,
        };
        let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
        let library = author.library();
        std::fs::create_dir_all(library.join("src")).unwrap();
        std::os::unix::fs::symlink(&root, author.beside.join("saga")).unwrap();
        let manifest = manifest(listing(&readme, "toml"));
        std::fs::write(library.join("Cargo.toml"), manifest).unwrap();
        std::fs::write(library.join("src/lib.rs"), listing(&readme, "rust")).unwrap();
        // Without a network, cargo can take only the versions that are there.
        std::fs::copy(root.join("Cargo.lock"), library.join("Cargo.lock")).unwrap();
        author
    }

    fn library(&self) -> PathBuf {
        self.beside.join("library")
    }

    fn target(&self) -> PathBuf {
        root().join("target/author")
    }

    /// Calls cargo in the crate; gives what it printed.
    fn cargo(&self, arguments: &[&str]) -> String {
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let output = Command::new(cargo)
            .args(arguments)
            .arg("--offline")
            .current_dir(self.library())
            .env("CARGO_TARGET_DIR", self.target())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "cargo {arguments:?}:\n{said}");
        assert!(!said.contains("warning: "), "cargo {arguments:?}:\n{said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Builds the component; gives what `saga verify` prints of it.
    fn build_and_verify(&self) -> (PathBuf, String) {
        self.cargo(&["build", "--release", "--target", "wasm32-wasip2"]);
        let component = self.target().join("wasm32-wasip2/release/library.wasm");
        let verified = saga().arg("verify").arg(&component).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success(), "{said}");
        let printed = String::from_utf8_lossy(&verified.stdout).into_owned();
        (component, printed)
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.beside);
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
    let tested = author.cargo(&["test", "--release"]);
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
    let detail = broke(&restock(u32::MAX), "trap");
    assert!(detail.contains("attempt to add with overflow"), "{detail}");
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
