//! Python: the project as pyproject.toml describes it, and how it is built and tested.
//!
//! A project's packages are installed into its own virtual environment, `.venv`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Language;
use crate::author::project::Project;
use crate::author::steps::Step;
use crate::author::toolchain::{Finding, output};

/// The Python of the project's environment.
const PYTHON: &str = ".venv/bin/python";

/// Names the packages of a project, a line each.
const REQUIREMENTS: &str = "requirements.txt";

/// Written once the packages are installed.
pub(super) const INSTALLED: &str = ".venv/.saga-installed";

/// Writes that file.
const NOTE: &str = "open('.venv/.saga-installed', 'w').close()";

/// Least version of Python.
const LEAST: (u32, u32) = (3, 10);

/// How Python is got.
const GET_PYTHON: &str = "install Python 3.10 or later with venv and pip (Debian, Ubuntu: python3-venv), and see that python3 \
                          is on the PATH";

/// The commands of a step. Packages are installed where they are not, or not those that are named.
pub(super) fn commands(step: Step, folder: &Path) -> Vec<Vec<&'static str>> {
    let run = match step {
        Step::Build => vec![PYTHON, "-B", "-m", "saga_sdk", "build"],
        Step::Test => vec![PYTHON, "-B", "-m", "pytest", "-q"],
    };
    let mut commands = Vec::new();
    if !is_installed(folder) {
        if !folder.join(PYTHON).exists() {
            commands.push(vec!["python3", "-m", "venv", ".venv"]);
        }
        let pip = [PYTHON, "-m", "pip", "--disable-pip-version-check"];
        commands.push([&pip[..], &["install", "--quiet", "-r", REQUIREMENTS]].concat());
        commands.push(vec![PYTHON, "-c", NOTE]);
    }
    commands.push(run);
    commands
}

/// True if the packages are newer than what says which they are.
fn is_installed(folder: &Path) -> bool {
    let written = |path: &str| std::fs::metadata(folder.join(path)).and_then(|one| one.modified());
    let Ok(installed) = written(INSTALLED) else {
        return false;
    };
    let named = ["pyproject.toml", REQUIREMENTS].map(written);
    folder.join(PYTHON).exists() && named.into_iter().flatten().all(|one| one <= installed)
}

/// Looks at Python, and at its modules that make an environment.
pub(super) fn check(folder: &Path) -> Vec<Finding> {
    let python = |words: &[&str]| output(Command::new("python3").args(words).current_dir(folder));
    let (least, minor) = LEAST;
    let found = match python(&["--version"]) {
        Ok(version) if is_enough(&version) => Finding::fit(
            "python3",
            format!("{}, at least {least}.{minor} is needed", version.trim()),
        ),
        Ok(version) => Finding::unfit(
            "python3",
            format!(
                "{} is too old: at least {least}.{minor} is needed",
                version.trim()
            ),
            GET_PYTHON,
        ),
        Err(reason) => return vec![Finding::unfit("python3", reason, GET_PYTHON)],
    };
    let venv = match python(&["-c", "import venv, ensurepip"]) {
        Ok(_) => Finding::fit("venv", "makes the environment of a project"),
        Err(reason) => Finding::unfit("venv", reason, GET_PYTHON),
    };
    vec![found, venv]
}

/// True for `Python 3.10.1` and later.
fn is_enough(version: &str) -> bool {
    let numbers = version.trim().trim_start_matches("Python ").split('.');
    let mut numbers = numbers.map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) >= LEAST
}

/// The project that this folder, or one above it, belongs to.
///
/// # Errors
/// The reason why there is none, and what to do.
pub(super) fn find(folder: &Path) -> Result<Project, String> {
    let manifest = Language::Python.manifest();
    let above = folder.ancestors().find(|at| at.join(manifest).is_file());
    let folder = above.ok_or_else(|| format!("{}: has no {manifest}", folder.display()))?;
    let path = folder.join(manifest);
    let shown = path.display();
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
    let read: toml::Table = text.parse().map_err(|error| format!("{shown}: {error}"))?;
    let member = |tables: &[&str], name: &str| -> Option<String> {
        let table = tables
            .iter()
            .try_fold(&read, |table, one| table.get(*one)?.as_table())?;
        table.get(name)?.as_str().map(str::to_owned)
    };
    let contract = member(&["tool", "saga"], "contract").ok_or_else(|| {
        format!(
            "{shown}: does not say where the contract is; add `contract = \"rules:contract\"` to [tool.saga], or make a \
             participant: saga new NAME --lang python"
        )
    })?;
    let module = contract.split(':').next().unwrap_or_default();
    let module = module.replace('.', "/");
    let places = ["src", "."].map(|source| folder.join(source).join(&module));
    let is_there =
        |at: &PathBuf| at.with_extension("py").is_file() || at.join("__init__.py").is_file();
    if !places.iter().any(is_there) {
        return Err(format!(
            "{}: src/{module}.py is missing, which has the rules; put it back, or set `contract` in [tool.saga] of {manifest}",
            folder.display(),
        ));
    }
    let package = member(&["project"], "name").unwrap_or_else(|| {
        let name = folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    });
    let component = member(&["tool", "saga"], "component");
    let component = folder.join(component.unwrap_or_else(|| format!("dist/{package}.wasm")));
    let required = std::fs::read_to_string(folder.join(REQUIREMENTS)).unwrap_or_default();
    Ok(Project {
        language: Language::Python,
        workspace: folder.to_owned(),
        folder: folder.to_owned(),
        target: component.parent().unwrap_or(folder).to_owned(),
        component,
        package,
        local: local(folder, &required),
    })
}

/// The folders of packages that are installed from where they are: `-e ./vendor/saga-sdk[build]`.
fn local(folder: &Path, required: &str) -> BTreeSet<PathBuf> {
    let lines = required
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-e "));
    let paths = lines.map(|line| line.trim().split('[').next().unwrap_or_default());
    paths
        .map(|path| folder.join(path.trim_start_matches("./")))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(folder: &Path, name: &str, text: &str) {
        std::fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
        std::fs::write(folder.join(name), text).unwrap();
    }

    #[test]
    fn a_project_is_what_its_manifest_says() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        written(at, "pyproject.toml", "[project]\nname = \"loan\"\n");
        assert!(find(at).unwrap_err().contains("add `contract"));
        let manifest =
            "[project]\nname = \"loan\"\n[tool.saga]\ncontract = \"shop.rules:contract\"\n";
        written(at, "pyproject.toml", manifest);
        let reason = find(at).unwrap_err();
        assert!(reason.contains("src/shop/rules.py is missing"), "{reason}");
        written(at, "src/shop/rules.py", "");
        written(
            at,
            "requirements.txt",
            "-e ./vendor/saga-sdk[build]\nx==1\n",
        );
        let project = find(&at.join("src")).unwrap();
        assert_eq!(project.folder, at);
        assert_eq!(project.component, at.join("dist/loan.wasm"));
        assert_eq!(project.local, [at.join("vendor/saga-sdk")].into());
        written(at, "pyproject.toml", "[");
        assert!(find(at).unwrap_err().contains("pyproject.toml: TOML"));
    }

    #[test]
    fn packages_are_installed_where_they_are_not_those_that_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        let number = || commands(Step::Build, at).len();
        for name in ["pyproject.toml", REQUIREMENTS] {
            written(at, name, "");
        }
        assert_eq!(number(), 4);
        written(at, PYTHON, "");
        assert_eq!(number(), 3);
        written(at, INSTALLED, "");
        assert_eq!(number(), 1);
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(5);
        let named = std::fs::File::options()
            .write(true)
            .open(at.join(REQUIREMENTS));
        named.unwrap().set_modified(later).unwrap();
        assert_eq!(number(), 3);
    }

    #[test]
    fn python_3_10_is_enough() {
        for (version, enough) in [
            ("Python 3.10.0\n", true),
            ("Python 3.14.0rc1", true),
            ("Python 4.0", true),
            ("Python 3.9.18", false),
            ("Python 2.7", false),
            ("none", false),
        ] {
            assert_eq!(is_enough(version), enough, "{version}");
        }
    }
}
