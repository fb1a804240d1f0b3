//! The files of a new project, with the names that are filled in.
//!
//! The files are in `template/`; names there are valid Rust (`__Name__Service`), so that editors
//! can read them.

use super::name::ProjectName;

/// The files, by their paths in the project.
const FILES: [(&str, &str); 7] = [
    (".gitignore", include_str!("template/gitignore")),
    ("Cargo.toml", include_str!("template/Cargo.toml.in")),
    ("README.md", include_str!("template/README.md")),
    ("saga.toml", include_str!("template/saga.toml")),
    ("src/lib.rs", include_str!("template/src/lib.rs")),
    ("src/messages.rs", include_str!("template/src/messages.rs")),
    ("tests/rules.rs", include_str!("template/tests/rules.rs")),
];

/// The row of the README on the embedded SDK.
const VENDOR: &str = "| `vendor/` | the SDK of the host by which this was made; `saga new --sdk` takes another one |\n";

/// The Rust version that the SDK needs.
pub(super) const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// The files of a project: paths and texts. `sdk` is the source of the SDK as an inline table of
/// its manifest.
pub(super) fn files(
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
    FILES.into_iter().map(move |(path, text)| {
        let text = names
            .iter()
            .fold(text.to_owned(), |text, (placeholder, value)| {
                text.replace(placeholder, value)
            });
        (path, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left() {
        let name = ProjectName::parse("seat-reservation").unwrap();
        for (path, text) in files(&name, "{ path = \"vendor/saga-sdk\" }", true) {
            assert!(!text.contains("__"), "{path}:\n{text}");
        }
    }
}
