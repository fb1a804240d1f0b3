//! A directory for the state of one run, which is removed at its end.
//!
//! Owns: its name, which has this process's number in it, and its removal, whatever way the run ends.
//!
//! Must not know: what is in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A directory that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Where it is.
    pub(crate) path: PathBuf,
}

impl Scratch {
    /// Makes `NAME-PROCESS` in `parent`.
    ///
    /// # Errors
    /// It can't be made; names the path.
    pub(crate) fn make(parent: &Path, name: &str) -> Result<Self> {
        let path = parent.join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            eprintln!("can't remove {}: {error}", self.path.display());
        }
    }
}
