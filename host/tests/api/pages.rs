//! Swagger UI in a real browser: the article's walk, and a page after a swap that adds a route.
//!
//! The clicks and the texts to read are in `browser.cjs`. Each step leaves a picture in `target/api-tools/screenshots`.

use serde_json::{Value, json};

use crate::Test;
use crate::chameleon::{self, Chameleon};
use crate::support::{Host, saga};
use crate::tools::{Found, Tool, kept, run};

/// The tests of this file.
pub const TESTS: &[Test] = &[
    (
        "pages::the_walk_of_the_article",
        &[Tool::Node, Tool::Chromium],
        walk,
    ),
    (
        "pages::a_swap_adds_a_route",
        &[Tool::Node, Tool::Chromium],
        swap,
    ),
];

fn drive(found: &Found, what: &str, plan: Value) {
    let mut command = found.browser("browser.cjs");
    command.args([what, &plan.to_string()]);
    print!("{}", run(command));
}

fn walk(host: &Host, found: &Found) {
    let page = |participant| format!("{}/swagger-ui", host.url(participant));
    let plan =
        json!({"customer": page("customer"), "order": page("order"), "shots": kept("screenshots")});
    drive(found, "walk", plan);
}

fn swap(_: &Host, found: &Found) {
    let directory = tempfile::tempdir().unwrap();
    let (data, file) = (
        directory.path().join("data"),
        directory.path().join("chameleon.wasm"),
    );
    Chameleon::new().write(&file);
    let host = chameleon::start(&file, &data)
        .setting("reload.watch_ms", 0)
        .start();
    let more = directory.path().join("more.wasm");
    Chameleon::new()
        .version("2.0.0")
        .with(json!({"commands": [
            {"name": "count", "method": "POST", "path": "/counters/{key}"},
            {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
            {"name": "recount", "method": "PUT", "path": "/counters/{key}"},
        ]}))
        .write(&more);
    let saga = saga();
    let counters = "/counters/{key}";
    let plan = json!({
        "page": format!("{}/swagger-ui/", host.url("chameleon")),
        "saga": [saga.get_program().to_str(), "apply", "chameleon", more, "--data", data],
        "before": [["post", counters], ["get", counters]],
        "after": [["post", counters], ["get", counters], ["put", counters]],
        "shots": kept("screenshots"),
    });
    drive(found, "swap", plan);
    assert_eq!(
        chameleon::look(&host, "k"),
        json!({"count": 1, "by": "2.0.0"})
    );
    assert!(host.stop().success());
}
