//! Swagger UI for the OpenAPI document of a participant.
//!
//! Its script and style come as an archive in a crate, which is read when the page is first asked for; the page itself and what
//! starts it are the host's own. Nothing is loaded from elsewhere, and the policy of the page says so to the browser.

use std::sync::OnceLock;

use rawzip::ZipArchive;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

use super::pages::escape;
use super::resource::{Lasting, Resource};

/// Scripts, styles and requests of the same origin only. The images are part of the style.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Bytes of a file of the archive, of which the largest has 1.5 MB.
const FILE_BYTES: usize = 16 << 20;

/// The files of the archive that the page needs.
const FILES: [(&str, &str); 3] = [
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("favicon-32x32.png", "image/png"),
];

/// The page: titled after the participant, for the documents below this base path.
pub(super) fn page(participant: &str, base_path: &str) -> Resource {
    let participant = escape(participant);
    let base = escape(base_path);
    let (place, document) = (format!("{base}/swagger-ui"), format!("{base}/openapi.json"));
    // Absolute paths, since the page is served with and without a slash at its end.
    let html = format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{participant} – Swagger UI</title>
<link rel="stylesheet" href="{place}/swagger-ui.css">
<link rel="icon" type="image/png" href="{place}/favicon-32x32.png">
<script src="{place}/swagger-ui-bundle.js" defer></script>
<script src="{place}/start.js" defer></script>
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript; the document itself is <a href="{document}">openapi.json</a>.</noscript>
</body>
</html>
"#
    );
    Resource::new("text/html; charset=utf-8", html, Lasting::Checked).with_policy(POLICY)
}

/// A file of the page, by its name.
pub(super) fn file(name: &str) -> Option<&'static Resource> {
    static READ: OnceLock<Vec<(&str, Resource)>> = OnceLock::new();
    let files = READ.get_or_init(read);
    let (_, resource) = files.iter().find(|(known, _)| *known == name)?;
    Some(resource)
}

fn read() -> Vec<(&'static str, Resource)> {
    let mut files = vec![(
        "start.js",
        Resource::new(
            "text/javascript; charset=utf-8",
            include_str!("start.js"),
            Lasting::AnHour,
        ),
    )];
    for (name, media_type) in FILES {
        // A test reads every file of the archive that is linked into this program.
        match unpacked(name) {
            Some(bytes) => files.push((name, Resource::new(media_type, bytes, Lasting::AnHour))),
            None => tracing::error!("Swagger UI's archive has no {name} that can be read"),
        }
    }
    files
}

/// A file of the archive.
fn unpacked(name: &str) -> Option<Vec<u8>> {
    let archive = ZipArchive::from_slice(SWAGGER_UI_VENDORED).ok()?;
    let wanted = format!("/dist/{name}");
    let mut entries = archive.entries();
    while let Some(entry) = entries.next_entry().ok()? {
        if !entry.file_path().as_ref().ends_with(wanted.as_bytes()) {
            continue;
        }
        let packed = archive.get_entry(entry.wayfinder()).ok()?;
        return match entry.compression_method() {
            rawzip::CompressionMethod::DEFLATE => {
                miniz_oxide::inflate::decompress_to_vec_with_limit(packed.data(), FILE_BYTES).ok()
            }
            rawzip::CompressionMethod::STORE => Some(packed.data().to_vec()),
            _ => None,
        };
    }
    None
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_file_that_it_names() {
        let page = page("a<b", "/x");
        let html = std::str::from_utf8(&page.body).unwrap();
        assert!(
            html.contains("<title>a&lt;b – Swagger UI</title>"),
            "{html}"
        );
        assert!(!html.contains("://"), "{html}");
        let named: Vec<_> = html
            .split("\"/x/swagger-ui/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert_eq!(named.len(), 4, "{named:?}");
        for name in named {
            let file = file(name).unwrap_or_else(|| panic!("{name} is missing"));
            assert!(file.body.len() > 200, "{name}");
        }
        assert!(file("index.html").is_none());
    }
}
