//! Prepares files that the program embeds.
//!
//! # Layout
//!
//! - `engine`: the version of wasmtime
//! - `swagger`: the files of Swagger UI
//! - `sdk`: the SDK of each language, for the projects of authors

mod engine;
mod sdk;
mod swagger;

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build");
    let directory = std::env::var("OUT_DIR")?;
    let directory = Path::new(&directory);
    engine::tell_version()?;
    swagger::unpack(directory)?;
    sdk::embed(directory)
}
