//! Interfaces of WASI that components import and rules are not granted.
//!
//! Toolchains of other languages import more than rules use: a JavaScript engine has `fetch`, so its
//! components import HTTP. Each function of such an interface is one that traps with its name, so
//! that the rules load, and a call is a fault. [`super::world`] has refused imports that are not of
//! WASI.

use wasmtime::Engine;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

use super::sandbox::Sandbox;

/// The packages that the sandbox provides, in any 0.2 version.
const PROVIDED: [&str; 6] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
    "wasi:sockets/",
];
const PROVIDED_VERSION: &str = "@0.2.";

/// The namespace of interfaces that may be imported and not granted.
const WASI: &str = "wasi:";

/// A resource as a component imports it, and the provided one.
type Known = Vec<(ResourceType, ResourceType)>;

/// The linker with a function that traps for each function of this component's imports that is not
/// in it.
///
/// # Errors
/// If an import can't be provided at all.
pub(super) fn refusing(
    linker: &Linker<Sandbox>,
    component: &Component,
) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = linker.clone();
    let engine = component.engine().clone();
    let ty = component.component_type();
    let imports = || {
        ty.imports(&engine)
            .filter_map(|(name, import)| match import.ty {
                ComponentItem::ComponentInstance(instance) => Some((name, instance)),
                _ => None,
            })
    };
    let mut known = Known::new();
    for (name, instance) in imports().filter(|(name, _)| is_provided(name)) {
        known.extend(provided_resources(&engine, name, &instance));
    }
    let refused = |name: &str| name.starts_with(WASI) && !is_provided(name);
    for (name, instance) in imports().filter(|(name, _)| refused(name)) {
        refuse(
            &mut linker.instance(name)?,
            &engine,
            name,
            &instance,
            &known,
        )?;
    }
    Ok(linker)
}

fn is_provided(interface: &str) -> bool {
    PROVIDED.iter().any(|one| interface.starts_with(one)) && interface.contains(PROVIDED_VERSION)
}

/// The resources of a provided interface that others use.
fn provided_resources(engine: &Engine, interface: &str, instance: &ComponentInstance) -> Known {
    let interface = interface.split('@').next().unwrap_or_default();
    let resources = instance.exports(engine).filter_map(|(name, export)| {
        let ComponentItem::Resource(imported) = export.ty else {
            return None;
        };
        let provided = match (interface, name) {
            ("wasi:io/error", "error") => ResourceType::host::<IoError>(),
            ("wasi:io/poll", "pollable") => ResourceType::host::<DynPollable>(),
            ("wasi:io/streams", "input-stream") => ResourceType::host::<DynInputStream>(),
            ("wasi:io/streams", "output-stream") => ResourceType::host::<DynOutputStream>(),
            _ => return None,
        };
        Some((imported, provided))
    });
    resources.collect()
}

/// Fills an interface with functions that trap.
fn refuse(
    linker: &mut LinkerInstance<'_, Sandbox>,
    engine: &Engine,
    interface: &str,
    instance: &ComponentInstance,
    known: &Known,
) -> wasmtime::Result<()> {
    for (name, export) in instance.exports(engine) {
        match export.ty {
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{interface} {name}");
                linker.func_new(name, move |_, _, _, _| Err(called(&function)))?;
            }
            ComponentItem::Resource(imported) => {
                let provided = known.iter().find(|(one, _)| *one == imported);
                // Nobody can make one of the others, so nobody destroys one.
                let ty = provided.map_or(ResourceType::host::<()>(), |(_, provided)| *provided);
                linker.resource(name, ty, |_, _| Ok(()))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn called(function: &str) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "called `{function}`, which rules are not granted: all that they know is in their \
         arguments, and all that they do is in their answer"
    ))
}
