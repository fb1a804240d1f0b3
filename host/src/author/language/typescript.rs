//! TypeScript: the project as package.json describes it, and how it is built and tested.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Language;
use crate::author::project::Project;
use crate::author::steps::Step;
use crate::author::toolchain::{Finding, output};

/// The list of installed packages, which npm writes with each installation.
const INSTALLED: &str = "node_modules/.package-lock.json";

/// Installs the packages of a project.
const INSTALL: [&str; 4] = ["npm", "install", "--no-audit", "--no-fund"];

/// The program of the SDK in a project.
const SDK: &str = "node_modules/saga-sdk/bin/saga-sdk.mjs";

/// Least version of Node.js.
const NODE: u32 = 20;

/// How Node.js is got.
const GET_NODE: &str = "install Node.js 20 or later with npm, and see that both are on the PATH";

/// The used members of package.json.
#[derive(Deserialize)]
struct Manifest {
    #[serde(default)]
    name: String,
    #[serde(default)]
    saga: Saga,
    #[serde(default)]
    dependencies: std::collections::BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
struct Saga {
    rules: Option<PathBuf>,
    component: Option<PathBuf>,
}

/// The commands of a step. Packages are installed where they are not, or not those of the manifest.
pub(super) fn commands(step: Step, folder: &Path) -> Vec<Vec<&'static str>> {
    let step = match step {
        Step::Build => "build",
        Step::Test => "test",
    };
    let install = (!is_installed(folder)).then(|| INSTALL.to_vec());
    install
        .into_iter()
        .chain([vec!["node", SDK, step]])
        .collect()
}

/// True if the packages are newer than what says which they are.
fn is_installed(folder: &Path) -> bool {
    let written = |path: &str| std::fs::metadata(folder.join(path)).and_then(|one| one.modified());
    let Ok(installed) = written(INSTALLED) else {
        return false;
    };
    let manifests = ["package.json", "package-lock.json"].map(written);
    folder.join(SDK).exists() && manifests.into_iter().flatten().all(|one| one <= installed)
}

/// Looks at Node.js and npm.
pub(super) fn check(folder: &Path) -> Vec<Finding> {
    let version =
        |program: &str| output(Command::new(program).arg("--version").current_dir(folder));
    let node = match version("node") {
        Ok(version) if major(&version) >= NODE => Finding::fit(
            "node",
            format!("{}, at least {NODE} is needed", version.trim()),
        ),
        Ok(version) => Finding::unfit(
            "node",
            format!("{} is too old: at least {NODE} is needed", version.trim()),
            GET_NODE,
        ),
        Err(reason) => Finding::unfit("node", reason, GET_NODE),
    };
    let npm = match version("npm") {
        Ok(version) => Finding::fit("npm", version.trim()),
        Err(reason) => Finding::unfit("npm", reason, GET_NODE),
    };
    vec![node, npm]
}

/// The first number of `v20.20.2`.
fn major(version: &str) -> u32 {
    let first = version.trim().trim_start_matches('v').split('.').next();
    first.and_then(|first| first.parse().ok()).unwrap_or(0)
}

/// The project that this folder, or one above it, belongs to.
///
/// # Errors
/// The reason why there is none, and what to do.
pub(super) fn find(folder: &Path) -> Result<Project, String> {
    let manifest = Language::TypeScript.manifest();
    let above = folder.ancestors().find(|at| at.join(manifest).is_file());
    let folder = above.ok_or_else(|| format!("{}: has no {manifest}", folder.display()))?;
    let path = folder.join(manifest);
    let shown = path.display();
    let text = std::fs::read(&path).map_err(|error| format!("{shown}: {error}"))?;
    let read: Manifest =
        serde_json::from_slice(&text).map_err(|error| format!("{shown}: {error}"))?;
    let rules = read.saga.rules.unwrap_or_else(|| "src/rules.ts".into());
    if !folder.join(&rules).is_file() {
        return Err(format!(
            "{}: {} is missing, which has the rules; put it back, or set `saga.rules` in package.json; to make a \
             participant: saga new NAME --lang typescript",
            folder.display(),
            rules.display()
        ));
    }
    let package = read.name.trim_start_matches('@').replace('/', "-");
    let component = read
        .saga
        .component
        .unwrap_or_else(|| format!("dist/{package}.wasm").into());
    let component = folder.join(component);
    let by_path = read
        .dependencies
        .values()
        .filter_map(|one| one.strip_prefix("file:"));
    let local: BTreeSet<_> = by_path.map(|path| folder.join(path)).collect();
    Ok(Project {
        language: Language::TypeScript,
        workspace: folder.to_owned(),
        folder: folder.to_owned(),
        target: component.parent().unwrap_or(folder).to_owned(),
        component,
        package,
        local,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let write = |name: &str, text: &str| std::fs::write(at.join(name), text).unwrap();
        write(
            "package.json",
            r#"{"name":"@shop/loan","dependencies":{"saga-sdk":"file:vendor/saga-sdk","x":"1"}}"#,
        );
        let reason = find(at).unwrap_err();
        assert!(reason.contains("src/rules.ts is missing"), "{reason}");
        std::fs::create_dir(at.join("src")).unwrap();
        write("src/rules.ts", "");
        let project = find(&at.join("src")).unwrap();
        assert_eq!(project.folder, at);
        assert_eq!(project.component, at.join("dist/shop-loan.wasm"));
        assert_eq!(project.local, [at.join("vendor/saga-sdk")].into());
        write("package.json", "{");
        assert!(find(at).unwrap_err().contains("package.json: EOF"));
    }

    #[test]
    fn packages_are_installed_where_they_are_not_those_of_the_manifest() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let installs = || commands(Step::Build, at).len() == 2;
        std::fs::write(at.join("package.json"), "{}").unwrap();
        assert!(installs());
        for path in [SDK, INSTALLED] {
            std::fs::create_dir_all(at.join(path).parent().unwrap()).unwrap();
            std::fs::write(at.join(path), "").unwrap();
        }
        assert!(!installs());
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        let manifest = std::fs::File::options()
            .write(true)
            .open(at.join("package.json"))
            .unwrap();
        manifest.set_modified(later).unwrap();
        assert!(installs());
    }

    #[test]
    fn the_version_of_node_is_its_first_number() {
        assert_eq!(
            [major("v20.20.2\n"), major("v9.1"), major("of none")],
            [20, 9, 0]
        );
    }
}
