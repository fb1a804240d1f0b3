//! Lists the packages of the SDKs as they are embedded in the program, for `src/author/sdk.rs`.
//!
//! A package of Rust is what cargo would package of it, without the tests; its manifest inherits nothing
//! from the workspace. The lock file names the versions with which this program was built.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use toml::{Table, Value};

/// The packages, with their folders in this checkout.
const PACKAGES: [(&str, &str); 2] = [("saga-contract", "contract"), ("saga-sdk", "../sdk")];

/// Files and folders of a package besides its manifest.
const PARTS: [&str; 4] = ["LICENSE", "README.md", "src", "wit"];

/// The SDKs of other languages: the name of the table, the folder in this checkout, and what of it is embedded, as
/// `saga-sdk`.
const OTHERS: [(&str, &str, &[&str]); 2] = [
    (
        "TYPESCRIPT",
        "../sdk/typescript",
        &[
            "LICENSE",
            "README.md",
            "bin",
            "package.json",
            "src",
            "tools",
            "wit",
        ],
    ),
    (
        "PYTHON",
        "../sdk/python",
        &["LICENSE", "README.md", "pyproject.toml", "src"],
    ),
];

/// Direct dependencies of a new project, whose versions the lock file names.
const LOCKED: [&str; 3] = ["saga-sdk", "schemars", "serde"];

/// Writes `sdk.rs`, a table of all files, to this directory.
pub(super) fn embed(directory: &Path) -> Result<(), Box<dyn Error>> {
    let workspace = read_table(Path::new("../Cargo.toml"))?;
    let mut table = begun("RUST");
    for (package, folder) in PACKAGES {
        let folder = Path::new(folder);
        let manifest = inheriting_nothing(read_table(&folder.join("Cargo.toml"))?, &workspace)?;
        let path = directory.join(format!("{package}.toml"));
        fs::write(&path, manifest)?;
        add(&mut table, &format!("{package}/Cargo.toml"), &path)?;
        add_parts(&mut table, package, folder, &PARTS)?;
    }
    table.push_str("];\n");
    for (name, folder, parts) in OTHERS {
        table.push_str(&begun(name));
        add_parts(&mut table, "saga-sdk", Path::new(folder), parts)?;
        table.push_str("];\n");
    }
    fs::write(directory.join("sdk.rs"), table)?;
    let lock = read_table(Path::new("../Cargo.lock"))?;
    fs::write(directory.join("sdk.lock"), locked(&lock)?)?;
    Ok(())
}

/// The beginning of a table of this name.
fn begun(name: &str) -> String {
    format!("pub(super) const {name}: &[(&str, &[u8])] = &[\n")
}

/// Adds a file under this name.
fn add(table: &mut String, name: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let path = fs::canonicalize(path)?;
    writeln!(table, "    ({name:?}, include_bytes!({path:?})),")?;
    Ok(())
}

/// Adds these files and folders of a package.
fn add_parts(
    table: &mut String,
    package: &str,
    folder: &Path,
    parts: &[&str],
) -> Result<(), Box<dyn Error>> {
    // A missing file would make this run each time.
    let parts = parts.iter().map(|part| folder.join(part));
    for part in parts.filter(|part| part.exists()) {
        println!("cargo::rerun-if-changed={}", part.display());
        for file in files(&part)? {
            let name = file.strip_prefix(folder)?.display();
            add(table, &format!("{package}/{name}"), &file)?;
        }
    }
    Ok(())
}

fn read_table(path: &Path) -> Result<Table, Box<dyn Error>> {
    println!("cargo::rerun-if-changed={}", path.display());
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(text.parse()?)
}

/// True for what Python and pip write beside sources.
fn is_written(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name == "__pycache__" || name.ends_with(".egg-info")
}

/// All files at this path, in order.
fn files(path: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries: Vec<PathBuf> = fs::read_dir(path)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    entries.retain(|entry| !is_written(entry));
    entries.sort();
    let found: Vec<_> = entries
        .iter()
        .map(|entry| files(entry))
        .collect::<Result<_, _>>()?;
    Ok(found.concat())
}

/// The manifest with the values that it takes from the workspace.
fn inheriting_nothing(mut manifest: Table, workspace: &Table) -> Result<String, Box<dyn Error>> {
    let of_workspace = |section: &str| {
        let section = workspace
            .get("workspace")
            .and_then(|root| root.get(section));
        section
            .and_then(Value::as_table)
            .ok_or("the workspace lacks a section")
    };
    let (common, dependencies) = (of_workspace("package")?, of_workspace("dependencies")?);
    // Warnings of the SDK are not the author's to act on.
    let silent = Table::from_iter([("warnings".to_owned(), Value::from("allow"))]);
    let lints = Table::from_iter([("rust".to_owned(), silent.into())]);
    manifest.insert("lints".into(), lints.into());
    let package = table_of(&mut manifest, "package")?;
    for (name, value) in package.iter_mut() {
        if is_inherited(value) {
            *value = common
                .get(name)
                .ok_or_else(|| format!("no {name}"))?
                .clone();
        }
    }
    package.insert("publish".into(), false.into());
    let head = Table::from_iter([("package".to_owned(), package.clone().into())]);
    inherit_dependencies(table_of(&mut manifest, "dependencies")?, dependencies)?;
    if let Some(Value::Table(targets)) = manifest.get_mut("target") {
        for (_, target) in targets.iter_mut() {
            let target = target.as_table_mut().ok_or("a target is no table")?;
            inherit_dependencies(table_of(target, "dependencies")?, dependencies)?;
        }
    }
    manifest.remove("package");
    let (head, rest) = (toml::to_string(&head)?, toml::to_string(&manifest)?);
    Ok(format!("{head}\n{rest}"))
}

fn table_of<'t>(table: &'t mut Table, name: &str) -> Result<&'t mut Table, String> {
    let found = table.get_mut(name).and_then(Value::as_table_mut);
    found.ok_or_else(|| format!("there is no table {name}"))
}

fn is_inherited(value: &Value) -> bool {
    value.get("workspace").and_then(Value::as_bool) == Some(true)
}

fn inherit_dependencies(own: &mut Table, common: &Table) -> Result<(), Box<dyn Error>> {
    for (name, dependency) in own.iter_mut().filter(|(_, one)| is_inherited(one)) {
        let mut inherited = match common.get(name) {
            Some(Value::String(version)) => {
                Table::from_iter([("version".into(), version.clone().into())])
            }
            Some(Value::Table(table)) => table.clone(),
            _ => return Err(format!("the workspace has no dependency {name}").into()),
        };
        let features =
            |of: Option<&Value>| of.and_then(Value::as_array).cloned().unwrap_or_default();
        let mut all = features(inherited.get("features"));
        all.extend(features(dependency.get("features")));
        all.dedup();
        if !all.is_empty() {
            inherited.insert("features".into(), all.into());
        }
        if let Some(optional) = dependency.get("optional") {
            inherited.insert("optional".into(), optional.clone());
        }
        if inherited.contains_key("path") {
            inherited.insert("path".into(), format!("../{name}").into());
        }
        *dependency = inherited.into();
    }
    Ok(())
}

/// The lock file of a project that depends on the SDK: the part of ours that it reaches.
fn locked(lock: &Table) -> Result<String, Box<dyn Error>> {
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .ok_or("no package is locked")?;
    let text = |package: &Value, member: &str| {
        package
            .get(member)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    // A dependency is named `NAME`, or `NAME VERSION` if there are several versions.
    let is = |package: &Value, dependency: &str| {
        let mut words = dependency.split(' ');
        words.next() == Some(&text(package, "name"))
            && words
                .next()
                .is_none_or(|version| version == text(package, "version"))
    };
    let mut wanted: Vec<String> = LOCKED.map(str::to_owned).into();
    let mut kept = BTreeSet::new();
    while let Some(dependency) = wanted.pop() {
        let found = packages.iter().position(|package| is(package, &dependency));
        let at = found.ok_or_else(|| format!("{dependency} is not locked"))?;
        if kept.insert(at) {
            let further = packages
                .get(at)
                .and_then(|package| package.get("dependencies"));
            let further = further.and_then(Value::as_array).into_iter().flatten();
            wanted.extend(further.filter_map(Value::as_str).map(str::to_owned));
        }
    }
    let kept = kept.into_iter().filter_map(|at| packages.get(at).cloned());
    let mut part = Table::new();
    part.extend(
        lock.get("version")
            .map(|version| ("version".to_owned(), version.clone())),
    );
    part.insert("package".into(), Value::Array(kept.collect()));
    Ok(toml::to_string(&part)?)
}
