//! Rust: the project as cargo describes it, and how it is built and tested.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::Language;
use crate::author::project::Project;
use crate::author::steps::Step;
use crate::author::toolchain::TARGET;

/// The command of a step.
pub(super) fn command(step: Step) -> Vec<&'static str> {
    match step {
        Step::Build => vec!["cargo", "build", "--release", "--target", TARGET],
        Step::Test => vec!["cargo", "test"],
    }
}

/// Most packages that are followed by their paths.
const LOCAL: usize = 200;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
    workspace_root: PathBuf,
}

#[derive(Clone, Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    #[serde(default)]
    dependencies: Vec<Dependency>,
}

#[derive(Clone, Deserialize)]
struct Dependency {
    /// None for a normal one.
    kind: Option<String>,
    /// The folder of its package, if it is named by a path.
    path: Option<PathBuf>,
}

#[derive(Clone, Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

/// The project that this folder, or one above it, belongs to.
///
/// # Errors
/// The reason why there is none, and what to do.
pub(super) fn find(folder: &Path) -> Result<Project, String> {
    of(metadata(folder)?, folder)
}

fn of(metadata: Metadata, folder: &Path) -> Result<Project, String> {
    let known: BTreeMap<_, _> = (metadata.packages.iter())
        .filter_map(|package| Some((package.manifest_path.parent()?.to_owned(), package)))
        .collect();
    let above = known.iter().filter(|(at, _)| folder.starts_with(at));
    let (at, package) = above
        .max_by_key(|(at, _)| at.components().count())
        .ok_or_else(|| {
            format!(
                "{}: is a workspace; go to the folder of one of its participants",
                folder.display()
            )
        })?;
    let (at, package) = (at.clone(), (*package).clone());
    let mut targets = package.targets.iter();
    let library = targets.find(|target| target.kind.iter().any(|kind| kind == "cdylib"));
    let library = library.ok_or_else(|| {
        format!(
            "{}: builds no component; its [lib] needs crate-type = [\"cdylib\", \"rlib\"]",
            package.manifest_path.display()
        )
    })?;
    let file = format!("{}.wasm", library.name.replace('-', "_"));
    Ok(Project {
        language: Language::Rust,
        local: local(&at, &package, &known),
        workspace: metadata.workspace_root,
        folder: at,
        component: metadata
            .target_directory
            .join(TARGET)
            .join("release")
            .join(file),
        package: package.name,
        target: metadata.target_directory,
    })
}
/// Cargo's description of the packages in this folder.
fn metadata(folder: &Path) -> Result<Metadata, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = cargo.current_dir(folder).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("cargo can't be started: {error}"))?;
    if !output.status.success() {
        return Err(unreadable(folder, &String::from_utf8_lossy(&output.stderr)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("cargo's description of the project can't be read: {error}"))
}

/// The reason why cargo can't read a project, given what it says.
fn unreadable(folder: &Path, said: &str) -> String {
    let shown = folder.display();
    let is_project = folder.join("Cargo.toml").is_file();
    let lacks_source = ["can't find library", "no targets specified"];
    if is_project && lacks_source.iter().any(|text| said.contains(text)) {
        return format!(
            "{shown}: src/lib.rs is missing, which has the rules; put it back, or set `path` in [lib] of Cargo.toml"
        );
    }
    let said = said.trim();
    match is_project {
        true => format!("{shown}/Cargo.toml: cargo can't read the project: {said}"),
        false => format!(
            "{shown}: has no project that cargo can read ({said}); go to the folder of a participant, or make one: \
             saga new NAME"
        ),
    }
}

/// The folders of the packages on which a package depends by path. Tests of these packages don't
/// matter, so neither does what only their tests use.
fn local(
    folder: &Path,
    package: &Package,
    known: &BTreeMap<PathBuf, &Package>,
) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut next: Vec<PathBuf> = (package.dependencies.iter())
        .filter_map(|one| one.path.clone())
        .collect();
    while let Some(at) = next.pop() {
        if at == folder || found.len() >= LOCAL || !found.insert(at.clone()) {
            continue;
        }
        let further = |package: &Package| -> Vec<PathBuf> {
            let used = |one: &&Dependency| one.kind.as_deref() != Some("dev");
            let used = package.dependencies.iter().filter(used);
            used.filter_map(|one| one.path.clone()).collect()
        };
        match known.get(&at) {
            Some(package) => next.extend(further(package)),
            // Cargo says what is wrong with it when it builds.
            None => {
                let described = metadata(&at).map_or(Vec::new(), |metadata| metadata.packages);
                let is_it = |package: &&Package| package.manifest_path.parent() == Some(&*at);
                next.extend(described.iter().filter(is_it).flat_map(further));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(kind: &str) -> Metadata {
        let package = |name: &str, manifest: &str| Package {
            name: name.into(),
            manifest_path: manifest.into(),
            targets: vec![Target {
                name: name.replace('-', "_"),
                kind: vec![kind.into()],
            }],
            dependencies: Vec::new(),
        };
        Metadata {
            packages: vec![
                package("all", "/w/Cargo.toml"),
                package("a-b", "/w/a-b/Cargo.toml"),
            ],
            target_directory: "/w/target".into(),
            workspace_root: "/w".into(),
        }
    }

    #[test]
    fn packages_that_it_depends_on_by_path_are_found() {
        let by_path = |path: &str, kind: Option<&str>| Dependency {
            kind: kind.map(str::to_owned),
            path: Some(path.into()),
        };
        let mut all = metadata("cdylib");
        let registry = Dependency {
            kind: None,
            path: None,
        };
        all.packages[1].dependencies = vec![by_path("/w/invoice", Some("dev")), registry];
        for (name, dependencies) in [
            (
                "invoice",
                vec![
                    by_path("/w/money", None),
                    by_path("/w/only-its-tests", Some("dev")),
                ],
            ),
            ("money", vec![by_path("/w/a-b", None)]),
        ] {
            all.packages.push(Package {
                name: name.into(),
                manifest_path: format!("/w/{name}/Cargo.toml").into(),
                targets: Vec::new(),
                dependencies,
            });
        }
        let project = of(all, Path::new("/w/a-b")).unwrap();
        let found: Vec<_> = project
            .local
            .iter()
            .map(|path| path.to_str().unwrap())
            .collect();
        assert_eq!(found, ["/w/invoice", "/w/money"]);
    }

    #[test]
    fn a_project_without_its_source_is_not_taken_for_none() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = "[package]\nname = \"loan\"\n[lib]\ncrate-type = [\"cdylib\", \"rlib\"]\n";
        let find = || find(folder.path()).unwrap_err();
        assert!(find().contains("saga new NAME"), "{}", find());
        for manifest in [manifest, "[package]\nname = \"loan\"\n"] {
            std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
            let reason = find();
            assert!(
                reason.contains("src/lib.rs is missing") && !reason.contains("saga new"),
                "{reason}"
            );
        }
        std::fs::write(folder.path().join("Cargo.toml"), "[package").unwrap();
        let reason = find();
        assert!(
            reason.contains("Cargo.toml: cargo can't read") && !reason.contains("saga new"),
            "{reason}"
        );
    }

    #[test]
    fn the_innermost_package_is_the_project() {
        let project = of(metadata("cdylib"), Path::new("/w/a-b/src")).unwrap();
        assert_eq!(project.folder, Path::new("/w/a-b"));
        assert_eq!(project.package, "a-b");
        assert_eq!(
            project.component,
            Path::new("/w/target/wasm32-wasip2/release/a_b.wasm")
        );
        let project = of(metadata("cdylib"), Path::new("/w/other")).unwrap();
        assert_eq!(project.package, "all");
    }

    #[test]
    fn what_builds_no_component_is_no_project() {
        let reason = of(metadata("lib"), Path::new("/w")).unwrap_err();
        assert!(
            reason.contains("cdylib") && reason.contains("/w/Cargo.toml"),
            "{reason}"
        );
        let reason = of(metadata("cdylib"), Path::new("/elsewhere")).unwrap_err();
        assert!(reason.contains("is a workspace"), "{reason}");
    }
}
