//! Files that are named on the command line: bounded, and `-` for standard input.

use std::fs::File;
use std::io::{Read as _, stdin};
use std::path::Path;

/// Most bytes of the value of a record; no host takes more.
const VALUE_BYTES: u64 = 4 << 20;

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// An error of the file; the caller adds its name.
pub(super) fn read(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = match path == Path::new("-") {
        true => stdin().take(most + 1).read_to_end(&mut bytes),
        false => File::open(path).and_then(|file| {
            // A buffer that grows would be copied several times.
            let size = file.metadata()?.len().min(most);
            bytes.reserve(usize::try_from(size).unwrap_or_default().saturating_add(1));
            file.take(most + 1).read_to_end(&mut bytes)
        }),
    };
    read.map_err(|error| format!("can't be read: {error}"))?;
    match bytes.len() as u64 > most {
        true => Err(format!("is larger than {most} bytes")),
        false => Ok(bytes),
    }
}

/// Reads the value of a record, without the newline at its end, which editors add.
///
/// # Errors
/// As [`read`], and that it is not UTF-8.
pub(super) fn read_value(path: &Path) -> Result<String, String> {
    let bytes = read(path, VALUE_BYTES)?;
    let text = String::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}
