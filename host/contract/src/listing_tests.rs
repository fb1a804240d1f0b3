//! The types of filters by their schemas, and the reading of their values.

#![allow(
    clippy::indexing_slicing,
    reason = "the fixture has what the tests change"
)]

use super::*;

#[test]
fn a_schema_says_what_kind_of_value_it_is_for() {
    for (schema, kind) in [
        (r#"{"type":"string"}"#, FilterType::Text),
        (
            r#"{"type":["integer","null"],"format":"int64"}"#,
            FilterType::Integer,
        ),
        (r#"{"type":"boolean"}"#, FilterType::Boolean),
        (r#"{"enum":["A","B",null]}"#, FilterType::Text),
        (r#"{"enum":[1,2]}"#, FilterType::Integer),
        (r#"{"const":true}"#, FilterType::Boolean),
        (
            r#"{"oneOf":[{"const":"A","description":"a"},{"type":"string","enum":["B"]}]}"#,
            FilterType::Text,
        ),
        (
            r#"{"anyOf":[{"type":"integer"},{"type":"null"}]}"#,
            FilterType::Integer,
        ),
    ] {
        assert_eq!(FilterType::of(schema), Ok(kind), "{schema}");
    }
    for schema in [
        "true",
        "{}",
        r#"{"type":"number"}"#,
        r#"{"type":"null"}"#,
        r#"{"type":["string","integer"]}"#,
        r#"{"enum":["A",1]}"#,
        r#"{"enum":[1.5]}"#,
        r#"{"oneOf":[{"const":"A"},{}]}"#,
        r#"{"minimum":1}"#,
    ] {
        let refused = FilterType::of(schema).unwrap_err();
        assert!(refused.contains("schema must say"), "{schema}: {refused}");
    }
}

#[test]
fn values_are_read_by_their_type_and_integers_to_the_last_digit() {
    let text = |text: &str| Ok(FilterValue::Text(text.into()));
    assert_eq!(FilterType::Text.read(""), text(""));
    assert_eq!(FilterType::Text.read("true"), text("true"));
    assert_eq!(
        FilterType::Boolean.read("true"),
        Ok(FilterValue::Boolean(true))
    );
    for wrong in ["", "TRUE", "1"] {
        FilterType::Boolean.read(wrong).unwrap_err();
    }
    for number in [i64::MIN, -1, 0, 9_007_199_254_740_993, i64::MAX] {
        let read = FilterType::Integer.read(&number.to_string());
        assert_eq!(read, Ok(FilterValue::Integer(number)));
    }
    for wrong in [
        "",
        " 1",
        "1.0",
        "1e3",
        "0x1",
        "9223372036854775808",
        "1'--",
        "01",
        "+1",
        "-0",
        "-01",
    ] {
        FilterType::Integer.read(wrong).unwrap_err();
    }
}

#[test]
fn values_that_a_schema_lists_can_be_told() {
    let told = |schema: &str| choices(schema).map(|choices| choices.join(" "));
    let listed =
        r#"{"oneOf":[{"const":"A","description":"a"},{"type":"string","enum":["B","C"]}]}"#;
    assert_eq!(told(listed).as_deref(), Some("A B C"));
    assert_eq!(told(r#"{"enum":[1,2]}"#).as_deref(), Some("1 2"));
    let open = r#"{"oneOf":[{"const":"A"},{"type":"string"}]}"#;
    for schema in [open, r#"{"type":"string"}"#, "true", "{"] {
        assert_eq!(told(schema), None, "{schema}");
    }
}

#[test]
fn a_wanted_value_is_found_in_a_state() {
    let state = json::parse(
        r#"{"text":"3","number":3,"point":3.0,"half":3.5,"yes":true,"none":null,"in":[{"a/b":-7}],"big":12345678901234567890}"#,
    )
    .unwrap();
    let text = || FilterValue::Text("3".into());
    for (pointer, value, is_so) in [
        ("/text", text(), true),
        ("/number", text(), false),
        ("/none", text(), false),
        ("/missing", text(), false),
        ("/number", FilterValue::Integer(3), true),
        ("/point", FilterValue::Integer(3), true),
        ("/half", FilterValue::Integer(3), false),
        ("/text", FilterValue::Integer(3), false),
        ("/in/0/a~1b", FilterValue::Integer(-7), true),
        ("/big", FilterValue::Integer(i64::MAX), false),
        ("/yes", FilterValue::Boolean(true), true),
        ("/yes", FilterValue::Boolean(false), false),
        ("/none", FilterValue::Boolean(false), false),
    ] {
        assert_eq!(value.is_at(pointer, &state), is_so, "{pointer} {value:?}");
    }
}
