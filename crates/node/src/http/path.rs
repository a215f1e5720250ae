//! Names in paths: a namespace, a definition, a node, a shard, and what is to be done with it.

use axum::extract::{FromRequestParts, Path};
use flintwheel_model::ids::{check_id, check_namespace};
use flintwheel_model::{DefinitionKey, Violations};
use http::request::Parts;

use super::problem::Problem;
use crate::server::{Doors, Fault};

/// The `{namespace}` of a path.
pub struct Namespace(pub String);

impl FromRequestParts<Doors> for Namespace {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, doors: &Doors) -> Result<Self, Problem> {
        let Path(namespace) = Path::<String>::from_request_parts(parts, doors).await.map_err(odd)?;
        check_namespace(&namespace).map_err(|why| Fault::field("namespace", why))?;
        Ok(Self(namespace))
    }
}

/// The `{namespace}` and `{id}` of a path.
pub struct Key(pub DefinitionKey);

impl FromRequestParts<Doors> for Key {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, doors: &Doors) -> Result<Self, Problem> {
        let Path((namespace, id)) = Path::<(String, String)>::from_request_parts(parts, doors).await.map_err(odd)?;
        Ok(Self(key(namespace, id)?))
    }
}

/// The `{namespace}` and `{id}` of a path, and what follows the id after a colon.
pub struct Action {
    /// With whom.
    pub key: DefinitionKey,
    /// `pause`, for one.
    pub verb: String,
}

impl FromRequestParts<Doors> for Action {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, doors: &Doors) -> Result<Self, Problem> {
        let Path((namespace, last)) = Path::<(String, String)>::from_request_parts(parts, doors).await.map_err(odd)?;
        let (id, verb) = last.rsplit_once(':').unwrap_or((&last, ""));
        Ok(Self { key: key(namespace, id.to_owned())?, verb: verb.to_owned() })
    }
}

/// The one name of a path, and what follows it after a colon: what is to be done with a node or a shard.
pub struct Named {
    /// Whom.
    pub name: String,
    /// `drain`, for one.
    pub verb: String,
}

impl FromRequestParts<Doors> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, doors: &Doors) -> Result<Self, Problem> {
        let Path(last) = Path::<String>::from_request_parts(parts, doors).await.map_err(odd)?;
        let (name, verb) = last.rsplit_once(':').unwrap_or((&last, ""));
        Ok(Self { name: name.to_owned(), verb: verb.to_owned() })
    }
}

fn key(namespace: String, id: String) -> Result<DefinitionKey, Violations> {
    let mut faults = Violations::default();
    if let Err(why) = check_namespace(&namespace) {
        faults.push("namespace", why);
    }
    if let Err(why) = check_id(&id) {
        faults.push("id", why);
    }
    faults.into_result().map(|()| DefinitionKey::new(namespace, id))
}

fn odd(error: axum::extract::rejection::PathRejection) -> Problem {
    Fault::field("", error.body_text()).into()
}
