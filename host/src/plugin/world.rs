//! Why a component does not fit, in words of the WIT.
//!
//! wasmtime would refuse it too, but in words of its own type checker. This file looks first and
//! says what an author can act on.

use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use super::bindings::RULES_EXPORT;

/// Functions that the rules interface must have.
const FUNCTIONS: [&str; 3] = ["describe", "handle", "migrate"];

/// What may be imported: the contract's own types, which hold no function, and the interfaces of WASI
/// that the standard library imports and that the sandbox answers with nothing.
const GRANTED: [&str; 6] = [
    "saga:participant/types@",
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

/// Says what the bytes are, when they are not a component.
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

/// Says in which way the component differs from the world, when it does.
#[must_use]
pub fn mismatch(engine: &Engine, component: &Component) -> Option<String> {
    let ty = component.component_type();
    for (name, _) in ty.imports(engine) {
        if !GRANTED.iter().any(|granted| name.starts_with(granted)) {
            return Some(format!(
                "imports `{name}`, which rules are not granted: take out what needs it"
            ));
        }
    }
    let rules = ty.exports(engine).find(|(name, _)| *name == RULES_EXPORT);
    let Some((_, item)) = rules else {
        let exports: Vec<_> = ty
            .exports(engine)
            .map(|(name, _)| format!("`{name}`"))
            .collect();
        let has = if exports.is_empty() {
            "nothing".to_owned()
        } else {
            exports.join(", ")
        };
        return Some(format!(
            "does not export `{RULES_EXPORT}` (it exports {has})"
        ));
    };
    let ComponentItem::ComponentInstance(interface) = item.ty else {
        return Some(format!("exports `{RULES_EXPORT}`, but not as an interface"));
    };
    FUNCTIONS
        .iter()
        .find(|function| interface.get_export(engine, function).is_none())
        .map(|function| format!("`{RULES_EXPORT}` lacks the function `{function}`"))
}
