//! The project in a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::language::Language;

/// A project that builds one component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The language of its rules.
    pub language: Language,
    /// Its folder, where its manifest is.
    pub folder: PathBuf,
    /// The name of its package.
    pub package: String,
    /// The component that it builds.
    pub component: PathBuf,
    /// The folder where its toolchain puts all that it builds.
    pub target: PathBuf,
    /// The folder of the workspace that it belongs to; otherwise its own.
    pub workspace: PathBuf,
    /// The folders of the packages that it, or its tests, depend on by path.
    pub local: BTreeSet<PathBuf>,
}

impl Project {
    /// The project that this folder, or one above it, belongs to.
    ///
    /// # Errors
    /// The reason why there is none, and what to do.
    pub fn find(folder: &Path) -> Result<Self, String> {
        Language::of(folder).find(folder)
    }
}
