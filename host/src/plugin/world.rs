//! Checks that a component fits the world, on its bytes, before any of its code is compiled. Errors
//! are in words of the WIT.
//!
//! wasmtime would refuse it too, but after compiling it, and in words of its own type checker.
//! These errors tell the author what to do. Only types are read: the bodies of functions are
//! skipped.

use wasmparser::component_types::{ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{Chunk, Parser, Payload, ValidPayload, Validator, WasmFeatures};

use super::bindings::ContractVersion;
use super::contract;

/// Functions that the rules interface must have.
pub(super) const FUNCTIONS: [&str; 3] = ["describe", "handle", "migrate"];

/// The rules interface, of any version.
const RULES: &str = "saga:participant/rules@";

/// Permitted imports: the contract's own types, which hold no function, and the interfaces of WASI,
/// which standard libraries and interpreters import whether the rules use them or not. The sandbox
/// answers them with nothing, or refuses the call.
const GRANTED: [&str; 2] = ["saga:participant/types@", "wasi:"];

/// Functions that toolchains import, and the option to build without them
/// component-model async.
const SYNCHRONOUS: [(&str, &str); 2] = [
    ("componentize_qjs", "run componentize-qjs with `--sync`"),
    (
        "",
        "build it without async functions (componentize-qjs: with `--sync`)",
    ),
];

/// Says what the bytes are, if they are not a component.
#[must_use]
pub fn not_a_component(bytes: &[u8]) -> Option<String> {
    match bytes.get(..8) {
        _ if bytes.is_empty() => Some("the file is empty".into()),
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => None,
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => Some(
            "is a core module, not a component: build it with `cargo build --release --target wasm32-wasip2`".into(),
        ),
        _ => Some("is not WebAssembly: give the .wasm file that `cargo build --release --target wasm32-wasip2` made".into()),
    }
}

/// The reason why a component does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It is damaged.
    Invalid(String),
    /// Of another world, or of another contract.
    World(String),
}

/// Exports and types of a component.
struct Surface {
    exports: Vec<String>,
    types: Types,
}

/// Checks that a component imports only what is granted, and exports the rules of a contract that
/// this host knows. Returns the version of the contract.
///
/// # Errors
/// The mismatch.
pub(super) fn check(bytes: &[u8]) -> Result<ContractVersion, Misfit> {
    check_imports(bytes)?;
    let surface = read(bytes).map_err(|reason| misfit(bytes, reason))?;
    let types = surface.types.as_ref();
    let (version, rules) = rules(types, &surface.exports).map_err(Misfit::World)?;
    match contract::difference(types, rules, version) {
        None => Ok(version),
        Some(difference) => Err(Misfit::World(format!(
            "was built for another state of the contract `{}` than the one that this host takes: {difference}; \
             build it again with the saga-sdk of this host ({})",
            version.export(),
            env!("CARGO_PKG_VERSION")
        ))),
    }
}

/// Checks that a component imports only what is granted. Reads nothing else, so that this takes a
/// millisecond for a component of any size. What can't be read is left to [`check`].
///
/// # Errors
/// The import that is not granted.
pub(super) fn check_imports(bytes: &[u8]) -> Result<(), Misfit> {
    let is_granted = |name: &str| GRANTED.iter().any(|granted| name.starts_with(granted));
    let imports = top_imports(bytes);
    match imports.iter().find(|name| !is_granted(name)) {
        None => Ok(()),
        Some(name) => Err(Misfit::World(format!(
            "imports `{name}`, which rules are not granted: take out what needs it"
        ))),
    }
}

/// The imports of a component, as far as it can be read.
fn top_imports(mut bytes: &[u8]) -> Vec<&str> {
    let mut parser = Parser::new(0);
    let mut found = Vec::new();
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(bytes, true) {
        let mut skipped = consumed;
        match payload {
            Payload::ComponentImportSection(section) => {
                let names = section.into_iter().map_while(Result::ok);
                found.extend(names.map(|import| import.name.name));
            }
            // What is in it imports from the component.
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => skipped = skipped.saturating_add(unchecked_range.len()),
            Payload::End(_) => break,
            _ => {}
        }
        let Some(rest) = bytes.get(skipped..) else {
            break;
        };
        bytes = rest;
    }
    found
}

/// The misfit of a component whose types can't be read.
fn misfit(bytes: &[u8], reason: String) -> Misfit {
    // There is no error type to match on.
    if !reason.contains("component model async") {
        return Misfit::Invalid(reason);
    }
    let wrote =
        |made: &str| made.is_empty() || memchr::memmem::find(bytes, made.as_bytes()).is_some();
    let made = SYNCHRONOUS.iter().find(|(made, _)| wrote(made));
    let remedy = made.map_or("build it without", |(_, remedy)| remedy);
    Misfit::World(format!(
        "needs component-model async, which rules are not granted, since they never wait: {remedy}"
    ))
}

/// The contract that a component was built for, one type per line; for the test that compares it
/// with the WIT.
///
/// # Errors
/// The reason why it has none.
pub fn contract_of(bytes: &[u8]) -> Result<String, String> {
    let surface = read(bytes)?;
    let types = surface.types.as_ref();
    rules(types, &surface.exports).map(|(_, rules)| contract::text(types, rules))
}

fn rules(
    types: TypesRef<'_>,
    exports: &[String],
) -> Result<(ContractVersion, ComponentInstanceTypeId), String> {
    let known = ContractVersion::ALL.iter().find_map(|version| {
        let item = types.component_item_for_export(version.export())?;
        Some((*version, item))
    });
    let Some((version, item)) = known else {
        return Err(unknown(exports));
    };
    let export = version.export();
    let ComponentEntityType::Instance(rules) = item.ty else {
        return Err(format!("exports `{export}`, but not as an interface"));
    };
    let exports = types.get(rules).map(|rules| &rules.exports);
    let lacks = |function: &&&str| !exports.is_some_and(|exports| exports.contains_key(**function));
    match FUNCTIONS.iter().find(lacks) {
        Some(function) => Err(format!("`{export}` lacks the function `{function}`")),
        None => Ok((version, rules)),
    }
}

/// The error of a component without rules of a contract that this host knows: says whether another
/// host or another SDK is needed.
fn unknown(exports: &[String]) -> String {
    let [present, ..] = ContractVersion::ALL;
    let Some(other) = exports.iter().find(|name| name.starts_with(RULES)) else {
        return format!(
            "does not export `{}` (it exports {})",
            present.export(),
            listed(exports)
        );
    };
    let taken: Vec<_> = (ContractVersion::ALL.iter())
        .map(|version| format!("`{}`", version.export()))
        .collect();
    let remedy = if number(other) > number(present.export()) {
        "run it on a newer host, or build it again"
    } else {
        "build it again"
    };
    format!(
        "was built for the contract `{other}`, and this host takes {}: {remedy} with the saga-sdk of this host ({})",
        taken.join(" and "),
        env!("CARGO_PKG_VERSION")
    )
}

/// The version at the end of an export's name, in parts.
fn number(export: &str) -> Vec<u64> {
    let (_, version) = export.rsplit_once('@').unwrap_or_default();
    version
        .split('.')
        .map_while(|part| part.parse().ok())
        .collect()
}

/// A list of names, cut to a readable length.
fn listed(names: &[String]) -> String {
    const MOST: usize = 8;
    if names.is_empty() {
        return "nothing".into();
    }
    let quoted: Vec<_> = names
        .iter()
        .take(MOST)
        .map(|name| format!("`{name}`"))
        .collect();
    match names.len().saturating_sub(MOST) {
        0 => quoted.join(", "),
        more => format!("{} and {more} more", quoted.join(", ")),
    }
}

/// Reads a component's types.
fn read(bytes: &[u8]) -> Result<Surface, String> {
    // As the engine that is to run it.
    let features = WasmFeatures::default() - WasmFeatures::CM_ASYNC;
    let mut validator = Validator::new_with_features(features);
    let mut exports = Vec::new();
    let mut depth = 0_usize;
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| error.to_string())?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section.clone() {
                    let export = export.map_err(|error| error.to_string())?;
                    exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
        let valid = validator.payload(&payload);
        // The last one is that of the component itself.
        if let ValidPayload::End(found) = valid.map_err(|error| error.to_string())? {
            types = Some(found);
        }
    }
    Ok(Surface {
        exports,
        types: types.ok_or("it ends before its end")?,
    })
}
