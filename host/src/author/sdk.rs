//! The SDK of each language as the program embeds it: the packages of a project's `vendor/`.
//!
//! So a new project gets the SDK of its host, with the contract that this host knows, and needs no
//! registry for it. `build/sdk.rs` makes the table.

use std::io;
use std::path::Path;

use super::language::Language;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// The lock file of a project that depends on the SDK, for languages whose toolchain does not make one
/// from the manifests alone.
pub(super) fn lock(language: Language) -> Option<&'static str> {
    match language {
        Language::Rust => Some(include_str!(concat!(env!("OUT_DIR"), "/sdk.lock"))),
        // The SDK names the versions of the packages that it needs.
        Language::TypeScript | Language::Python => None,
    }
}

/// All files with their content. Paths begin with the name of the package:
/// `saga-sdk/src/lib.rs`.
#[must_use]
pub fn files(language: Language) -> &'static [(&'static str, &'static [u8])] {
    match language {
        Language::Rust => embedded::RUST,
        Language::TypeScript => embedded::TYPESCRIPT,
        Language::Python => embedded::PYTHON,
    }
}

/// Writes the packages to this folder, which is created.
///
/// # Errors
/// Those of the file system.
pub fn write(language: Language, folder: &Path) -> io::Result<()> {
    for (name, content) in files(language) {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
