//! Swagger UI for the OpenAPI document of a participant.
//!
//! Script and style are unpacked from the archive of a crate while the host is built (`host/build/swagger.rs`);
//! the page and its start script are the host's own. Nothing is loaded from other origins, and the
//! page's policy forbids it.

use std::sync::OnceLock;

use super::pages::escape;
use super::resource::{Lasting, Resource};

/// Content security policy: scripts, styles and requests of the same origin only. The images are
/// part of the style.
pub(super) const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Media type of JavaScript.
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page for the documents below this base path, with the participant's name as its title.
pub(super) fn page(participant: &str, base_path: &str) -> Resource {
    let participant = escape(participant);
    let base = escape(base_path);
    let (place, document) = (format!("{base}/swagger-ui"), format!("{base}/openapi.json"));
    // Absolute paths, since the page is served with and without a final slash.
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
    static FILES: OnceLock<[(&str, Resource); 4]> = OnceLock::new();
    let files = FILES.get_or_init(files);
    let (_, resource) = files.iter().find(|(known, _)| *known == name)?;
    Some(resource)
}

macro_rules! unpacked {
    ($name:literal) => {
        include_bytes!(concat!(env!("OUT_DIR"), "/", $name)).as_slice()
    };
}

fn files() -> [(&'static str, Resource); 4] {
    let script: &[u8] = include_bytes!("start.js");
    let files = [
        ("start.js", SCRIPT, script),
        (
            "swagger-ui-bundle.js",
            SCRIPT,
            unpacked!("swagger-ui-bundle.js"),
        ),
        (
            "swagger-ui.css",
            "text/css; charset=utf-8",
            unpacked!("swagger-ui.css"),
        ),
        (
            "favicon-32x32.png",
            "image/png",
            unpacked!("favicon-32x32.png"),
        ),
    ];
    files.map(|(name, media_type, bytes)| (name, Resource::new(media_type, bytes, Lasting::AnHour)))
}

#[cfg(test)]
#[allow(clippy::restriction, reason = "a test may stop at the first surprise")]
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
