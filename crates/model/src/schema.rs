//! The JSON Schema of a definition: what `flintwheel schema` prints and `docs/definition.schema.json` holds.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::definition::{API_VERSION, ActivityDefinition, KIND};

/// JSON Schema, draft 2020-12, for editors.
pub fn definition() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<ActivityDefinition>().to_value();
    schema["$id"] = json!("https://flintwheel.dev/schema/v1/activity-definition.json");
    schema["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    schema["properties"]["kind"]["const"] = json!(KIND);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_file_is_what_the_types_say() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/definition.schema.json");
        let fresh = format!("{:#}\n", definition());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(path, &fresh).expect("docs is writable");
        }
        let published = std::fs::read_to_string(path).expect("docs/definition.schema.json exists");
        assert!(published == fresh, "run the tests once with UPDATE_GOLDEN=1 and look at the difference");
    }
}
