//! Unpacks the files of Swagger UI that the host serves, for `src/apidocs/swagger.rs`.

use std::error::Error;
use std::path::Path;

use rawzip::{CompressionMethod, ZipArchive};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// Bytes of a file of the archive, of which the largest has 1.5 MB.
const FILE_BYTES: usize = 16 << 20;

/// The files that the page needs.
const FILES: [&str; 3] = [
    "favicon-32x32.png",
    "swagger-ui-bundle.js",
    "swagger-ui.css",
];

/// Writes the files to this directory.
pub(super) fn unpack(directory: &Path) -> Result<(), Box<dyn Error>> {
    for name in FILES {
        std::fs::write(directory.join(name), unpacked(name)?)?;
    }
    Ok(())
}

fn unpacked(name: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let archive = ZipArchive::from_slice(SWAGGER_UI_VENDORED)?;
    let wanted = format!("/dist/{name}");
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry()? {
        if !entry.file_path().as_ref().ends_with(wanted.as_bytes()) {
            continue;
        }
        let packed = archive.get_entry(entry.wayfinder())?;
        return match entry.compression_method() {
            CompressionMethod::DEFLATE => {
                let data = packed.data();
                miniz_oxide::inflate::decompress_to_vec_with_limit(data, FILE_BYTES)
                    .map_err(|error| format!("{name}: {error}").into())
            }
            CompressionMethod::STORE => Ok(packed.data().to_vec()),
            _ => Err(format!("{name} is packed by a method that is not known here").into()),
        };
    }
    Err(format!("the archive of Swagger UI has no {name}").into())
}
