//! The documents agree with the tree.

use std::path::Path;

use saga_host::apidocs::problems::Kind;

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The words in backticks that look like paths of the tree.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|word| {
        let is_path = word.contains('/') && !word.contains([' ', '<', '{', ':', '(']);
        is_path
            && ["host/", "sdk/", "wit/", "plugins/", "demo/"]
                .iter()
                .any(|top| word.starts_with(top))
    })
}

/// The first listing in this language.
pub fn listing(document: &str, language: &str) -> String {
    let (_, rest) = document.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[test]
fn every_file_that_the_architecture_names_is_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named: Vec<_> = paths(&text).collect();
    assert!(named.len() > 30, "only {} paths were found", named.len());
    let missing: Vec<_> = named
        .iter()
        .filter(|path| !root().join(path).exists())
        .collect();
    assert!(
        missing.is_empty(),
        "ARCHITECTURE.md names what is not there: {missing:?}"
    );
}

#[test]
fn every_link_of_the_readme_leads_somewhere() {
    let text = std::fs::read_to_string(root().join("README.md")).unwrap();
    let targets: Vec<_> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.starts_with("http"))
        .collect();
    assert!(targets.len() > 4, "only {} links were found", targets.len());
    for target in targets {
        assert!(
            root().join(target).exists(),
            "README.md links to {target}, which is not there"
        );
    }
}

#[test]
fn every_dependency_has_its_reason_in_the_architecture() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let manifest: toml::Table = std::fs::read_to_string(root().join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    for (name, dependency) in dependencies {
        let is_ours = dependency.get("path").is_some();
        assert!(
            is_ours || text.contains(name.as_str()),
            "ARCHITECTURE.md does not say why there is {name}"
        );
    }
}

#[test]
fn the_sdk_shows_the_crate_that_the_readme_shows() {
    let sdk = std::fs::read_to_string(root().join("sdk/src/lib.rs")).unwrap();
    let sdk = sdk.replace("//! ", "").replace("//!\n", "\n");
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    for language in ["rust", "toml"] {
        let listing = listing(&readme, language);
        assert!(sdk.contains(&listing), "not in sdk/src/lib.rs:\n{listing}");
    }
}

#[test]
fn the_page_on_problems_lists_all_kinds() {
    let text = std::fs::read_to_string(root().join("docs/problems.md")).unwrap();
    let listed: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| status "))
        .collect();
    let kinds: Vec<_> = Kind::ALL
        .iter()
        .map(|kind| {
            let (status, word) = (kind.status(), kind.word());
            format!(
                "| {status} | `{word}` | {} | {} |",
                kind.meaning(),
                kind.remedy()
            )
        })
        .collect();
    assert_eq!(
        listed,
        kinds,
        "docs/problems.md should be:\n{}",
        kinds.join("\n")
    );
}

/// The text of all Rust sources below these folders of the checkout.
fn sources(folders: &[&str]) -> String {
    let mut sources = String::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    sources
}

#[test]
fn every_invariant_is_named_by_a_test() {
    let sources = sources(&["host"]);
    for number in 1..=13 {
        let named = format!("fn invariant_{number}_");
        assert!(sources.contains(&named), "no test names invariant {number}");
    }
}

#[test]
fn every_fault_that_the_page_lists_is_played_by_a_test() {
    let page = std::fs::read_to_string(root().join("docs/faults.md")).unwrap();
    let sources = sources(&["host", "sdk", "demo", "plugins"]);
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| What happens "));
    for row in rows {
        let last = row.trim_end_matches('|').rsplit('|').next().unwrap();
        let tests: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "names no test: {row}");
        for test in tests {
            let name = test.rsplit("::").next().unwrap();
            assert!(
                sources.contains(&format!("fn {name}(")),
                "there is no test {test}: {row}"
            );
        }
    }
}
