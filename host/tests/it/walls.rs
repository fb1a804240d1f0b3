//! The walls between the rooms of the host: which crates a room may name, and which rooms it may use.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Crates that one room alone names, and the room.
const CRATES: [(&str, &str); 4] = [
    ("rusqlite", "host/src/store/sqlite/"),
    ("tokio_postgres", "host/src/store/postgres/"),
    ("rdkafka", "host/src/kafka/"),
    ("wasmtime", "host/src/plugin/"),
];

fn root() -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).to_owned()
}

/// All Rust sources below a directory, by their paths from the root of the tree, with their code.
fn sources(below: &str) -> Vec<(String, String)> {
    let mut sources = Vec::new();
    let mut directories = vec![root().join(below)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                let text = std::fs::read_to_string(&path).unwrap();
                sources.push((name, code(&text)));
            }
        }
    }
    sources
}

/// A source without the lines that are comments.
fn code(text: &str) -> String {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    let lines: Vec<_> = text.lines().filter(is_code).collect();
    lines.join("\n")
}

/// The identifiers in a text that stand in a path directly behind this.
fn after<'t>(text: &'t str, before: &'t str) -> impl Iterator<Item = &'t str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(before).map(move |(at, _)| {
        let rest = &text[at + before.len()..];
        rest.split(|c| !is_part(c)).next().unwrap_or_default()
    })
}

/// True if a path begins with this crate, or with one that goes by its name (`wasmtime_wasi`).
fn names(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(name).any(|(at, _)| {
        let rest = text[at + name.len()..].trim_start_matches(is_part);
        !text[..at].ends_with(is_part) && rest.starts_with("::")
    })
}

#[test]
fn each_foreign_crate_has_one_room() {
    let inside = [
        "host/src",
        "host/core/src",
        "host/contract/src",
        "sdk/src",
        "plugins",
    ];
    let sources: Vec<_> = inside.into_iter().flat_map(sources).collect();
    assert!(
        sources.len() > 200,
        "only {} sources were found",
        sources.len()
    );
    let mut met = BTreeSet::new();
    let mut wrong = Vec::new();
    for (path, code) in &sources {
        for (name, room) in CRATES {
            let is_named = names(code, name);
            if is_named && path.starts_with(room) {
                met.insert(name);
            } else if is_named {
                wrong.push(format!("{path} {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "a wall is broken: {wrong:#?}");
    assert_eq!(
        met.len(),
        CRATES.len(),
        "each room names its crate: {met:?}"
    );
}

/// The rooms of the host, from the map of ARCHITECTURE.md: each with those that it may use.
fn rooms() -> Vec<(String, BTreeSet<String>)> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let rows = text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `host/src/")?.split('|').map(str::trim);
        let room = cells.next()?.strip_suffix("/`")?;
        let uses = cells.nth(1)?.split(',').map(str::trim);
        let uses = uses.filter(|name| !name.is_empty()).map(str::to_owned);
        Some((room.to_owned(), uses.collect()))
    });
    rows.collect()
}

#[test]
fn the_map_has_every_room_once_and_below_those_that_it_uses() {
    let rooms = rooms();
    let lib = std::fs::read_to_string(root().join("host/src/lib.rs")).unwrap();
    let mut modules: Vec<_> = (lib.lines())
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .collect();
    let mut mapped: Vec<_> = rooms.iter().map(|(room, _)| room.as_str()).collect();
    let mut above = BTreeSet::new();
    for (room, uses) in &rooms {
        let lower: Vec<_> = uses.difference(&above).collect();
        assert!(
            lower.is_empty(),
            "{room} may use only rooms above it, not {lower:?}"
        );
        above.insert(room.clone());
    }
    mapped.sort_unstable();
    modules.sort_unstable();
    assert_eq!(mapped, modules, "the map and host/src/lib.rs");
}

#[test]
fn no_room_uses_one_that_the_map_does_not_allow() {
    let rooms: BTreeMap<_, _> = rooms().into_iter().collect();
    let (mut met, mut wrong) = (BTreeSet::new(), BTreeSet::new());
    for (path, code) in sources("host/src") {
        let inner = path.trim_start_matches("host/src/");
        let Some((room, _)) = inner.split_once('/') else {
            continue;
        };
        for used in after(&code, "crate::") {
            if used == room || rooms[room].contains(used) {
                met.insert((room.to_owned(), used.to_owned()));
            } else {
                wrong.insert(format!("{path} uses {used}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "the direction of dependencies is broken: {wrong:#?}"
    );
    let allowed = rooms
        .iter()
        .flat_map(|(room, uses)| uses.iter().map(move |of| (room, of)));
    let idle: Vec<_> = allowed
        .filter(|(room, of)| !met.contains(&((*room).clone(), (*of).clone())))
        .collect();
    assert!(
        idle.is_empty(),
        "the map allows what nobody needs: {idle:?}"
    );
}
