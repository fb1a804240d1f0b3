//! The comparison of schemas against a validator: where it finds nothing, whatever the writer's schema allows the
//! reader's allows too. Schemas and values are made at random, from a seed.

use saga_contract::schema::accepts;
use serde_json::{Map, Value, json};

/// Pairs of schemas that are compared.
const PAIRS: u32 = 6_000;

/// Values that are tried on each pair.
const VALUES: u32 = 40;

/// The names of all members: a schema of an object names each, so that none is there that it does not name.
const NAMES: [&str; 2] = ["a", "b"];

/// Xorshift: the same numbers on each machine.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == 0
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())].clone()
    }

    fn schema(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 12 }) {
            0 => self.number(),
            1 => self.text(),
            2 => json!({"enum": [self.scalar(), self.scalar()]}),
            3 => {
                json!({"type": [self.pick(&["null", "boolean"]), self.pick(&["integer", "number", "string"])]})
            }
            4 => json!({"const": self.scalar()}),
            5 => json!({"type": self.kind()}),
            6 | 7 => self.object(depth),
            8 => self.array(depth),
            9 => json!({"anyOf": [self.schema(depth - 1), self.schema(depth - 1)]}),
            10 => json!({"allOf": [self.schema(depth - 1), self.schema(depth - 1)]}),
            _ => json!({"$ref": "#/$defs/shared"}),
        }
    }

    fn kind(&mut self) -> &'static str {
        self.pick(&["null", "boolean", "integer", "number", "string"])
    }

    fn scalar(&mut self) -> Value {
        self.pick(&[
            Value::Null,
            json!(true),
            json!(false),
            json!(-1),
            json!(0),
            json!(1),
            json!(2),
            json!(1.5),
            json!(2.0),
            json!(""),
            json!("a"),
            json!("ab"),
            json!("abc"),
        ])
    }

    fn number(&mut self) -> Value {
        let mut schema = json!({"type": self.pick(&["integer", "number"])});
        for bound in ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"] {
            if self.one_in(3) {
                schema[bound] = json!(self.below(4) as i64 - 1);
            }
        }
        if self.one_in(6) {
            schema["multipleOf"] = self.pick(&[json!(1), json!(2), json!(0.5)]);
        }
        schema
    }

    fn text(&mut self) -> Value {
        let mut schema = json!({"type": "string"});
        for length in ["minLength", "maxLength"] {
            if self.one_in(2) {
                schema[length] = json!(self.below(4));
            }
        }
        schema
    }

    fn object(&mut self, depth: u32) -> Value {
        let member = |random: &mut Self| match random.below(6) {
            0 => json!(true),
            1 => json!(false),
            _ => random.schema(depth - 1),
        };
        let properties: Map<_, _> = NAMES
            .iter()
            .map(|name| ((*name).to_owned(), member(self)))
            .collect();
        let required: Vec<_> = NAMES.iter().filter(|_| self.one_in(2)).collect();
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        for (keyword, most) in [("minProperties", 3), ("maxProperties", 3)] {
            if self.one_in(5) {
                schema[keyword] = json!(self.below(most));
            }
        }
        if self.one_in(4) {
            schema["additionalProperties"] = json!(false);
        }
        schema
    }

    fn array(&mut self, depth: u32) -> Value {
        let mut schema = json!({"type": "array"});
        if self.one_in(2) {
            schema["items"] = self.schema(depth - 1);
        }
        if self.one_in(3) {
            schema["prefixItems"] = json!([self.schema(depth - 1)]);
        }
        for length in ["minItems", "maxItems"] {
            if self.one_in(3) {
                schema[length] = json!(self.below(3));
            }
        }
        if self.one_in(6) {
            schema["uniqueItems"] = json!(true);
        }
        schema
    }

    /// The same schema but for one place.
    fn changed(&mut self, schema: &Value, depth: u32) -> Value {
        let mut schema = schema.clone();
        let Some(members) = schema.as_object_mut() else {
            return self.schema(depth);
        };
        let names: Vec<_> = members.keys().cloned().collect();
        let name = self.pick(&names);
        match (name.as_str(), members.get_mut(&name)) {
            ("properties", Some(Value::Object(properties))) => {
                let name = self.pick(&NAMES);
                let changed = self.changed(&properties[name], depth.saturating_sub(1));
                properties.insert(name.to_owned(), changed);
            }
            ("required", _) => {
                members.insert(name, json!([self.pick(&NAMES)]));
            }
            ("type" | "$ref" | "anyOf" | "allOf", _) => return self.schema(depth),
            // Less is said.
            _ if self.one_in(2) && !["const", "enum"].contains(&name.as_str()) => {
                members.remove(&name);
            }
            (_, Some(Value::Number(number))) => {
                *number = (self.below(4) as u64).into();
                if name == "multipleOf" {
                    *number = 1.into();
                }
            }
            ("items", Some(items)) => {
                let changed = self.changed(&items.clone(), depth.saturating_sub(1));
                *items = changed;
            }
            ("enum", _) => {
                members.insert(name, json!([self.scalar(), self.scalar(), self.scalar()]));
            }
            _ => {}
        }
        schema
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 3 } else { 6 }) {
            3 => (0..self.below(3)).map(|_| self.value(depth - 1)).collect(),
            4 | 5 => {
                let names = NAMES
                    .iter()
                    .filter(|_| self.below(3) > 0)
                    .collect::<Vec<_>>();
                let members = names
                    .iter()
                    .map(|name| ((**name).to_string(), self.value(depth - 1)));
                Value::Object(members.collect())
            }
            _ => self.scalar(),
        }
    }
}

#[test]
fn values_of_compatible_schemas_pass_a_validator() {
    let mut random = Random(0x5a6a_0000_c0de);
    let (mut compatible, mut tried, mut witnessed) = (0, 0, 0);
    for _ in 0..PAIRS {
        let mut writer = random.schema(3);
        let mut reader = if random.one_in(3) {
            random.schema(3)
        } else {
            random.changed(&writer, 3)
        };
        for schema in [&mut writer, &mut reader] {
            if let Value::Object(members) = schema {
                members.insert(
                    "$defs".into(),
                    json!({"shared": {"type": ["string", "null"]}}),
                );
            }
        }
        let found = accepts(&reader, &writer);
        if !found.unclear.is_empty() {
            continue;
        }
        let [reads, writes] =
            [&reader, &writer].map(|schema| jsonschema::draft202012::new(schema).unwrap());
        compatible += u32::from(found.is_compatible());
        let mut is_witnessed = false;
        for _ in 0..VALUES {
            let value = random.value(3);
            if !writes.is_valid(&value) {
                continue;
            }
            tried += 1;
            let is_read = reads.is_valid(&value);
            is_witnessed |= !is_read;
            assert!(
                is_read || !found.is_compatible(),
                "{value} is written and not read\nwritten {writer}\nread {reader}"
            );
        }
        witnessed += u32::from(is_witnessed && !found.is_compatible());
    }
    // The test has something to say: many pairs are compatible, many are seen not to be.
    assert!(compatible > PAIRS / 10, "{compatible} are compatible");
    assert!(witnessed > PAIRS / 10, "{witnessed} were seen not to be");
    assert!(tried > PAIRS, "{tried} values were tried");
}
