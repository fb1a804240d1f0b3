//! Bodies whose check against a schema would take ever more work: they are answered at once, whoever else asks is served, and
//! schemas for which the work has no bound are named.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::chameleon::{self, Chameleon};
use crate::commands::call;
use crate::expect::problem;
use crate::support::{Host, request, saga};

fn node(members: Value, required: Value) -> Value {
    json!({"type": "object", "properties": members, "required": required})
}

/// A tree whose nodes are told apart by what is in them.
fn tree() -> Value {
    let tree = json!({"$ref": "#/$defs/tree"});
    let mut alternatives: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .map(|other| {
            node(
                json!({"tag": {"type": "string"}, "child": tree, *other: {}}),
                json!(["tag", "child"]),
            )
        })
        .collect();
    alternatives.push(node(
        json!({"tag": {"const": "leaf"}, "value": {"type": "integer"}}),
        json!(["tag", "value"]),
    ));
    json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"oneOf": alternatives}}})
}

/// A node in which everything is looked at again on each level.
fn again() -> Value {
    let node = json!({"$ref": "#/$defs/node"});
    json!({"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object",
        "anyOf": [{"properties": {"child": node}}, {"properties": {"child": node, "other": node}}],
        "unevaluatedProperties": false,
    }}})
}

fn build(request: &Value) -> Chameleon {
    Chameleon::new().with(json!({"commands": [
        {"name": "count", "method": "POST", "path": "/counters/{key}", "request": request},
        {"name": "look", "method": "GET", "path": "/counters/{key}", "kind": "read"},
    ]}))
}

fn nested(depth: usize, leaf: Value) -> Value {
    (0..depth).fold(leaf, |child, _| json!({"tag": "n", "child": child}))
}

fn start(build: &Chameleon, directory: &std::path::Path) -> Host {
    let file = directory.join("chameleon.wasm");
    build.write(&file);
    chameleon::start(&file, directory).start()
}

#[test]
fn a_small_body_can_not_block_a_listener_whatever_its_schema() {
    let directory = tempfile::tempdir().unwrap();
    let host = start(&build(&tree()), directory.path());
    let wrong = nested(12, json!({"tag": "leaf", "value": "one"}));
    std::thread::scope(|scope| {
        let began = Instant::now();
        let clients: Vec<_> = (0..4)
            .map(|key| {
                let (host, wrong) = (&host, &wrong);
                scope.spawn(move || host.post("chameleon", &format!("/counters/{key}"), wrong))
            })
            .collect();
        let live = request("GET", &format!("{}/livez", host.admin()), &[], b"");
        assert_eq!(live.status, 200);
        for client in clients {
            let said = problem(&client.join().unwrap(), 422, "invalid-body");
            assert!(said.contains("does not fit the schema"), "{said}");
        }
        // It took minutes and gigabytes.
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{:?}",
            began.elapsed()
        );
    });
    let peak = host.peak_memory();
    assert!(peak < 1 << 30, "{peak} bytes");
    assert!(host.stop().success());
}

#[test]
fn a_schema_for_which_a_check_has_no_bound_is_named_and_the_check_is_ended() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("verified.wasm");
    for (schema, says) in [
        (again(), "`unevaluatedProperties` and contains itself"),
        (
            json!({"properties": {"a": {"pattern": "^(?=a)a+$"}}}),
            "a pattern looks ahead",
        ),
    ] {
        build(&schema).write(&file);
        let (code, out, said) = call(saga().arg("verify").arg(&file));
        assert_eq!(code, 0, "{said}");
        assert!(
            out.contains("request of command `count`") && out.contains(says),
            "{out}"
        );
    }
    build(&tree()).write(&file);
    let (_, out, _) = call(saga().arg("verify").arg(&file));
    assert!(!out.contains("note"), "{out}");
    let host = start(&build(&again()), directory.path());
    let deep = (0..60).fold(json!({"wrong": 1}), |child, _| json!({"child": child}));
    let refused = host.post("chameleon", "/counters/k", &deep);
    let said = problem(&refused, 422, "invalid-body");
    assert!(said.contains(" steps to say where"), "{said}");
    let taken = host.post("chameleon", "/counters/k", &json!({"child": {"child": {}}}));
    assert_eq!(taken.status, 200, "{}", taken.text());
    assert!(
        host.log()
            .contains("`unevaluatedProperties` and contains itself"),
        "{}",
        host.log()
    );
    assert!(host.stop().success());
}

#[test]
fn a_large_body_that_fits_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let items = json!({"type": "array", "items": {"type": "object", "properties": {"a": {"anyOf": [
        {"type": "string"}, {"type": "integer"},
    ]}}}});
    let host = start(
        &build(&json!({"properties": {"items": items}})),
        directory.path(),
    );
    let large = json!({"items": vec![json!({"a": 1}); 50_000]});
    let taken = host.post("chameleon", "/counters/k", &large);
    assert_eq!(taken.status, 200, "{}", taken.text());
    let wrong = json!({"items": vec![json!({"a": true}); 50_000]});
    let refused = host.post("chameleon", "/counters/k", &wrong);
    let said = problem(&refused, 422, "invalid-body");
    assert!(said.starts_with("/items/0"), "{said}");
    assert!(host.stop().success());
}
