//! Single fields of a definition changed: read, changed and written as a whole, with the version that was read as its condition. Of two updates at
//! once, the second one begins again with what the first one has made.

use flintwheel_client::convert::definition::canonical;
use flintwheel_client::{Applied, ApplyOptions, ChangeOptions, FieldChange};
use flintwheel_model::fields::{Change, change};
use flintwheel_model::{ActivityDefinition, DefinitionKey, Violations};
use serde_json::json;

use super::{Api, ApiError};

/// How often it begins again, where others change the same definition at the same time.
const ROUNDS: usize = 8;

impl Api {
    /// Changes the named fields of a definition, and no others.
    pub async fn update(
        &self,
        key: &DefinitionKey,
        changes: &[FieldChange],
        options: &ChangeOptions,
    ) -> Result<Applied, ApiError> {
        let ChangeOptions { validate_only, request_id, expected_version } = options.clone();
        // Here, not where it is led: all rounds must have the same.
        let request_id = super::request::request_id(&request_id);
        let asked = asked(changes, expected_version);
        let mut round = 1;
        loop {
            let current = self.get(key, None, None).await?;
            let changed = changed(&current.definition, changes)?;
            let expected = Some(expected_version.unwrap_or(current.status.version));
            let options = ApplyOptions {
                validate_only,
                request_id: request_id.clone(),
                expected_version: expected,
                due_after: None,
            };
            match self.apply_asked(&changed, &options, asked.clone()).await {
                // Somebody was faster, and it was not said that it must have this version.
                Err(ApiError::Conflict { actual, .. })
                    if expected_version.is_none() && actual > 0 && round < ROUNDS =>
                {
                    round += 1;
                }
                done => return done,
            }
        }
    }
}

/// What it would be, as it would be stored.
pub(super) fn changed(
    definition: &ActivityDefinition,
    changes: &[FieldChange],
) -> Result<ActivityDefinition, Violations> {
    let changes: Vec<Change> = changes.iter().map(|one| (one.path.clone(), one.value.clone())).collect();
    canonical(&change(definition, &changes)?)
}

/// What is asked for, in words that are the same each time.
pub(super) fn asked(changes: &[FieldChange], expected_version: Option<u64>) -> String {
    json!({"update": changes, "expected_version": expected_version}).to_string()
}
