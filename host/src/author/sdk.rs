//! The SDK as the program embeds it: the packages `saga-contract` and `saga-sdk`.
//!
//! So a new project gets the SDK of its host, with the contract that this host knows, and needs no
//! registry for it. `build/sdk.rs` makes the table.

use std::io;
use std::path::Path;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
}

/// The lock file of a project that depends on the SDK.
pub(super) const LOCK: &str = include_str!(concat!(env!("OUT_DIR"), "/sdk.lock"));

/// All files with their content. Paths begin with the name of the package:
/// `saga-sdk/src/lib.rs`.
#[must_use]
pub fn files() -> &'static [(&'static str, &'static [u8])] {
    embedded::FILES
}

/// Writes the packages to this folder, which is created.
///
/// # Errors
/// Those of the file system.
pub fn write(folder: &Path) -> io::Result<()> {
    for (name, content) in files() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, content)?;
    }
    Ok(())
}
