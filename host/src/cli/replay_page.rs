//! The report of a replay as a page: one HTML file that needs no other, without scripts, for a
//! reviewer on a screen or on paper.
//!
//! Pure: values in, text out. All texts of the report are foreign and are escaped.

use std::fmt::Write as _;

use super::replay_text::{change, fault, fuel, headline, message, mode, own_fuel};
use crate::base::printable::escaped;
use crate::rollout::replay::report::{Example, ReplayReport};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--old:#b3261e;--new:#146c2e;--soft:#8881}
@media(prefers-color-scheme:dark){:root{--old:#ff8a80;--new:#7ddb8f}}
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--line)}
.soft{opacity:.75}table{border-collapse:collapse;width:100%;margin:.5rem 0}
th,td{text-align:left;vertical-align:top;padding:.25rem .6rem .25rem 0;border-bottom:1px solid var(--line)}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.counts{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:1rem 0}.counts b{display:block;font-size:1.6rem;line-height:1.2}
code,pre{font:13px/1.45 ui-monospace,monospace;overflow-wrap:anywhere}pre{white-space:pre-wrap;margin:0}
details{margin:.6rem 0;border:1px solid var(--line);border-radius:6px;padding:.4rem .8rem}
summary{cursor:pointer}summary b{float:right;font-variant-numeric:tabular-nums}
.example{margin:.7rem 0;padding-left:.8rem;border-left:3px solid var(--line)}
.old{color:var(--old)}.new{color:var(--new)}
@media print{:root{color-scheme:light;--old:#b3261e;--new:#146c2e}body{margin:0;max-width:none;font-size:11px}
code,pre{font-size:10px}.example,tr{break-inside:avoid}}";

/// The page.
pub(super) fn page(report: &ReplayReport) -> String {
    let mut page = String::new();
    let title = format!("Replay of {}", report.participant);
    let _ = writeln!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>{0}</title><style>{STYLE}</style></head><body>\n<h1>{0}</h1>\n\
         <p>{1}<br><span class=\"soft\">{2}</span></p>",
        html(&title),
        html(&headline(report)),
        html(&mode(report))
    );
    figures(&mut page, report);
    let asked = [
        (
            report.range.since.map(crate::base::clock::rfc3339_seconds),
            "since",
        ),
        (report.range.last.map(|last| last.to_string()), "last"),
        (report.range.key.clone(), "key"),
    ];
    for (value, name) in asked {
        if let Some(value) = value {
            let _ = writeln!(
                page,
                "<p class=\"soft\">{name}: <code>{}</code></p>",
                html(&value)
            );
        }
    }
    if let Some(rules) = &report.rules {
        let settings = rules
            .settings
            .as_ref()
            .map_or_else(String::new, |settings| {
                let settings = serde_json::to_string(settings).unwrap_or_default();
                format!("; settings <code>{}</code>", html(&settings))
            });
        let _ = writeln!(
            page,
            "<p class=\"soft\">rules <code>{}</code>{settings}<br>changes <code>{}</code></p>",
            html(&rules.digest),
            html(&report.change_set)
        );
    }
    changes(&mut page, report);
    messages(&mut page, report);
    without(&mut page, report);
    page.push_str("</body></html>\n");
    page
}

fn figures(page: &mut String, report: &ReplayReport) {
    page.push_str("<div class=\"counts\">");
    for (name, number) in [
        ("replayed", report.replayed),
        ("unchanged", report.unchanged),
        ("changed", report.changed),
        ("faults", report.faults),
        ("no baseline", report.not_replayed()),
    ] {
        let _ = write!(page, "<div><b>{number}</b>{name}</div>");
    }
    page.push_str("</div>\n");
    if report.is_impure() {
        page.push_str("<p>The rules are not a function of their input.</p>\n");
    }
    if let Some(fuel) = fuel(report.fuel) {
        let _ = writeln!(page, "<p>{}</p>", html(&fuel));
    }
    for line in report.own_fuel.iter().flat_map(own_fuel) {
        let _ = writeln!(page, "<p>{}</p>", html(&line));
    }
}

fn changes(page: &mut String, report: &ReplayReport) {
    page.push_str("<h2>What changes</h2>\n");
    if !report.has_changes() {
        let said = match (report.replayed, report.not_replayed()) {
            (0, _) => "No decision was made again.",
            (_, 0) => "Every decision is the same.",
            _ => "Every decision that was made again is the same.",
        };
        let _ = writeln!(page, "<p>{said}</p>");
    }
    let changes = (report.changes.iter()).map(|group| (change(group), &group.examples));
    let faults = (report.fault_groups.iter()).map(|group| (fault(group), &group.examples));
    for ((what, count), examples) in changes.chain(faults) {
        let _ = writeln!(
            page,
            "<details open><summary><b>{count}</b><code>{}</code></summary>",
            html(&what)
        );
        examples.iter().for_each(|one| example(page, one));
        page.push_str("</details>\n");
    }
}

fn example(page: &mut String, example: &Example) {
    let _ = write!(
        page,
        "<div class=\"example\"><p>{}</p>\n<table>",
        html(&message(example))
    );
    for part in &example.parts {
        let value = |value: &Option<serde_json::Value>| match value {
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        let _ = write!(
            page,
            "<tr><td><code>{} {}</code></td><td class=\"old\"><code>{}</code></td><td class=\"new\"><code>{}</code></td></tr>",
            html(&part.what),
            html(&part.pointer),
            html(&value(&part.decided)),
            html(&value(&part.would_decide))
        );
    }
    page.push_str("</table>\n<table>");
    let texts = [
        ("body", Some(&example.body)),
        ("state", example.state.as_ref()),
        ("its own state", example.own_state.as_ref()),
        ("decided", Some(&example.decided)),
        ("would decide", Some(&example.would_decide)),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            let _ = write!(
                page,
                "<tr><td class=\"soft\">{name}</td><td><pre>{}</pre></td></tr>",
                html(text)
            );
        }
    }
    page.push_str("</table></div>\n");
}

fn messages(page: &mut String, report: &ReplayReport) {
    if report.messages.is_empty() {
        return;
    }
    page.push_str(
        "<h2>By message</h2>\n<table><tr><th>message</th><th class=\"n\">replayed</th><th class=\"n\">changed</th>\
         <th class=\"n\">faults</th><th class=\"n\">fuel, times the recorded</th></tr>",
    );
    for one in &report.messages {
        let ratio = one.fuel.ratio().map(|ratio| format!("{ratio:.3}"));
        let _ = write!(
            page,
            "<tr><td>{} <code>{}</code></td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td \
             class=\"n\">{}</td></tr>",
            html(&one.origin),
            html(&one.name),
            one.replayed,
            one.changed,
            one.faults,
            ratio.unwrap_or_default()
        );
    }
    page.push_str("</table>\n");
}

fn without(page: &mut String, report: &ReplayReport) {
    if report.no_baseline.is_empty() {
        return;
    }
    page.push_str(
        "<h2>Not replayed</h2>\n<table><tr><th>reason</th><th class=\"n\">decisions</th><th>the first</th></tr>",
    );
    for one in &report.no_baseline {
        let _ = write!(
            page,
            "<tr><td>{}</td><td class=\"n\">{}</td><td>{}: {}</td></tr>",
            html(&one.reason),
            one.count,
            html(&one.key),
            html(&one.detail)
        );
    }
    page.push_str("</table>\n");
}

/// A foreign text, in the content of an element.
fn html(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in escaped(text).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            c => shown.push(c),
        }
    }
    shown
}
