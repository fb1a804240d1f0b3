//! A secret setting. It is never printed: not by `saga config`, not by `Debug`, not in the error
//! for a bad value.

use std::fmt;
use std::path::Path;

/// A text that only the code that needs it may read.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Reads a secret from a file; a final newline is not part of it.
    ///
    /// # Errors
    /// The problem with the file, as text that follows the name of the setting.
    pub fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{shown} can't be read: {error}"))?;
        match text.trim_end_matches(['\r', '\n']) {
            "" => Err(format!("{shown} is empty; write the secret into it")),
            text => Ok(Self::new(text)),
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(not shown)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_it_with_or_without_a_newline() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        for text in ["hunter2", "hunter2\n", "hunter2\r\n"] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(Secret::read(&path).unwrap().reveal(), "hunter2");
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(Secret::read(&path).unwrap_err().contains("is empty"));
        let missing = Secret::read(&directory.path().join("none")).unwrap_err();
        assert!(missing.contains("none can't be read"), "{missing}");
    }

    #[test]
    fn a_secret_is_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(not shown)");
    }
}
