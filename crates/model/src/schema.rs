//! The JSON Schemas of a definition and of a calendar: what `flintwheel schema` prints, and `docs/definition.schema.json` and
//! `docs/calendar.schema.json` hold.

use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use crate::calendar::{self, Calendar};
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

/// The same of a calendar.
pub fn calendar() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Calendar>().to_value();
    schema["$id"] = json!("https://flintwheel.dev/schema/v1/calendar.json");
    schema["properties"]["apiVersion"]["const"] = json!(API_VERSION);
    schema["properties"]["kind"]["const"] = json!(calendar::KIND);
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_files_are_what_the_types_say() {
        for (name, schema) in [("definition", definition()), ("calendar", calendar())] {
            let path = format!("{}/../../docs/{name}.schema.json", env!("CARGO_MANIFEST_DIR"));
            let fresh = format!("{schema:#}\n");
            if std::env::var_os("UPDATE_GOLDEN").is_some() {
                std::fs::write(&path, &fresh).expect("docs is writable");
            }
            let published = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            assert!(published == fresh, "run the tests once with UPDATE_GOLDEN=1 and look at the difference");
        }
    }
}
