//! JSON Schemas (draft 2020-12) from Rust types.
//!
//! Owns the settings: everything inline, without `$schema` and as far as possible without `$defs`,
//! so that a host can put a schema into an OpenAPI or AsyncAPI document as it is. A type that
//! contains itself still refers to `#/$defs`.

use crate::codec;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

/// Generates a schema on demand.
pub(crate) type Source = fn() -> String;

/// Schema for reading a `T`: a request, an incoming event, a timer or a state of an older build.
pub(crate) fn of_input<T: JsonSchema>() -> String {
    generate::<T>(settings().for_deserialize())
}

/// Schema for writing a `T`: a reply, a published event.
pub(crate) fn of_output<T: JsonSchema>() -> String {
    generate::<T>(settings().for_serialize())
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    })
}

fn generate<T: JsonSchema>(settings: SchemaSettings) -> String {
    let schema = settings.into_generator().into_root_schema_for::<T>();
    codec::encode(&schema, "a JSON schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Outer {
        inner: Inner,
    }

    #[derive(JsonSchema)]
    #[allow(dead_code, reason = "only its schema is of interest")]
    struct Inner {
        number: i64,
    }

    #[test]
    fn a_schema_stands_on_its_own() {
        let schema = of_input::<Outer>();
        assert!(schema.contains("\"number\""), "{schema}");
        assert!(!schema.contains("$ref"), "{schema}");
        assert!(!schema.contains("$schema"), "{schema}");
    }
}
