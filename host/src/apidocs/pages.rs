//! The pages for the `type` of problems.
//!
//! A page explains the meaning of a word: the host's own, and that of the rules if they have a
//! refusal of this name. Must not know: requests.

use saga_contract::description::Description;

use super::answers;
use super::problems::{self, Kind};
use super::resource::{Lasting, Resource};

/// Content security policy: the style beside the page, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Name of the style's file, beside the pages.
const STYLE: &str = "page.css";

/// The resource at this path below `/problems`: the list (`` or `/`), a page, the style.
pub(super) fn at(
    description: Option<&Description>,
    base_path: &str,
    below: &str,
) -> Option<Resource> {
    let name = match below {
        "" | "/" => return Some(list(description, base_path)),
        below => below.strip_prefix('/')?,
    };
    if name == STYLE {
        let style = include_str!("page.css");
        return Some(Resource::new(
            "text/css; charset=utf-8",
            style,
            Lasting::AnHour,
        ));
    }
    page(description, base_path, name)
}

/// The page of a problem, by its word, which may need percent-encoding.
fn page(description: Option<&Description>, base_path: &str, encoded: &str) -> Option<Resource> {
    let mut sections = String::new();
    let kind = Kind::ALL.iter().find(|kind| kind.word() == encoded);
    let mut found = kind.map(|kind| kind.word().to_owned());
    if let Some(kind) = kind {
        sections += &format!(
            "<p class=\"status\">HTTP status {}</p>\n<h2>What it means</h2>\n<p>{}</p>\n<h2>What to do</h2>\n<p>{}</p>\n",
            kind.status(),
            marked_up(kind.meaning()),
            marked_up(kind.remedy())
        );
    }
    for command in description
        .iter()
        .flat_map(|description| &description.commands)
    {
        let refusals = (command.refusals.iter())
            .filter(|refusal| problems::percent_encode(&refusal.code) == encoded);
        for refusal in refusals {
            found = Some(refusal.code.clone());
            sections += &format!(
                "<p class=\"status\">HTTP status {}, for <code>{} {}{}</code></p>\n<h2>What it means</h2>\n<p>{}</p>\n\
                 <h2>What to do</h2>\n<p>The rules refuse the request, and say why in <code>detail</code>. The same request is refused \
                 again for as long as that is so.</p>\n",
                answers::status(refusal.kind),
                command.method.as_str(),
                escape(base_path),
                escape(&command.path),
                escape(&refusal.summary)
            );
        }
    }
    let word = found?;
    let title = problems::title(&word);
    let body = format!(
        "<p class=\"word\"><code>{}</code></p>\n{sections}",
        escape(&word)
    );
    Some(html(base_path, &title, &body))
}

/// All problems of a participant, by status; without a participant, all kinds of the host's own.
fn list(description: Option<&Description>, base_path: &str) -> Resource {
    let mut rows: Vec<(u16, String, String)> = (Kind::ALL.iter())
        .filter(|kind| description.is_none() || !kind.is_of_admin_only())
        .map(|kind| {
            (
                kind.status(),
                kind.word().to_owned(),
                marked_up(kind.meaning()),
            )
        })
        .collect();
    for command in description
        .iter()
        .flat_map(|description| &description.commands)
    {
        for refusal in &command.refusals {
            rows.push((
                answers::status(refusal.kind),
                refusal.code.clone(),
                format!("{}: {}", escape(&command.name), escape(&refusal.summary)),
            ));
        }
    }
    rows.sort();
    let rows: String = rows
        .iter()
        .map(|(status, word, meaning)| {
            let href = escape(&problems::page(base_path, word));
            let word = escape(word);
            format!("<tr><td>{status}</td><td><a href=\"{href}\"><code>{word}</code></a></td><td>{meaning}</td></tr>\n")
        })
        .collect();
    let table = format!(
        "<table>\n<tr><th>status</th><th>kind</th><th>what it means</th></tr>\n{rows}</table>\n"
    );
    html(base_path, "Problems", &table)
}

fn html(base_path: &str, title: &str, body: &str) -> Resource {
    let title = escape(title);
    let place = format!("{}/problems", escape(base_path));
    let html = format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="stylesheet" href="{place}/{STYLE}">
</head>
<body>
<h1>{title}</h1>
{body}<p><a href="{place}">All kinds of problems</a></p>
</body>
</html>
"#
    );
    Resource::new("text/html; charset=utf-8", html, Lasting::Checked).with_policy(POLICY)
}

/// A text of the host's table as HTML: parts in backticks are code.
fn marked_up(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(at, part)| match at % 2 {
            0 => escape(part),
            _ => format!("<code>{}</code>", escape(part)),
        })
        .collect()
}

/// A text escaped for HTML and its attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    fn text(resource: &Resource) -> &str {
        std::str::from_utf8(&resource.body).unwrap()
    }

    #[test]
    fn every_kind_has_a_page_that_the_list_leads_to() {
        let list = at(None, "/b", "").unwrap();
        for kind in Kind::ALL {
            let page = at(None, "/b", &format!("/{}", kind.word())).unwrap();
            let html = text(&page);
            assert!(html.contains(&format!("<h1>{}</h1>", problems::title(kind.word()))));
            assert!(html.contains(&marked_up(kind.remedy())), "{html}");
            assert!(html.contains(&kind.status().to_string()), "{html}");
            let link = format!("href=\"/b/problems/{}\"", kind.word());
            assert!(text(&list).contains(&link), "{link}");
        }
        assert!(at(None, "/b", "/page.css").is_some());
        for none in [
            "/nothing",
            "/",
            "x",
            "//",
            "/bad-json/",
            "/bad-json/x",
            "/Bad-json",
        ] {
            assert_eq!(at(None, "/b", none).is_some(), none == "/", "{none}");
        }
    }

    #[test]
    fn backticks_become_code_and_markup_is_escaped() {
        assert_eq!(
            marked_up("Send `<a>` & \"b\"."),
            "Send <code>&lt;a&gt;</code> &amp; &quot;b&quot;."
        );
    }
}
