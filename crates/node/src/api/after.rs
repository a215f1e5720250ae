//! What comes after runs of other definitions: checked when it is applied, and their runs watched before it is.

use std::collections::{HashSet, VecDeque};

use flintwheel_client::ApplyOptions;
use flintwheel_model::definition::After;
use flintwheel_model::near::{edits, nearest_first};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_shard::entry::{Body, FollowStep};
use flintwheel_shard::query;
use flintwheel_shard::tracks::{LINGER, Track};

use super::ask::{Act, Look, Told, otherwise};
use super::desk::Replica;
use super::{Api, ApiError, one};
use crate::admission::{Admitted, SCHEDULE, comes_after};

/// Definitions looked at for one that comes after the one that is applied, in the order in which they come before it.
const LOOKED_AT: usize = 64;
/// Names among which the one is looked for that was meant.
const NAMES: usize = 1000;
/// As many letters may be wrong.
const EDITS: usize = 2;

impl Api {
    /// Checks what a definition comes after, and has the runs of those watched, unless it is only `tried`. `batch` is applied with it. Gives
    /// warnings.
    pub(super) async fn come_after(
        &self,
        definition: &ActivityDefinition,
        batch: &[(ActivityDefinition, ApplyOptions)],
        tried: bool,
    ) -> Result<Vec<String>, ApiError> {
        let after = comes_after(definition);
        if after.is_empty() {
            return Ok(Vec::new());
        }
        self.check_operations(true, &format!("{SCHEDULE}.after"))?;
        let warnings = self.check_circle(definition, batch).await?;
        if !tried && definition.spec.enabled {
            for one in after {
                let key = DefinitionKey::new(&definition.metadata.namespace, &one.definition);
                let Told::Followed = self.ask(self.shard_of(&key), Act::Follow(key)).await? else {
                    return Err(otherwise());
                };
            }
        }
        Ok(warnings)
    }

    /// Refuses what would come after itself, by way of others: each run would set off the next for ever. Tells who is not there.
    async fn check_circle(
        &self,
        definition: &ActivityDefinition,
        batch: &[(ActivityDefinition, ApplyOptions)],
    ) -> Result<Vec<String>, ApiError> {
        let (namespace, id) = (&definition.metadata.namespace, &definition.metadata.id);
        let mut warnings = Vec::new();
        // Each with the entry of this definition that leads to it, and all that lie between.
        let mut ahead: VecDeque<(usize, Vec<String>)> = VecDeque::new();
        let mut seen = HashSet::new();
        let direct = comes_after(definition).iter().enumerate();
        ahead.extend(direct.map(|(place, one)| (place, vec![one.definition.clone()])));
        while let Some((place, way)) = ahead.pop_front() {
            let Some(name) = way.last().filter(|_| seen.len() < LOOKED_AT) else { break };
            if !seen.insert(name.clone()) {
                continue;
            }
            let field = format!("{SCHEDULE}.after[{place}].definition");
            match self.after_of(&DefinitionKey::new(namespace, name), batch).await? {
                None if way.len() == 1 => warnings.push(format!("{field}: {}", self.not_there(namespace, name).await?)),
                None => {}
                Some(after) if after.iter().any(|one| one.definition == *id) => {
                    let way = way.join(", which comes after ");
                    let message = format!("{way}, which comes after {id}: each run would set off the next, for ever");
                    return Err(one(&field, message).into());
                }
                Some(after) => ahead.extend(after.into_iter().map(|one| {
                    let mut longer = way.clone();
                    longer.push(one.definition);
                    (place, longer)
                })),
            }
        }
        Ok(warnings)
    }

    /// What a definition comes after: as it is applied now, or as it stands; `None` where there is none.
    async fn after_of(
        &self,
        key: &DefinitionKey,
        batch: &[(ActivityDefinition, ApplyOptions)],
    ) -> Result<Option<Vec<After>>, ApiError> {
        let is_it = |definition: &ActivityDefinition| {
            definition.metadata.namespace == key.namespace && definition.metadata.id == key.id
        };
        if let Some((given, _)) = batch.iter().find(|(given, _)| is_it(given)) {
            return Ok(Some(comes_after(given).to_vec()));
        }
        let look = Look::Definition { key: key.clone(), version: None, incarnation: None };
        match self.ask(self.shard_of(key), look).await {
            Ok(Told::Definition(kept)) => Ok(kept.definition().map(|definition| comes_after(definition).to_vec())),
            Ok(_) => Err(otherwise()),
            Err(ApiError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn not_there(&self, namespace: &str, name: &str) -> Result<String, ApiError> {
        let known = self.names(namespace, None, NAMES).await?.0;
        let near = nearest_first(name, known.iter().map(|key| key.id.as_str())).into_iter().next();
        let meant = near.filter(|near| edits(name, near) <= EDITS);
        let meant = meant.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        Ok(format!(
            "there is no definition {name:?} in namespace {namespace}; nothing is due by it until there is{meant}"
        ))
    }
}

impl Replica {
    /// Has the runs of a definition watched, for others wait for them. One that is not there is found by them when it is. Said again, it changes
    /// nothing.
    pub(super) async fn follow(&self, key: &DefinitionKey) -> Result<Told, ApiError> {
        self.check_place(key)?;
        let name = key.clone();
        let number = self.read(move |replica| Ok(query::number(&replica.group.state(), &name.namespace, &name.id)?));
        let Some(number) = number.await? else { return Ok(Told::Followed) };
        let asked = self.group.read(|machine, _| machine.tracks().get(number).and_then(Track::followed_since))?;
        // Until whoever asks has written that it waits, nobody else knows.
        if asked.is_none_or(|asked| self.now() - asked > LINGER / 3) {
            self.command(Body::Follow(vec![FollowStep::Follow { number, followed: true }]), 16).await?;
        }
        Ok(Told::Followed)
    }

    /// Of a definition that is new: others may wait for it already.
    pub(super) async fn follow_new(&self, admitted: &Admitted) -> Result<(), ApiError> {
        let DefinitionKey { namespace, id } = &admitted.key;
        if self.shared.interest.is_followed(namespace, id) {
            self.follow(&admitted.key).await?;
        }
        Ok(())
    }
}
