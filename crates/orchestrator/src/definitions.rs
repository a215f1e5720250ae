//! Where a run gets its definition from: a trait, so that the workflow knows neither gRPC nor the server.

use std::time::Duration;

use flintwheel_client::{Client, Code, Error, Options};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use futures::FutureExt;
use futures::future::BoxFuture;

/// One call of a server; below the time that the workflow gives one try, so that the error tells more than that it took too long.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Hands out definitions by version.
pub trait Definitions: Send + Sync + 'static {
    /// This version of this life of a definition, also where a later one has replaced it.
    fn get<'a>(
        &'a self,
        definition: &'a DefinitionKey,
        incarnation: u64,
        version: u64,
    ) -> BoxFuture<'a, Result<ActivityDefinition, DefinitionsError>>;
}

/// Why a definition can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DefinitionsError {
    /// It is not there, and will not be: the run fails.
    #[error(
        "definition {definition} has no version {version}: it was deleted, or the version is older than those that are kept"
    )]
    NotFound {
        /// Which one.
        definition: DefinitionKey,
        /// Which version.
        version: u64,
    },
    /// Not now: the run tries again.
    #[error("definition {definition} can't be had now: {why}")]
    Unavailable {
        /// Which one.
        definition: DefinitionKey,
        /// What stands against it.
        why: String,
    },
}

/// The definitions of a Flintwheel cluster.
pub struct ServerDefinitions {
    client: Client,
}

impl ServerDefinitions {
    /// Asks these nodes (`HOST:PORT`). Timeouts and retries in the options are replaced: the workflow has its own.
    pub fn new(addresses: &[String], options: Options) -> Result<Self, Error> {
        let options =
            Options { connect_timeout: CALL_TIMEOUT, call_timeout: CALL_TIMEOUT, retry_for: Duration::ZERO, ..options };
        Ok(Self { client: Client::new(addresses, options)? })
    }
}

impl Definitions for ServerDefinitions {
    fn get<'a>(
        &'a self,
        definition: &'a DefinitionKey,
        incarnation: u64,
        version: u64,
    ) -> BoxFuture<'a, Result<ActivityDefinition, DefinitionsError>> {
        async move {
            let answer = self.client.get_at(definition, Some(version), Some(incarnation)).await;
            answer.map(|record| record.definition).map_err(|error| explain(error, definition, version))
        }
        .boxed()
    }
}

/// Whatever is not a plain "there is none" may pass: a server that starts, a wrong key that is put right, a newer server.
fn explain(error: Error, definition: &DefinitionKey, version: u64) -> DefinitionsError {
    let definition = definition.clone();
    match error.code {
        Code::NotFound => DefinitionsError::NotFound { definition, version },
        _ => DefinitionsError::Unavailable { definition, why: error.message },
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_client::reason;

    use super::*;

    #[test]
    fn only_what_is_not_there_ends_the_run() {
        let key = DefinitionKey::new("billing", "reminder");
        let explained = |code| explain(Error::new(code, reason::INTERNAL, "why"), &key, 3);
        assert_eq!(explained(Code::NotFound), DefinitionsError::NotFound { definition: key.clone(), version: 3 });
        for code in
            [Code::Unavailable, Code::DeadlineExceeded, Code::ResourceExhausted, Code::Unauthenticated, Code::Internal]
        {
            assert_eq!(explained(code), DefinitionsError::Unavailable { definition: key.clone(), why: "why".into() });
        }
    }

    #[tokio::test]
    async fn a_server_that_is_away_may_come_back() {
        let server = ServerDefinitions::new(&["127.0.0.1:1".to_owned()], Options::default()).expect("an address");
        let error = server.get(&DefinitionKey::new("billing", "reminder"), 7, 3).await.expect_err("nobody is there");
        assert!(
            matches!(&error, DefinitionsError::Unavailable { why, .. } if why.contains("can't be reached")),
            "{error}"
        );
    }
}
