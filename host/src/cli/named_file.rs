//! Files that are named on the command line: bounded, and `-` for standard input.

use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::Path;

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// What is wrong with the file; its name is left to the caller.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => stdin().take(most + 1).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes)),
    };
    read.map_err(|error| format!("can't be read: {error}"))?;
    match bytes.len() as u64 > most {
        true => Err(format!("is larger than {most} bytes")),
        false => Ok(bytes),
    }
}
