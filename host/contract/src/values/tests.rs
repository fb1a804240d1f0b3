#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;
use crate::description::{Command, CommandKind, KeySource, Method};
use crate::fixture::{command, sound};

fn schema(document: &Value) -> Schema {
    Schema::compile(&document.to_string()).unwrap()
}

fn places(schema: &Schema, body: &Value) -> Vec<BodyError> {
    match schema.check(body, body.to_string().len()) {
        Ok(()) => Vec::new(),
        Err(SchemaError::Places(places)) => places,
        Err(SchemaError::Broke) => unreachable!("the validator broke"),
    }
}

#[test]
fn every_wrong_place_is_named() {
    let schema = schema(&json!({
        "type": "object",
        "required": ["a", "b"],
        "properties": {"a": {"type": "string"}, "b": {"type": "number"}},
    }));
    let places = places(&schema, &json!({"a": 1}));
    let pointers: Vec<_> = places.iter().map(|place| place.pointer.as_str()).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(
        pointers.contains(&"/a") && pointers.contains(&""),
        "{places:?}"
    );
}

#[test]
fn numbers_are_compared_in_all_their_digits() {
    let schema = schema(&json!({"type": "number", "maximum": 1_000_000_000_000_i64}));
    let takes = |text: &str| places(&schema, &serde_json::from_str(text).unwrap()).is_empty();
    assert!(takes("1000000000000"));
    assert!(!takes("1000000000000.0000000000000000000001"));
    assert!(!takes("123456789012345678901234567890"));
}

#[test]
fn a_huge_value_is_not_quoted_whole() {
    let schema = schema(&json!({"type": "number"}));
    let places = places(&schema, &Value::String("ü".repeat(100_000)));
    assert!(places.iter().all(|place| place.detail.len() < 1_100));
}

/// A tree of nodes with one or two branches, or with other alternatives that no single member tells
/// apart.
fn tree() -> Value {
    let node = |members: Value, required: Value| json!({"type": "object", "properties": members, "required": required});
    let tree = json!({"$ref": "#/$defs/tree"});
    json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"oneOf": [
        node(json!({"kind": {"const": "node"}, "child": tree}), json!(["kind", "child"])),
        node(json!({"kind": {"enum": ["node", "pair"]}, "child": tree, "other": tree}), json!(["kind", "child", "other"])),
        node(json!({"kind": {"const": "leaf"}, "value": {"type": "integer"}}), json!(["kind", "value"])),
    ]}}})
}

fn nested(depth: usize, leaf: Value) -> Value {
    (0..depth).fold(leaf, |child, _| json!({"kind": "node", "child": child}))
}

#[test]
fn invariant_9_a_small_body_takes_no_long_check_whatever_the_schema() {
    let schema = schema(&tree());
    let leaf = |value: Value| json!({"kind": "leaf", "value": value});
    for depth in [12, 40, 100] {
        let began = Instant::now();
        assert_eq!(places(&schema, &nested(depth, leaf(json!(1)))), []);
        let wrong = places(&schema, &nested(depth, leaf(json!("one"))));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        // Generous for a loaded machine; without the bound it took minutes.
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "{:?}",
            began.elapsed()
        );
    }
    let wrong = places(&schema, &nested(100, leaf(json!("one"))));
    assert!(wrong[0].detail.contains("steps to say where"), "{wrong:?}");
    // A place that few steps lead to is reported.
    let wrong = places(&schema, &nested(1, leaf(json!("one"))));
    assert!(!wrong[0].detail.contains("steps"), "{wrong:?}");
}

#[test]
fn invariant_9_schemas_that_stand_for_many_others_end_by_their_steps() {
    let mut defs = serde_json::Map::new();
    for level in 0..14 {
        let next = json!({"$ref": format!("#/$defs/level{}", level + 1)});
        defs.insert(format!("level{level}"), json!({"allOf": [next, next]}));
    }
    defs.insert("level14".into(), json!({"type": "integer"}));
    let schema = schema(&json!({"items": {"$ref": "#/$defs/level0"}, "$defs": defs}));
    let wrong = places(&schema, &json!([1, 2, 3, 4]));
    assert!(wrong[0].detail.contains("steps to check this"), "{wrong:?}");
}

#[test]
fn invariant_9_alternatives_that_all_fail_end_by_their_steps() {
    let mut defs = serde_json::Map::new();
    for level in 0..12 {
        let next = json!({"$ref": format!("#/$defs/level{}", level + 1)});
        let one = json!({"type": "object", "properties": {"child": next}});
        defs.insert(format!("level{level}"), json!({"oneOf": vec![one; 5]}));
    }
    defs.insert("level12".into(), json!({"type": "integer"}));
    let schema = schema(&json!({"$ref": "#/$defs/level0", "$defs": defs}));
    let body = (0..12).fold(json!("wrong"), |child, _| json!({"child": child}));
    let wrong = places(&schema, &body);
    assert!(wrong[0].detail.contains("steps to check this"), "{wrong:?}");
}

#[test]
fn invariant_9_conditions_that_fail_end_by_their_steps() {
    let mut defs = serde_json::Map::new();
    for level in 0..26 {
        let next = json!({"$ref": format!("#/$defs/level{}", level + 1)});
        let one = json!({"properties": {"child": next}});
        defs.insert(format!("level{level}"), json!({"if": one, "else": one}));
    }
    defs.insert("level26".into(), json!({"type": "integer"}));
    let schema = schema(&json!({"$ref": "#/$defs/level0", "$defs": defs}));
    let body = (0..26).fold(json!("wrong"), |child, _| json!({"child": child}));
    let wrong = places(&schema, &body);
    assert!(wrong[0].detail.contains("steps to check this"), "{wrong:?}");
}

#[test]
fn invariant_9_what_is_looked_at_again_on_each_level_ends_by_its_steps() {
    let node = json!({"$ref": "#/$defs/node"});
    let schema = schema(&json!({"$ref": "#/$defs/node", "$defs": {"node": {
        "type": "object",
        "anyOf": [{"properties": {"c": node}}, {"properties": {"c": node, "d": node}}],
        "unevaluatedProperties": false,
    }}}));
    let deep = |innermost| (0..60).fold(innermost, |inner, _| json!({"c": inner}));
    // Checking a match takes few steps, since the validator caches it; a mismatch does not.
    assert_eq!(places(&schema, &deep(json!({}))), []);
    let wrong = places(&schema, &deep(json!({"x": 1})));
    assert!(wrong[0].detail.contains("steps to say where"), "{wrong:?}");
}

#[test]
fn invariant_9_no_check_uses_up_the_stack_of_its_thread() {
    let chain = |length: usize| {
        let mut defs = serde_json::Map::new();
        for level in 0..length {
            let next = json!({"$ref": format!("#/$defs/level{}", level + 1)});
            defs.insert(
                format!("level{level}"),
                json!({"oneOf": [next, {"type": "integer"}]}),
            );
        }
        let inner = json!({"type": ["object", "string"], "properties": {"child": {"$ref": "#/$defs/level0"}}});
        defs.insert(format!("level{length}"), inner);
        json!({"$ref": "#/$defs/level0", "$defs": defs}).to_string()
    };
    let refused = Schema::compile(&chain(100)).err();
    assert!(refused.is_some_and(|reason| reason.contains("through more than 32 others")));
    let schema = Schema::compile(&chain(14)).unwrap();
    // As deep as a body may be, with the stack of the checking threads.
    let body = (0..126).fold(json!(1.5), |child, _| json!({"child": child}));
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let checked = thread.spawn(move || places(&schema, &body)).unwrap();
    assert!(!checked.join().unwrap().is_empty());
}

#[test]
fn invariant_9_many_wrong_places_are_not_gathered() {
    let schema = schema(&json!({"type": "array", "items": {"type": "string"}}));
    let body = Value::Array(vec![json!(1); 300_000]);
    let wrong = places(&schema, &body);
    assert_eq!(wrong.len(), 1);
    assert_eq!(wrong[0].pointer, "/0");
    // An ordinary body has all its errors reported.
    assert_eq!(places(&schema, &json!([1, "a", 2])).len(), 2);
}

#[test]
fn large_bodies_that_fit_have_the_steps_that_they_need() {
    let schema = schema(
        &json!({"type": "array", "items": {"$ref": "#/$defs/one"}, "$defs": {"one": {
            "type": "object",
            "properties": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
            "additionalProperties": false,
        }}}),
    );
    let body = Value::Array(vec![json!({"a": 1}); 100_000]);
    assert_eq!(places(&schema, &body), []);
}

#[test]
fn a_schema_without_a_bound_gets_a_remark() {
    let described = |request: Value| {
        let (kind, key) = (CommandKind::Create(None), KeySource::Generated);
        let act = Command {
            request: Some(request.to_string()),
            ..command("act", Method::Post, "/acts", kind, key)
        };
        remarks(&Description {
            commands: vec![act],
            ..sound()
        })
    };
    assert_eq!(described(tree()), Vec::<String>::new());
    let looks_ahead = described(json!({"type": "string", "pattern": "^(?=a)(a|aa)+$"}));
    assert!(
        looks_ahead[0].contains("request of command `act`: a pattern looks ahead"),
        "{looks_ahead:?}"
    );
}
