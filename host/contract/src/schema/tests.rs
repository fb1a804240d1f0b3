use serde_json::{Value, json};

use super::{Comparison, Sides, accepts};

const SIDES: Sides<'static> = Sides {
    whole: "the body",
    reader: "R",
    place: "in W",
    gone: "gone",
    optional: "optional",
};

fn told(found: &Comparison) -> Vec<String> {
    let breaks = found.breaks.iter().map(|one| one.told(&SIDES));
    let unclear = found.unclear.iter();
    let unclear = unclear.map(|one| match one.pointer.as_str() {
        "" => format!("? {}", one.what),
        pointer => format!("? {pointer} {}", one.what),
    });
    breaks.chain(unclear).collect()
}

/// Each case: the reader's schema, the writer's schema, the expected findings.
fn finds(cases: &[(Value, Value, &[&str])]) {
    for (reader, writer, expected) in cases {
        let found = told(&accepts(reader, writer));
        assert_eq!(found, *expected, "\nread {reader}\nwritten {writer}");
    }
}

/// An object with these members; `required` lists the required ones.
fn object(properties: Value, required: &[&str]) -> Value {
    json!({"type": "object", "properties": properties, "required": required})
}

#[test]
fn types_are_taken_where_all_of_them_are_read() {
    let is = |kind: &str| json!({"type": kind});
    finds(&[
        (is("string"), is("string"), &[]),
        (is("number"), is("integer"), &[]),
        (
            is("integer"),
            is("number"),
            &["the body may be a number with a fraction in W, and R takes an integer"],
        ),
        (
            is("integer"),
            is("string"),
            &["the body may be a string in W, and R takes an integer"],
        ),
        (json!({"type": ["string", "null"]}), is("string"), &[]),
        (json!({"type": "string", "nullable": true}), is("null"), &[]),
        (
            is("string"),
            json!({"type": ["string", "null"]}),
            &["the body may be null in W, and R takes a string"],
        ),
        (
            json!({"type": ["integer", "string"]}),
            json!({"type": ["number", "boolean", "string"]}),
            &[
                "the body may be a boolean or a number with a fraction in W, and R takes a string or an integer",
            ],
        ),
        (
            is("object"),
            json!({}),
            &["the body may be anything in W, and R takes an object"],
        ),
        (json!(true), json!({}), &[]),
        (json!({}), is("string"), &[]),
        (is("string"), json!(false), &[]),
        (
            json!(false),
            is("string"),
            &["the body may be a string in W, and R takes nothing"],
        ),
        // A schema with `properties` means an object.
        (
            is("object"),
            json!({"properties": {"a": {"type": "string"}}}),
            &[],
        ),
        (is("array"), json!({"items": {}}), &[]),
        (is("string"), json!({"minLength": 1}), &[]),
        (is("number"), json!({"minimum": 1}), &[]),
    ]);
}

#[test]
fn a_member_that_is_required_must_be_written_always() {
    let text = json!({"type": "string"});
    let both = json!({"a": text, "b": text});
    let one = json!({"a": text});
    finds(&[
        (
            object(both.clone(), &["a"]),
            object(one.clone(), &["a"]),
            &[],
        ),
        (
            object(one.clone(), &["a"]),
            object(both.clone(), &["a", "b"]),
            &[],
        ),
        (
            object(both.clone(), &["a", "b"]),
            object(one.clone(), &["a"]),
            &["/b is required by R but gone"],
        ),
        (
            object(both.clone(), &["a", "b"]),
            object(both.clone(), &["a"]),
            &["/b is required by R but optional"],
        ),
        (
            object(json!({}), &["x/y"]),
            object(json!({}), &[]),
            &["/x~1y is required by R but gone"],
        ),
        // An object with arbitrary members need not have this one.
        (
            object(one.clone(), &["a"]),
            json!({"type": "object", "additionalProperties": true}),
            &[
                "/a is required by R but optional",
                "? /a a member that the schema does not name",
            ],
        ),
        (
            object(one.clone(), &["a"]),
            json!({"type": "object", "required": ["a"]}),
            &["/a may be anything in W, and R takes a string"],
        ),
        // Required in one part, described in another.
        (
            object(one.clone(), &["a"]),
            json!({"allOf": [object(one.clone(), &[]), {"required": ["a"]}]}),
            &[],
        ),
        (
            object(one, &["a"]),
            json!({"properties": {"a": false}, "type": "object"}),
            &["/a is required by R but gone"],
        ),
    ]);
}

#[test]
fn members_are_compared_where_both_have_them_and_renamed_ones_are_found() {
    let order = |id: &str, kind: &str| {
        let details = object(json!({id: {"type": kind}}), &[id]);
        object(json!({"details": details}), &["details"])
    };
    finds(&[
        (
            order("customerId", "integer"),
            order("customer", "integer"),
            &["/details/customerId is required by R but gone"],
        ),
        (
            order("customerId", "integer"),
            order("customerId", "string"),
            &["/details/customerId may be a string in W, and R takes an integer"],
        ),
        // An optional member is still read if it is present.
        (
            object(json!({"a": {"type": "string"}}), &[]),
            object(json!({"a": {"type": "integer"}}), &[]),
            &["/a may be an integer in W, and R takes a string"],
        ),
        (
            object(json!({"a": {"type": "string"}}), &[]),
            object(json!({"b": {"type": "integer"}}), &["b"]),
            &[],
        ),
    ]);
}

#[test]
fn members_besides_are_read_past_unless_the_reader_says_otherwise() {
    let text = json!({"type": "string"});
    let closed =
        json!({"type": "object", "properties": {"a": text}, "additionalProperties": false});
    let of_numbers = json!({"type": "object", "properties": {"a": text}, "additionalProperties": {"type": "number"}});
    finds(&[
        (
            closed.clone(),
            object(json!({"a": text, "b": text}), &["b"]),
            &["/b may be there in W, and R takes no such member"],
        ),
        (closed.clone(), object(json!({"a": text}), &[]), &[]),
        (
            closed.clone(),
            json!({"type": "object", "properties": {"a": text}, "additionalProperties": true}),
            &["the body may be of any members in W, and R takes none but those that it names"],
        ),
        (
            of_numbers.clone(),
            object(json!({"a": text, "b": text}), &[]),
            &["/b may be a string in W, and R takes a number"],
        ),
        (
            of_numbers.clone(),
            json!({"type": "object", "additionalProperties": {"type": ["null", "integer"]}}),
            &[
                "/* may be null in W, and R takes a number",
                "/a may be an integer or null in W, and R takes a string",
            ],
        ),
        // A map becomes a struct.
        (
            object(json!({"a": text}), &[]),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            &["/a may be an integer in W, and R takes a string"],
        ),
        (
            object(json!({"a": text}), &[]),
            json!({"type": "object", "additionalProperties": true}),
            &["? /a a member that the schema does not name"],
        ),
        (object(json!({"a": text}), &[]), closed, &[]),
    ]);
}

#[test]
fn how_many_members_there_are_is_compared() {
    let text = json!({"type": "string"});
    finds(&[
        (
            json!({"type": "object", "minProperties": 2}),
            object(json!({"a": text, "b": text}), &["a", "b"]),
            &[],
        ),
        (
            json!({"type": "object", "minProperties": 2}),
            object(json!({"a": text, "b": text}), &["a"]),
            &["the body may be of fewer than 2 members in W, and R takes at least 2"],
        ),
        (
            json!({"type": "object", "maxProperties": 1}),
            object(json!({"a": text}), &[]),
            &[],
        ),
        (
            json!({"type": "object", "maxProperties": 1}),
            json!({"type": "object", "additionalProperties": text}),
            &["the body may be of more than 1 members in W, and R takes at most 1"],
        ),
    ]);
}

#[test]
fn values_that_are_listed_must_be_among_those_that_are_read() {
    let of = |values: &[&str]| json!({"type": "string", "enum": values});
    let each = |values: &[&str]| {
        let values: Vec<_> = values.iter().map(|value| json!({"const": value})).collect();
        json!({"oneOf": values})
    };
    finds(&[
        (of(&["A", "B"]), of(&["B"]), &[]),
        (
            of(&["A", "B"]),
            of(&["B", "C"]),
            &[r#"the body may be `"C"` in W, and R takes `"A"` or `"B"`"#],
        ),
        (
            each(&["A", "B"]),
            each(&["A", "B", "C"]),
            &[r#"the body may be `"C"` in W, and R takes `"A"` or `"B"`"#],
        ),
        (each(&["A", "B"]), of(&["A"]), &[]),
        (of(&["A", "B"]), json!({"const": "A"}), &[]),
        (
            of(&["A"]),
            json!({"type": "string"}),
            &[r#"the body may be any string in W, and R takes `"A"`"#],
        ),
        (json!({"type": "string"}), of(&["A"]), &[]),
        (
            json!({"type": "integer"}),
            of(&["A"]),
            &[r#"the body may be `"A"` in W, and R takes an integer"#],
        ),
        (
            json!({"enum": [true, false, null]}),
            json!({"type": ["boolean", "null"]}),
            &[],
        ),
        (
            json!({"const": true}),
            json!({"type": "boolean"}),
            &["the body may be any boolean in W, and R takes `true`"],
        ),
        (json!({"const": 1}), json!({"const": 1.0}), &[]),
        (
            json!({"type": "integer", "minimum": 2}),
            json!({"enum": [1, 2, 3]}),
            &["the body may be `1` in W, and R takes an integer"],
        ),
        (
            json!({"type": "string", "maxLength": 2}),
            json!({"enum": ["ab", "abc"]}),
            &[r#"the body may be `"abc"` in W, and R takes a string"#],
        ),
        (
            object(json!({"a": {"type": "integer"}}), &["a"]),
            json!({"enum": [{"a": 1}, {"a": "1"}, {}]}),
            &[r#"the body may be `{"a":"1"}` or `{}` in W, and R takes an object"#],
        ),
        (
            json!({"not": {"const": 1}}),
            json!({"enum": [1, 2]}),
            &["the body may be `1` in W, and R takes other values"],
        ),
        (
            json!({"type": "string", "pattern": "^a"}),
            json!({"enum": ["b"]}),
            &["? a value that is listed"],
        ),
    ]);
}

#[test]
fn bounds_of_numbers_must_not_be_wider_than_those_that_are_read() {
    fn number(rest: Value) -> Value {
        with("number", rest)
    }
    fn integer(rest: Value) -> Value {
        with("integer", rest)
    }
    finds(&[
        (
            number(json!({"minimum": 0})),
            number(json!({"minimum": 0})),
            &[],
        ),
        (
            number(json!({"minimum": 0})),
            number(json!({"exclusiveMinimum": 0})),
            &[],
        ),
        (
            number(json!({"minimum": 0})),
            number(json!({})),
            &["the body may be less than 0 in W, and R takes at least 0"],
        ),
        (
            number(json!({"exclusiveMinimum": 0})),
            number(json!({"minimum": 0})),
            &["the body may be 0 or less in W, and R takes more than 0"],
        ),
        (
            integer(json!({"minimum": 1})),
            integer(json!({"exclusiveMinimum": 0})),
            &[],
        ),
        (
            integer(json!({"exclusiveMinimum": 0})),
            integer(json!({"minimum": 1})),
            &[],
        ),
        (
            number(json!({"maximum": 10.5})),
            number(json!({"maximum": 11})),
            &["the body may be more than 10.5 in W, and R takes at most 10.5"],
        ),
        (
            number(json!({"exclusiveMaximum": 10})),
            number(json!({"maximum": 10})),
            &["the body may be 10 or more in W, and R takes less than 10"],
        ),
        (
            number(json!({"minimum": 0, "exclusiveMinimum": true})),
            number(json!({"minimum": 0})),
            &["the body may be 0 or less in W, and R takes more than 0"],
        ),
        (
            integer(json!({"maximum": 9_223_372_036_854_775_807_u64})),
            integer(json!({"maximum": 9_223_372_036_854_775_808_u64})),
            &[
                "the body may be more than 9223372036854775807 in W, and R takes at most 9223372036854775807",
            ],
        ),
        (
            number(json!({"multipleOf": 2})),
            number(json!({"multipleOf": 4})),
            &[],
        ),
        (integer(json!({"multipleOf": 1})), integer(json!({})), &[]),
        (
            number(json!({"multipleOf": 2})),
            number(json!({"multipleOf": 3})),
            &["the body may be another number in W, and R takes multiples of 2"],
        ),
    ]);
}

fn with(kind: &str, mut rest: Value) -> Value {
    rest["type"] = json!(kind);
    rest
}

#[test]
fn the_width_of_integers_is_compared() {
    let of = |format: &str| json!({"type": "integer", "format": format});
    finds(&[
        (of("int64"), of("int32"), &[]),
        (of("int64"), of("uint32"), &[]),
        (of("int64"), json!({"type": "integer"}), &[]),
        (
            of("int32"),
            of("int64"),
            &[
                "the body may be less than -2147483648 in W, and R takes `int32`",
                "the body may be more than 2147483647 in W, and R takes `int32`",
            ],
        ),
        (
            of("int64"),
            of("uint64"),
            &["the body may be more than 9223372036854775807 in W, and R takes `int64`"],
        ),
        (
            json!({"type": "integer", "format": "uint64", "minimum": 0}),
            of("int64"),
            &["the body may be less than 0 in W, and R takes at least 0"],
        ),
        (
            of("uint8"),
            json!({"type": "integer"}),
            &["? the format `uint8`"],
        ),
        (
            of("uint8"),
            json!({"type": "integer", "minimum": 1, "maximum": 9}),
            &[],
        ),
    ]);
}

#[test]
fn lengths_patterns_and_formats_of_texts_are_compared() {
    fn text(rest: Value) -> Value {
        with("string", rest)
    }
    finds(&[
        (
            text(json!({"minLength": 1})),
            text(json!({"minLength": 2})),
            &[],
        ),
        (
            text(json!({"minLength": 2})),
            text(json!({"minLength": 1})),
            &["the body may be of fewer than 2 characters in W, and R takes at least 2"],
        ),
        (text(json!({"minLength": 0})), text(json!({})), &[]),
        (
            text(json!({"maxLength": 9})),
            text(json!({"maxLength": 9})),
            &[],
        ),
        (
            text(json!({"maxLength": 9})),
            text(json!({})),
            &["the body may be of more than 9 characters in W, and R takes at most 9"],
        ),
        (
            text(json!({"pattern": "^a"})),
            text(json!({"pattern": "^a", "minLength": 1})),
            &[],
        ),
        (
            text(json!({"pattern": "^a"})),
            text(json!({})),
            &["the body may be any text in W, and R takes texts that match `^a`"],
        ),
        (
            text(json!({"pattern": "^a"})),
            text(json!({"pattern": "^ab"})),
            &["? `pattern`"],
        ),
        (
            text(json!({})),
            text(json!({"pattern": "^ab", "format": "uuid"})),
            &[],
        ),
        (
            text(json!({"format": "uuid"})),
            text(json!({"format": "uuid"})),
            &[],
        ),
        (
            text(json!({"format": "iri-reference"})),
            text(json!({"format": "uri"})),
            &[],
        ),
        (
            text(json!({"format": "uuid"})),
            text(json!({})),
            &["the body may be any text in W, and R takes the format `uuid`"],
        ),
        (
            text(json!({"format": "date"})),
            text(json!({"format": "date-time"})),
            &["the body may be of the format `date-time` in W, and R takes the format `date`"],
        ),
        (
            text(json!({"format": "shelf"})),
            text(json!({})),
            &["? the format `shelf`"],
        ),
    ]);
}

#[test]
fn items_of_arrays_are_compared() {
    fn of(rest: Value) -> Value {
        with("array", rest)
    }
    let (text, number) = (json!({"type": "string"}), json!({"type": "number"}));
    finds(&[
        (
            of(json!({"items": number})),
            of(json!({"items": {"type": "integer"}})),
            &[],
        ),
        (
            of(json!({"items": object(json!({"a": text}), &["a"])})),
            of(json!({"items": object(json!({"a": number}), &["a"])})),
            &["/*/a may be a number in W, and R takes a string"],
        ),
        (
            of(json!({"items": text})),
            of(json!({})),
            &["/* may be anything in W, and R takes a string"],
        ),
        (of(json!({"items": text})), of(json!({"maxItems": 0})), &[]),
        (of(json!({"items": text})), of(json!({"items": false})), &[]),
        (
            of(json!({"prefixItems": [text, number]})),
            of(json!({"prefixItems": [text, text], "items": false})),
            &["/1 may be a string in W, and R takes a number"],
        ),
        (
            of(json!({"prefixItems": [text], "items": number})),
            of(json!({"items": text})),
            &["/* may be a string in W, and R takes a number"],
        ),
        // The form of older drafts.
        (
            of(json!({"items": [text], "additionalItems": number})),
            of(json!({"items": text, "maxItems": 1})),
            &[],
        ),
        (
            of(json!({"items": false, "prefixItems": [text]})),
            of(json!({"items": text})),
            &["/* may be a string in W, and R takes nothing"],
        ),
        (
            of(json!({"minItems": 1})),
            of(json!({})),
            &["the body may be of fewer than 1 items in W, and R takes at least 1"],
        ),
        (
            of(json!({"maxItems": 3})),
            of(json!({"maxItems": 4})),
            &["the body may be of more than 3 items in W, and R takes at most 3"],
        ),
        (
            of(json!({"uniqueItems": true})),
            of(json!({})),
            &["the body may be of equal items in W, and R takes items that differ"],
        ),
        (
            of(json!({"uniqueItems": true})),
            of(json!({"uniqueItems": true})),
            &[],
        ),
    ]);
}

#[test]
fn alternatives_are_found_for_each_that_is_written() {
    let tagged = |tag: &str, rest: Value| {
        let mut properties = rest;
        properties["tag"] = json!({"const": tag});
        object(properties, &["tag"])
    };
    let card = tagged("card", json!({"number": {"type": "string"}}));
    let cash = tagged("cash", json!({}));
    let text_or_null = json!({"anyOf": [{"type": "string"}, {"type": "null"}]});
    finds(&[
        (json!({"oneOf": [card, cash]}), cash.clone(), &[]),
        (
            json!({"oneOf": [card, cash]}),
            json!({"oneOf": [cash, card]}),
            &[],
        ),
        (
            json!({"oneOf": [card]}),
            json!({"oneOf": [cash, card]}),
            &[r#"/tag may be `"cash"` in W, and R takes `"card"`"#],
        ),
        // The alternative with the same tag is reported.
        (
            json!({"oneOf": [cash, tagged("card", json!({"number": {"type": "integer"}}))]}),
            card.clone(),
            &["/number may be a string in W, and R takes an integer"],
        ),
        (
            text_or_null.clone(),
            json!({"type": ["string", "null"]}),
            &[],
        ),
        (
            json!({"type": ["string", "null"]}),
            text_or_null.clone(),
            &[],
        ),
        (
            text_or_null.clone(),
            json!({"type": ["string", "integer"]}),
            &["the body may be an integer in W, and R takes a string or null"],
        ),
        (
            json!({"type": "string"}),
            text_or_null,
            &["the body may be null in W, and R takes a string"],
        ),
        (
            json!({"anyOf": [{"type": "integer"}, {"type": "number"}]}),
            json!({"type": "number"}),
            &[],
        ),
        (
            json!({"allOf": [{"type": "number"}, {"minimum": 0}]}),
            json!({"type": "number"}),
            &["the body may be less than 0 in W, and R takes at least 0"],
        ),
        (
            json!({"type": "number", "minimum": 0}),
            json!({"allOf": [{"type": "number"}, {"minimum": 0}]}),
            &[],
        ),
        (
            json!({"type": "string"}),
            json!({"allOf": [{"type": ["string", "null"]}, {"type": ["string", "integer"]}]}),
            &[],
        ),
        // A struct with an enum flattened into it.
        (
            json!({"type": "object", "properties": {"id": {"type": "integer"}}, "oneOf": [card, cash]}),
            json!({"type": "object", "properties": {"id": {"type": "integer"}}, "oneOf": [card, cash], "required": ["id"]}),
            &[],
        ),
    ]);
}

#[test]
fn references_are_followed_and_schemas_may_contain_themselves() {
    let tree = |kind: &str, name: &str| {
        json!({"$ref": "#/$defs/Tree", "$defs": {"Tree": {"type": "object", "required": ["label"], "properties": {
            "label": {"type": kind},
            "branches": {"type": "array", "items": {"$ref": format!("#/$defs/{name}")}},
        }}}})
    };
    let mut renamed = tree("string", "Branch");
    renamed["$defs"]["Branch"] = json!({"$ref": "#/$defs/Tree"});
    finds(&[
        (tree("string", "Tree"), renamed.clone(), &[]),
        (renamed, tree("string", "Tree"), &[]),
        (
            tree("string", "Tree"),
            tree("integer", "Tree"),
            &[
                "/branches/*/label may be an integer in W, and R takes a string",
                "/label may be an integer in W, and R takes a string",
            ],
        ),
        (
            json!({"$ref": "#/definitions/A", "definitions": {"A": {"type": "string"}}}),
            json!({"type": "integer"}),
            &["the body may be an integer in W, and R takes a string"],
        ),
        (
            json!({"$ref": "https://example.com/schema"}),
            json!({"type": "integer"}),
            &["? the reference `https://example.com/schema`"],
        ),
        (
            json!({"$ref": "#/$defs/none"}),
            json!({"type": "integer"}),
            &["? the reference `#/$defs/none`"],
        ),
        (
            json!({"type": "integer"}),
            json!({"$ref": "#/$defs/none", "type": "integer"}),
            &["? what is written has too many alternatives, or refers to other documents, and"],
        ),
    ]);
}

#[test]
fn what_cannot_be_compared_is_fine_where_it_is_the_same_and_unclear_elsewhere() {
    for (keyword, value, kind) in [
        ("not", json!({"const": 1}), "integer"),
        ("if", json!({"const": 1}), "integer"),
        ("propertyNames", json!({"maxLength": 3}), "object"),
        (
            "patternProperties",
            json!({"^x": {"type": "string"}}),
            "object",
        ),
        ("dependentRequired", json!({"a": ["b"]}), "object"),
        (
            "dependentSchemas",
            json!({"a": {"required": ["b"]}}),
            "object",
        ),
        ("unevaluatedProperties", json!(false), "object"),
        ("contains", json!({"type": "string"}), "array"),
        ("unevaluatedItems", json!(false), "array"),
    ] {
        let plain = json!({"type": kind});
        let mut special = json!({"type": kind, "title": "the same all the same"});
        special[keyword] = value;
        let mut other = special.clone();
        other["title"] = json!("another");
        assert_eq!(told(&accepts(&special, &other)), Vec::<String>::new());
        let found = told(&accepts(&special, &plain));
        assert_eq!(found, [format!("? `{keyword}`")], "{keyword}");
        if keyword != "patternProperties" {
            // It only narrows the written values.
            assert_eq!(told(&accepts(&plain, &special)), Vec::<String>::new());
        }
    }
    let referring = |kind: &str| json!({"type": "object", "propertyNames": {"$ref": "#/$defs/a"}, "$defs": {"a": {"type": kind}}});
    let found = accepts(&referring("string"), &referring("integer"));
    assert_eq!(told(&found), ["? `propertyNames`"]);
}

#[test]
fn maps_by_numbers_are_compared_by_what_is_in_them() {
    let map = |pattern: &str, value: Value| json!({"type": "object", "patternProperties": {pattern: value}, "additionalProperties": false});
    let digits = |kind: &str| map(r"^\d+$", json!({"type": kind}));
    let item = |name: &str| map(r"^\d+$", object(json!({name: {"type": "string"}}), &[name]));
    let mut named = digits("integer");
    named["properties"] = json!({"a": {"type": "integer"}});
    let mut open = digits("integer");
    open.as_object_mut().unwrap().remove("additionalProperties");
    finds(&[
        (digits("number"), digits("integer"), &[]),
        (
            digits("integer"),
            digits("string"),
            &["/* may be a string in W, and R takes an integer"],
        ),
        (item("a"), item("b"), &["/*/a is required by R but gone"]),
        (
            digits("integer"),
            map("^[a-z]$", json!({"type": "integer"})),
            &["? `patternProperties`"],
        ),
        // The names of the other members are not matched against the pattern.
        (digits("number"), named, &["? `patternProperties`"]),
        (digits("number"), open, &["? `patternProperties`"]),
        (
            digits("integer"),
            json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            &["? `patternProperties`"],
        ),
    ]);
}

#[test]
fn every_schema_takes_what_it_allows_itself() {
    for schema in [
        json!({"type": "object", "additionalProperties": {"$ref": "#"}}),
        json!({"anyOf": [{"enum": ["A"]}, {"type": "object", "properties": {"B": {"type": "array", "prefixItems": [{"type": "string"}]}}, "additionalProperties": false}]}),
        json!({"type": ["object", "null"], "properties": {"a": {"type": "number", "exclusiveMinimum": 0.5, "multipleOf": 0.25}}, "required": ["a"], "minProperties": 1}),
        json!({"type": "array", "items": {"type": "string", "pattern": "^a", "format": "uri"}, "uniqueItems": true, "minItems": 1}),
        json!({"oneOf": [{"type": "object", "properties": {"t": {"const": 1}}}, {"type": "object", "properties": {"t": {"const": 2}}}], "patternProperties": {"^x": {}}}),
    ] {
        let mut same = schema.clone();
        same["description"] = json!("In other words.");
        let found = accepts(&schema, &same);
        assert_eq!(told(&found), Vec::<String>::new(), "{schema}");
    }
}

#[test]
fn invariant_9_the_work_and_what_is_told_are_bounded() {
    // Each alternative of the one is compared with each of the other, at each level: 8^20
    // comparisons.
    let wide = |least: u64| {
        let level = |number: u64| {
            let next = json!({"$ref": format!("#/$defs/l{}", number + 1)});
            let alternatives: Vec<_> = (0..8)
                .map(|one| object(json!({format!("m{one}"): next, "next": next}), &["next"]))
                .collect();
            (format!("l{number}"), json!({"anyOf": alternatives}))
        };
        let mut levels: serde_json::Map<String, Value> = (0..20).map(level).collect();
        levels.insert(
            "l20".into(),
            json!({"type": "object", "minProperties": least}),
        );
        json!({"$ref": "#/$defs/l0", "$defs": levels})
    };
    let (narrow, wide) = (wide(99), wide(0));
    let found = accepts(&narrow, &wide);
    assert!(found.breaks.len() <= super::BREAKS, "{found:?}");
    assert!(found.unclear.len() <= super::BREAKS, "{found:?}");

    let mut deep = json!({"type": "integer"});
    let mut other = json!({"type": "string"});
    for _ in 0..100 {
        deep = json!({"type": "array", "items": deep});
        other = json!({"type": "array", "items": other});
    }
    let found = told(&accepts(&deep, &other));
    assert!(found[0].starts_with("? /*/*"), "{found:?}");

    // A reference to itself has no target.
    let itself = json!({"$ref": "#"});
    let _ = accepts(&itself, &json!({"type": "string"}));
    let _ = accepts(&json!({"type": "string"}), &itself);
    let cross = json!({"allOf": [{"$ref": "#"}, {"$ref": "#/anyOf/0"}], "anyOf": [{"$ref": "#"}, {"$ref": "#/allOf/1"}]});
    let _ = accepts(&cross, &json!({"type": "string"}));
    let _ = accepts(&json!({"type": "string"}), &cross);

    let many: Vec<_> = (0..100).map(|number| format!("m{number:03}")).collect();
    let names: Vec<_> = many.iter().map(String::as_str).collect();
    let found = accepts(&object(json!({}), &names), &object(json!({}), &[]));
    assert_eq!(found.breaks.len(), super::BREAKS);
    assert_eq!(found.breaks[0].pointer, "/m000");
}
