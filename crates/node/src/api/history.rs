//! The versions of a definition that are kept: listed, and gone back to. A rollback makes a new version; nothing is forgotten by it.

use flintwheel_client::{Applied, ApplyOptions, ChangeOptions, DefinitionRecord, Page, PageRequest};
use flintwheel_model::DefinitionKey;
use flintwheel_shard::query;

use super::ask::{Kept, Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, check_key, one, page_size};

/// Documents of one answer, in bytes.
const ANSWER_BYTES: usize = 2 * 1024 * 1024;

impl Api {
    /// The versions of a definition that are kept, newest first.
    pub async fn versions(&self, key: &DefinitionKey, page: &PageRequest) -> Result<Page<DefinitionRecord>, ApiError> {
        check_key(key)?;
        let before = read_token(&page.token)?;
        let look = Look::Versions { key: key.clone(), before, limit: page_size(page.size) };
        let Told::Versions { items, next } = self.ask(self.shard_of(key), look).await? else {
            return Err(otherwise());
        };
        let items = items.into_iter().map(Kept::record).collect::<Result<_, _>>()?;
        Ok(Page { items, next: next.map(|before| before.to_string()) })
    }

    /// Makes a definition what it was at an older version.
    pub async fn rollback(
        &self,
        key: &DefinitionKey,
        version: u64,
        options: &ChangeOptions,
    ) -> Result<Applied, ApiError> {
        let current = self.get(key, None, None).await?.status;
        let older = match self.get(key, Some(version), Some(current.incarnation)).await {
            Ok(older) => older.definition,
            Err(ApiError::NotFound(_)) => return Err(self.not_kept(key, version, current.version).await),
            Err(error) => return Err(error),
        };
        let ChangeOptions { validate_only, request_id, expected_version } = options.clone();
        let asked = format!("rollback to {version} from {expected_version:?}");
        let expected_version = Some(expected_version.unwrap_or(current.version));
        let options = ApplyOptions { validate_only, request_id, expected_version, due_after: None };
        self.apply_asked(&older, &options, asked).await
    }

    /// Which versions there are instead.
    async fn not_kept(&self, key: &DefinitionKey, version: u64, current: u64) -> ApiError {
        let page = PageRequest { size: 3, token: String::new() };
        let kept = match self.versions(key, &page).await {
            Ok(kept) => kept.items.iter().map(|record| record.status.version.to_string()).collect::<Vec<_>>(),
            Err(error) => return error,
        };
        let message = format!(
            "version {version} of {key} is not kept; the newest that are: {} (`flintwheel history {key}` lists all; {current} is current)",
            kept.join(", ")
        );
        one("version", message).into()
    }
}

impl Replica {
    pub(super) fn versions(&self, key: &DefinitionKey, before: Option<u32>, limit: usize) -> Result<Told, ApiError> {
        let state = self.group.state();
        let number = query::number(&state, &key.namespace, &key.id)?.ok_or_else(|| ApiError::NotFound(key.clone()))?;
        // One more, to know whether it is the last page.
        let versions = query::versions(&state, number, before, limit.saturating_add(1))?;
        let (mut items, mut bytes, mut next) = (Vec::new(), 0, None);
        for version in versions {
            if items.len() == limit || bytes >= ANSWER_BYTES {
                next = items.last().map(|_| version.saturating_add(1));
                break;
            }
            // Dropped for its age since it was listed.
            let Some(found) = self.find(key, Some(version.into()))? else { continue };
            let (stored, mut status) = self.status_of(found);
            status.version = version.into();
            bytes += stored.document.len();
            items.push(Kept::new(stored.document, status)?);
        }
        Ok(Told::Versions { items, next })
    }
}

/// A page token is the version that the page before ended at.
fn read_token(token: &str) -> Result<Option<u32>, ApiError> {
    if token.is_empty() {
        return Ok(None);
    }
    token.parse().map(Some).map_err(|_| one("page_token", "is not one that this server gave out").into())
}
