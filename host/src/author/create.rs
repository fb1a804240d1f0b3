//! Makes the folder of a new project.

use std::io;
use std::path::{Path, PathBuf};

use super::language::Language;
use super::name::ProjectName;
use super::{sdk, template};

/// The source of the SDK of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SdkSource {
    /// The one that the program embeds, as `vendor/` of the project.
    Embedded,
    /// A folder: of the crate, or of a checkout that has it in `sdk`.
    Path(PathBuf),
    /// A Git repository that has the crate.
    Git(String),
}

impl SdkSource {
    /// A path, or the URL of a Git repository.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let is_url = text.contains("://") || text.starts_with("git@");
        match is_url {
            true => Self::Git(text.to_owned()),
            false => Self::Path(text.into()),
        }
    }
}

/// The reason why a project was not made.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// The folder holds something.
    #[error("{}: is there already, and is not empty; nothing was changed. Take another name, or remove it", .0.display())]
    Occupied(PathBuf),
    /// The SDK was not found.
    #[error("--sdk {0}")]
    Sdk(String),
    /// The file system refused it.
    #[error("{}: can't be made: {error}", path.display())]
    Refused {
        /// The folder.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
}

/// Makes the folder of a project, which may exist if it is empty. It appears as a whole or not at
/// all.
///
/// # Errors
/// The reason; then nothing was changed.
pub fn create(
    folder: &Path,
    name: &ProjectName,
    language: Language,
    source: &SdkSource,
) -> Result<(), NotCreated> {
    let refused = |error| NotCreated::Refused {
        path: folder.to_owned(),
        error,
    };
    let is_free = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        // A file, or something below one.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => !folder.exists(),
        Err(error) => return Err(refused(error)),
    };
    if !is_free {
        return Err(NotCreated::Occupied(folder.to_owned()));
    }
    let dependency = dependency(language, source).map_err(NotCreated::Sdk)?;
    let made_parents = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => make_parents(parent).map_err(refused)?,
        _ => Vec::new(),
    };
    let own = format!(".{}.{}", name.as_str(), std::process::id());
    let unfinished = folder.with_file_name(own);
    let made = std::fs::create_dir(&unfinished).and_then(|()| {
        let written = write(&unfinished, name, language, source, &dependency);
        let made = written.and_then(|()| std::fs::rename(&unfinished, folder));
        // Best effort: what matters is the first error.
        made.inspect_err(|_| drop(std::fs::remove_dir_all(&unfinished)))
    });
    made.map_err(|error| {
        remove_empty(&made_parents);
        refused(error)
    })
}

/// Makes a folder and those above it that are missing; gives those that it has made, the innermost
/// first.
fn make_parents(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let above = folder.ancestors().filter(|one| !one.as_os_str().is_empty());
    let missing: Vec<_> = above
        .take_while(|one| !one.exists())
        .map(Path::to_owned)
        .collect();
    std::fs::create_dir_all(folder).inspect_err(|_| remove_empty(&missing))?;
    Ok(missing)
}

/// Best effort, as above.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        let _ = std::fs::remove_dir(folder);
    }
}

/// Fills an empty folder.
fn write(
    folder: &Path,
    name: &ProjectName,
    language: Language,
    source: &SdkSource,
    dependency: &str,
) -> io::Result<()> {
    let is_vendored = *source == SdkSource::Embedded;
    for part in ["src", "tests"] {
        std::fs::create_dir(folder.join(part))?;
    }
    for (path, text) in template::files(language, name, dependency, is_vendored) {
        std::fs::write(folder.join(path), text)?;
    }
    if let Some(lock) = sdk::lock(language) {
        std::fs::write(folder.join(language.lock()), lock)?;
    }
    if is_vendored {
        sdk::write(language, &folder.join("vendor"))?;
    }
    Ok(())
}

/// The SDK as a dependency in a manifest.
fn dependency(language: Language, source: &SdkSource) -> Result<String, String> {
    let named = |rust: &str, npm: &str, value: &str| match language {
        Language::Rust => format!("{{ {rust} = {} }}", toml::Value::from(value)),
        Language::TypeScript => serde_json::Value::from(format!("{npm}{value}")).to_string(),
        // A line of requirements.txt, with what builds and tests need.
        Language::Python if rust == "git" => {
            format!("saga-sdk[build,test] @ git+{value}#subdirectory=sdk/python")
        }
        Language::Python => format!("-e {value}[build,test]"),
    };
    match source {
        SdkSource::Embedded => Ok(named(
            "path",
            "file:",
            match language {
                Language::Python => "./vendor/saga-sdk",
                _ => "vendor/saga-sdk",
            },
        )),
        SdkSource::Git(url) => Ok(named("git", "git+", url)),
        SdkSource::Path(path) => {
            let below = language.sdk_folder();
            let folders = [path.clone(), path.join(below)];
            let folder = folders.iter().find(|folder| is_sdk(language, folder)).ok_or_else(|| {
                format!(
                    "{}: has no `saga-sdk` for {}, nor has its folder `{below}`; name the folder of the SDK, or the URL of a \
                     Git repository that has it",
                    path.display(),
                    language.name()
                )
            })?;
            let folder = folder.canonicalize();
            let folder = folder.map_err(|error| format!("{}: {error}", path.display()))?;
            let text = folder
                .to_str()
                .ok_or_else(|| format!("{}: is not UTF-8, as manifests are", path.display()))?;
            Ok(named("path", "file:", text))
        }
    }
}

/// True for the folder of the package `saga-sdk` of this language.
fn is_sdk(language: Language, folder: &Path) -> bool {
    let manifest = std::fs::read_to_string(folder.join(language.manifest())).unwrap_or_default();
    let name = match language {
        Language::Rust | Language::Python => {
            let manifest: toml::Table = manifest.parse().unwrap_or_default();
            let package = manifest.get(match language {
                Language::Python => "project",
                _ => "package",
            });
            let name = package.and_then(|package| package.get("name"));
            name.and_then(toml::Value::as_str).map(str::to_owned)
        }
        Language::TypeScript => {
            let manifest = saga_contract::json::parse(&manifest).unwrap_or_default();
            let name = manifest.get("name");
            name.and_then(serde_json::Value::as_str).map(str::to_owned)
        }
    };
    name.as_deref() == Some("saga-sdk")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_it_has_not_made_is_left_alone() {
        let parent = tempfile::tempdir().unwrap();
        let other = parent.path().join(format!(".loan.{}", std::process::id()));
        std::fs::create_dir(&other).unwrap();
        std::fs::write(other.join("mine"), "mine").unwrap();
        let name = ProjectName::parse("loan").unwrap();
        let made = create(
            &parent.path().join("loan"),
            &name,
            Language::Rust,
            &SdkSource::Embedded,
        );
        assert!(matches!(made, Err(NotCreated::Refused { .. })));
        assert!(other.join("mine").exists());
    }
}
