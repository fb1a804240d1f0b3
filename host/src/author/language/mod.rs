//! The languages of rules: how a project of each is found, built, tested and made.
//!
//! All else is the same for all of them. A further language is a variant, a file beside this one, a
//! folder of `template/` and an SDK in `build/sdk.rs`.

mod python;
mod rust;
mod typescript;

use std::path::Path;

use super::project::Project;
use super::steps::Step;
use super::toolchain::{self, Finding};

/// A language of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// Rust, built with cargo.
    Rust,
    /// TypeScript, built with npm.
    TypeScript,
    /// Python, built with componentize-py in a virtual environment.
    Python,
}

impl Language {
    /// All languages; the first one is meant unless another is named.
    pub const ALL: [Self; 3] = [Self::Rust, Self::TypeScript, Self::Python];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::TypeScript => "typescript",
            Self::Python => "python",
        }
    }

    /// The language of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// The language of the project that this folder, or one above it, belongs to.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let [default, ..] = Self::ALL;
        let of_one = |at: &Path| {
            let mut all = Self::ALL.into_iter();
            all.find(|language| at.join(language.manifest()).is_file())
        };
        folder.ancestors().find_map(of_one).unwrap_or(default)
    }

    /// The file that makes a folder a package, or a workspace.
    pub(super) fn manifest(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.toml",
            Self::TypeScript => "package.json",
            Self::Python => "pyproject.toml",
        }
    }

    /// The file that the toolchain writes by itself while it builds.
    pub(super) fn lock(self) -> &'static str {
        match self {
            Self::Rust => "Cargo.lock",
            Self::TypeScript => "package-lock.json",
            Self::Python => python::INSTALLED,
        }
    }

    /// The folder of its SDK in a checkout.
    pub(super) fn sdk_folder(self) -> &'static str {
        match self {
            Self::Rust => "sdk",
            Self::TypeScript => "sdk/typescript",
            Self::Python => "sdk/python",
        }
    }

    /// The ends of names of sources, outside the folders in which every file is one.
    pub(super) fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["rs", "toml", "lock", "wit"],
            Self::TypeScript => &["ts", "mts", "js", "mjs", "json", "toml", "wit"],
            Self::Python => &["py", "toml", "txt", "json", "jsonl", "wit"],
        }
    }

    /// The commands of a step in this folder, one after the other.
    #[must_use]
    pub fn commands(self, step: Step, folder: &Path) -> Vec<Vec<&'static str>> {
        match self {
            Self::Rust => vec![rust::command(step)],
            Self::TypeScript => typescript::commands(step, folder),
            Self::Python => python::commands(step, folder),
        }
    }

    /// Looks at every part of the toolchain, as it is in this folder.
    #[must_use]
    pub fn check(self, folder: &Path) -> Vec<Finding> {
        match self {
            Self::Rust => toolchain::check(folder),
            Self::TypeScript => typescript::check(folder),
            Self::Python => python::check(folder),
        }
    }

    /// The project that this folder, or one above it, belongs to.
    pub(super) fn find(self, folder: &Path) -> Result<Project, String> {
        match self {
            Self::Rust => rust::find(folder),
            Self::TypeScript => typescript::find(folder),
            Self::Python => python::find(folder),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_manifest_says_the_language() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        std::fs::create_dir_all(at("rust/web/src")).unwrap();
        assert_eq!(Language::of(&at("rust/web")), Language::Rust);
        std::fs::write(at("rust/Cargo.toml"), "").unwrap();
        std::fs::write(at("rust/web/package.json"), "").unwrap();
        assert_eq!(Language::of(&at("rust")), Language::Rust);
        assert_eq!(Language::of(&at("rust/web/src")), Language::TypeScript);
        for language in Language::ALL {
            assert_eq!(Language::named(language.name()), Some(language));
        }
        assert_eq!(Language::named("cobol"), None);
    }
}
