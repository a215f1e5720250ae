//! Query strings: read into a type, where an unknown parameter is refused by its name.

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use flintwheel_client::{Page, PageRequest};

use super::problem::Problem;
use crate::server::{Doors, Fault};

/// The parameters of a request.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Doors> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Doors) -> Result<Self, Problem> {
        let read = axum::extract::Query::try_from_uri(&parts.uri);
        let axum::extract::Query(parameters) = read.map_err(|error| Fault::field("query", error.body_text()))?;
        Ok(Self(parameters))
    }
}

/// For what takes no parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Whether a change is only to be tried: `dry_run=server` is the one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DryRun {
    /// All checks are made, nothing is changed.
    Server,
}

/// A list as JSON.
#[derive(Serialize)]
pub struct List<T> {
    items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl<T> From<Page<T>> for List<T> {
    fn from(page: Page<T>) -> Self {
        Self { items: page.items, next_page_token: page.next }
    }
}

/// The page that two parameters ask for.
pub fn page(size: Option<u32>, token: Option<String>) -> PageRequest {
    PageRequest { size: size.unwrap_or(0), token: token.unwrap_or_default() }
}

/// How large an answer will be.
pub fn bytes_of(answer: &impl Serialize) -> usize {
    serde_json::to_vec(answer).map_or(0, |bytes| bytes.len())
}
