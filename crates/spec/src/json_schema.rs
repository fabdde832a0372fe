//! Schemas of the files that Loupe writes, made from the types that are written.

use schemars::generate::SchemaSettings;
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

/// The JSON Schema of what a `T` is written as.
pub fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with_transform(OrNull);
    settings.into_generator().into_root_schema_for::<T>().into()
}

/// JSON has neither NaN nor infinity: null stands for both.
#[derive(Clone)]
struct OrNull;

impl Transform for OrNull {
    fn transform(&mut self, schema: &mut Schema) {
        if schema.get("type") == Some(&json!("number")) {
            schema.insert("type".to_string(), json!(["number", "null"]));
        }
        transform_subschemas(self, schema);
    }
}
