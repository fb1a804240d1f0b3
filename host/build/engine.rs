//! Tells the program the version of wasmtime that it is built with, which wasmtime itself does not.

use std::error::Error;
use std::fs;

use toml::{Table, Value};

/// Sets `SAGA_WASMTIME` for the compilation.
pub(super) fn tell_version() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let lock: Table = fs::read_to_string("../Cargo.lock")?.parse()?;
    let packages = lock.get("package").and_then(Value::as_array);
    let mut packages = packages.into_iter().flatten();
    let is_engine = |one: &&Value| one.get("name").and_then(Value::as_str) == Some("wasmtime");
    let version = packages.find(is_engine).and_then(|one| one.get("version"));
    let version = version
        .and_then(Value::as_str)
        .ok_or("wasmtime is not locked")?;
    println!("cargo::rustc-env=SAGA_WASMTIME={version}");
    Ok(())
}
