//! The SDK as packages: what the program embeds, and what cargo packages, are the sources of this checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use saga_host::author::language::Language;
use saga_host::author::sdk;

/// The packages with their folders.
const PACKAGES: [(&str, &str); 2] = [("saga-contract", "host/contract"), ("saga-sdk", "sdk")];

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .canonicalize()
        .unwrap()
}

/// All files of these parts of a folder, by their paths in it.
fn files(folder: &Path, parts: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut paths: Vec<_> = parts.iter().map(|part| folder.join(part)).collect();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(path).unwrap();
            paths.extend(entries.map(|entry| entry.unwrap().path()));
        } else if path.exists() {
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            files.insert(name, std::fs::read(path).unwrap());
        }
    }
    files
}

fn manifest(text: &str) -> toml::Table {
    text.parse().unwrap()
}

#[test]
fn the_sdk_has_the_present_contract() {
    let wit = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    assert_eq!(
        wit("sdk/wit/participant.wit"),
        wit("wit/participant.wit"),
        "sdk/wit/participant.wit should be a link to ../../wit/participant.wit"
    );
    // npm packs no links.
    assert_eq!(
        wit("sdk/typescript/wit/participant.wit"),
        wit("wit/participant.wit"),
        "sdk/typescript/wit/participant.wit should be a copy of wit/participant.wit"
    );
    assert_eq!(
        wit("sdk/python/src/saga_sdk/wit/participant.wit"),
        wit("wit/participant.wit"),
        "sdk/python/src/saga_sdk/wit/participant.wit should be a copy of wit/participant.wit"
    );
}

#[test]
fn the_program_embeds_the_sources_of_the_sdk_for_typescript() {
    let embedded = sdk::files(Language::TypeScript).iter();
    let embedded: BTreeMap<_, _> = embedded
        .map(|(name, content)| {
            let name = name.strip_prefix("saga-sdk/").unwrap();
            (name.to_owned(), content.to_vec())
        })
        .collect();
    let manifest = root().join("sdk/typescript/package.json");
    let manifest: serde_json::Value =
        serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    // What npm would publish of it, and the manifest.
    let parts = manifest["files"].as_array().unwrap().iter();
    let parts: Vec<_> = parts.map(|part| part.as_str().unwrap()).collect();
    let parts = [parts.as_slice(), &["package.json"]].concat();
    let expected = files(&root().join("sdk/typescript"), &parts);
    assert!(embedded == expected, "{:?}", embedded.keys());
    let lock = std::fs::read_to_string(root().join("sdk/typescript/package-lock.json")).unwrap();
    assert!(
        !lock.contains("\"resolved\""),
        "the lock file names a registry"
    );
}

#[test]
fn the_program_embeds_the_sources_of_the_sdk_for_python() {
    let embedded = sdk::files(Language::Python).iter();
    let embedded: BTreeMap<_, _> = embedded
        .map(|(name, content)| {
            let name = name.strip_prefix("saga-sdk/").unwrap();
            (name.to_owned(), content.to_vec())
        })
        .collect();
    let parts = ["LICENSE", "README.md", "pyproject.toml", "src"];
    let mut expected = files(&root().join("sdk/python"), &parts);
    // What Python and pip write beside sources.
    expected.retain(|name, _| !name.contains("__pycache__") && !name.contains(".egg-info"));
    assert!(embedded == expected, "{:?}", embedded.keys());
    let manifest = String::from_utf8(embedded["pyproject.toml"].clone()).unwrap();
    let manifest = self::manifest(&manifest);
    let project = &manifest["project"];
    assert_eq!(project["version"].as_str(), Some(env!("CARGO_PKG_VERSION")));
    assert_eq!(project["dependencies"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_program_embeds_the_sources_of_the_sdk() {
    for (package, folder) in PACKAGES {
        let prefix = format!("{package}/");
        let embedded = sdk::files(Language::Rust).iter();
        let mut embedded: BTreeMap<_, _> = embedded
            .filter_map(|(name, content)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), content.to_vec()))
            })
            .collect();
        let own = embedded.remove("Cargo.toml").unwrap();
        let expected = files(
            &root().join(folder),
            &["LICENSE", "README.md", "src", "wit"],
        );
        assert!(expected.len() > 10, "{package}: {:?}", expected.keys());
        assert_eq!(
            embedded.keys().collect::<Vec<_>>(),
            expected.keys().collect::<Vec<_>>(),
            "{package}"
        );
        for (name, content) in expected {
            assert!(embedded[&name] == content, "{package}/{name} differs");
        }
        let own = String::from_utf8(own).unwrap();
        assert!(!own.contains("workspace"), "{own}");
        assert_eq!(manifest(&own)["package"]["name"].as_str(), Some(package));
    }
}

#[test]
fn the_embedded_manifests_say_what_cargo_would_package() {
    let target = tempfile::tempdir().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let mut packaged = Command::new(cargo);
    packaged.args(["package", "--offline", "--allow-dirty", "--no-verify"]);
    packaged.args(["-p", "saga-contract", "-p", "saga-sdk"]);
    let packaged = packaged
        .current_dir(root())
        .env("CARGO_TARGET_DIR", target.path());
    let output = packaged.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    for (package, _) in PACKAGES {
        let version = env!("CARGO_PKG_VERSION");
        let archive = target
            .path()
            .join(format!("package/{package}-{version}.crate"));
        let file = format!("{package}-{version}/Cargo.toml");
        let unpacked = Command::new("tar")
            .arg("xzOf")
            .arg(archive)
            .arg(&file)
            .output()
            .unwrap();
        let normal = manifest(&String::from_utf8(unpacked.stdout).unwrap());
        let name = format!("{package}/Cargo.toml");
        let (_, own) = sdk::files(Language::Rust)
            .iter()
            .find(|(file, _)| *file == name)
            .unwrap();
        let own = manifest(std::str::from_utf8(own).unwrap());
        for member in ["name", "version", "edition", "rust-version", "license"] {
            assert_eq!(
                own["package"].get(member),
                normal["package"].get(member),
                "{package}: {member}"
            );
        }
        let dependencies = |manifest: &toml::Table| {
            let mut all = manifest["dependencies"].as_table().unwrap().clone();
            let targets = manifest.get("target").and_then(toml::Value::as_table);
            for (_, target) in targets.into_iter().flatten() {
                all.extend(target["dependencies"].as_table().unwrap().clone());
            }
            let is_there = |(name, one): (String, toml::Value)| {
                let version = one.get("version").cloned().unwrap_or(one.clone());
                let features = one.get("features").and_then(toml::Value::as_array);
                let features = features
                    .into_iter()
                    .flatten()
                    .filter_map(toml::Value::as_str);
                let features: BTreeSet<_> = features.map(str::to_owned).collect();
                (
                    name,
                    version,
                    features,
                    one.get("default-features").cloned(),
                )
            };
            all.into_iter().map(is_there).collect::<Vec<_>>()
        };
        assert_eq!(dependencies(&own), dependencies(&normal), "{package}");
    }
}
