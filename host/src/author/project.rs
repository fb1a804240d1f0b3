//! The project in a folder, as cargo describes it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::toolchain::TARGET;

/// A project that builds one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// Its folder, where its manifest is.
    pub folder: PathBuf,
    /// The name of its package.
    pub package: String,
    /// The component that it builds.
    pub component: PathBuf,
    /// The folder where cargo puts all that it builds.
    pub target: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    target_directory: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
}

impl Project {
    /// The project that this folder, or one above it, belongs to.
    ///
    /// # Errors
    /// The reason why there is none, and what to do.
    pub fn find(folder: &Path) -> Result<Self, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = cargo.current_dir(folder).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("cargo can't be started: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let advice = "go to the folder of a participant, or make one: saga new NAME";
            return Err(format!(
                "{}: has no project that cargo can read ({}); {advice}",
                folder.display(),
                said.trim()
            ));
        }
        let metadata: Metadata = serde_json::from_slice(&output.stdout).map_err(|error| {
            format!("cargo's description of the project can't be read: {error}")
        })?;
        Self::of(metadata, folder)
    }

    fn of(metadata: Metadata, folder: &Path) -> Result<Self, String> {
        let place = |package: &Package| package.manifest_path.parent().map(Path::to_owned);
        let above = metadata.packages.into_iter().filter_map(|package| {
            let at = place(&package).filter(|at| folder.starts_with(at))?;
            Some((at, package))
        });
        let (at, package) = above
            .max_by_key(|(at, _)| at.components().count())
            .ok_or_else(|| {
                format!(
                    "{}: is a workspace; go to the folder of one of its participants",
                    folder.display()
                )
            })?;
        let mut targets = package.targets.iter();
        let library = targets.find(|target| target.kind.iter().any(|kind| kind == "cdylib"));
        let library = library.ok_or_else(|| {
            format!(
                "{}: builds no component; its [lib] needs crate-type = [\"cdylib\", \"rlib\"]",
                package.manifest_path.display()
            )
        })?;
        let file = format!("{}.wasm", library.name.replace('-', "_"));
        Ok(Self {
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
        };
        Metadata {
            packages: vec![
                package("all", "/w/Cargo.toml"),
                package("a-b", "/w/a-b/Cargo.toml"),
            ],
            target_directory: "/w/target".into(),
        }
    }

    #[test]
    fn the_innermost_package_is_the_project() {
        let project = Project::of(metadata("cdylib"), Path::new("/w/a-b/src")).unwrap();
        assert_eq!(project.folder, Path::new("/w/a-b"));
        assert_eq!(project.package, "a-b");
        assert_eq!(
            project.component,
            Path::new("/w/target/wasm32-wasip2/release/a_b.wasm")
        );
        let project = Project::of(metadata("cdylib"), Path::new("/w/other")).unwrap();
        assert_eq!(project.package, "all");
    }

    #[test]
    fn what_builds_no_component_is_no_project() {
        let reason = Project::of(metadata("lib"), Path::new("/w")).unwrap_err();
        assert!(
            reason.contains("cdylib") && reason.contains("/w/Cargo.toml"),
            "{reason}"
        );
        let reason = Project::of(metadata("cdylib"), Path::new("/elsewhere")).unwrap_err();
        assert!(reason.contains("is a workspace"), "{reason}");
    }
}
