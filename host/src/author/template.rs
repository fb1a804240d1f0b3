//! The files of a new project, with the names that are filled in.
//!
//! The files are in `template/`, a folder for each language; names there are valid in it
//! (`__Name__Service`), so that editors can read them.

use super::language::Language;
use super::name::ProjectName;

/// A file: its path in the project, and its text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($folder:literal: $($path:literal = $file:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("template/", $folder, "/", $file)))),+]
    };
}

const RUST: &[File] = files! { "rust":
    ".gitignore" = "gitignore",
    "Cargo.toml" = "Cargo.toml.in",
    "README.md" = "README.md",
    "saga.toml" = "saga.toml",
    "src/lib.rs" = "src/lib.rs",
    "src/messages.rs" = "src/messages.rs",
    "tests/rules.rs" = "tests/rules.rs",
};

const TYPESCRIPT: &[File] = files! { "typescript":
    ".gitignore" = "gitignore",
    "README.md" = "README.md",
    "package.json" = "package.json",
    "saga.toml" = "saga.toml",
    "src/messages.ts" = "src/messages.ts",
    "src/rules.ts" = "src/rules.ts",
    "tests/rules.test.ts" = "tests/rules.test.ts",
    "tsconfig.json" = "tsconfig.json",
};

const PYTHON: &[File] = files! { "python":
    ".gitignore" = "gitignore",
    "README.md" = "README.md",
    "pyproject.toml" = "pyproject.toml",
    "requirements.txt" = "requirements.txt",
    "saga.toml" = "saga.toml",
    "src/messages.py" = "src/messages.py",
    "src/rules.py" = "src/rules.py",
    "tests/test_rules.py" = "tests/test_rules.py",
};

/// The files of a project in this language.
fn templates(language: Language) -> &'static [File] {
    match language {
        Language::Rust => RUST,
        Language::TypeScript => TYPESCRIPT,
        Language::Python => PYTHON,
    }
}

/// The row of the README on the embedded SDK.
const VENDOR: &str = "| `vendor/` | the SDK of the host by which this was made; `saga new --sdk` takes another one |\n";

/// The Rust version that the SDK needs.
pub(super) const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// The files of a project: paths and texts. `sdk` is the source of the SDK as its manifest names it.
pub(super) fn files(
    language: Language,
    name: &ProjectName,
    sdk: &str,
    is_vendored: bool,
) -> impl Iterator<Item = (&'static str, String)> {
    let names = [
        ("__name__", name.as_str().to_owned()),
        ("__crate__", name.crate_name()),
        ("__Name__", name.type_name()),
        ("__rust__", RUST_VERSION.to_owned()),
        ("__sdk__", sdk.to_owned()),
        (
            "__vendor__\n",
            if is_vendored {
                format!("{VENDOR}\n")
            } else {
                "\n".to_owned()
            },
        ),
    ];
    templates(language).iter().map(move |(path, text)| {
        let text = names
            .iter()
            .fold((*text).to_owned(), |text, (placeholder, value)| {
                text.replace(placeholder, value)
            });
        (*path, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left() {
        let name = ProjectName::parse("seat-reservation").unwrap();
        for language in Language::ALL {
            for (path, text) in files(language, &name, "\"vendor/saga-sdk\"", true) {
                assert!(!text.contains("__"), "{path}:\n{text}");
            }
        }
    }
}
