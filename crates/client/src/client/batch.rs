//! Applying many definitions: cut into batches that fit into messages, several of them under way at once.

use std::sync::OnceLock;
use std::time::Duration;

use flintwheel_model::limits::MESSAGE_BYTES;
use flintwheel_model::{ActivityDefinition, Calendar};
use flintwheel_proto::v1;
use flintwheel_proto::v1::batch_apply_item_result::Outcome;
use futures::StreamExt;
use prost::Message;
use tokio::time::{Instant, sleep};

use super::definitions::understood;
use super::{Client, definition_service};
use crate::call::pause;
use crate::convert;
use crate::error::{Error, reason};
use crate::types::Applied;

/// Definitions in one call, as the contract has it.
pub const BATCH_ITEMS: usize = 1000;
/// Leaves room for what surrounds the items.
const BATCH_BYTES: usize = MESSAGE_BYTES - 64 * 1024;
/// More would only wait in the server.
const UNDER_WAY: usize = 4;

/// Told as results come in: the definition's place in the list, and what became of it.
pub type Progress<'a> = dyn FnMut(usize, &Result<Applied, Error>) + Send + 'a;

impl Client {
    /// Applies all of them; each succeeds or fails by itself. Results are in the order of the definitions. A definition that can't
    /// travel fails alone; where a call fails, all of its batch do, and so does what has not been sent by then.
    pub async fn apply_many(
        &self,
        definitions: &[ActivityDefinition],
        validate_only: bool,
        progress: &mut Progress<'_>,
    ) -> Vec<Result<Applied, Error>> {
        self.send_all(definitions, &Mode { validate_only, calendars: Vec::new() }, progress).await
    }

    /// Says what [`apply_many`](Self::apply_many) would do, as if these calendars had been applied before. All calendars together take at most
    /// half of a message (2 MiB).
    pub async fn try_many(
        &self,
        definitions: &[ActivityDefinition],
        calendars: &[Calendar],
        progress: &mut Progress<'_>,
    ) -> Vec<Result<Applied, Error>> {
        let mode = Mode { validate_only: true, calendars: calendars.iter().map(convert::calendar::to_proto).collect() };
        let bytes = mode.bytes();
        if bytes > BATCH_BYTES / 2 {
            let message =
                format!("the calendars have {bytes} bytes; with definitions, at most {} are sent", BATCH_BYTES / 2);
            let error = Error::new(tonic::Code::OutOfRange, reason::TOO_LARGE, format!("{message}: apply them first"));
            return definitions.iter().map(|_| Err(error.clone())).collect();
        }
        self.send_all(definitions, &mode, progress).await
    }

    async fn send_all(
        &self,
        definitions: &[ActivityDefinition],
        mode: &Mode,
        progress: &mut Progress<'_>,
    ) -> Vec<Result<Applied, Error>> {
        let mut results: Vec<Option<Result<Applied, Error>>> = vec![None; definitions.len()];
        let mut record = |index: usize, result: Result<Applied, Error>| {
            progress(index, &result);
            results[index] = Some(result);
        };
        let failed = OnceLock::new();
        let batches = cut(definitions, BATCH_BYTES - mode.bytes(), || self.request_id(""));
        let calls = batches.map(|batch| self.send(batch, mode, &failed));
        let mut calls = futures::stream::iter(calls).buffer_unordered(UNDER_WAY);
        while let Some(done) = calls.next().await {
            for (index, result) in done {
                record(index, result);
            }
        }
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(unanswered()))).collect()
    }

    async fn send(&self, batch: Batch, mode: &Mode, failed: &OnceLock<Error>) -> Vec<(usize, Result<Applied, Error>)> {
        let Batch { places, items, refused, .. } = batch;
        let mut results: Vec<_> = refused.into_iter().map(|(place, error)| (place, Err(error))).collect();
        let mut open: Vec<_> = places.into_iter().zip(items).collect();
        let give_up = Instant::now() + self.options.retry_for;
        let mut tries = 0;
        while !open.is_empty() {
            let answers = match self.send_once(&open, mode, failed).await {
                Ok(answers) => answers,
                Err(error) => {
                    let error = failed.get_or_init(|| error);
                    results.extend(open.into_iter().map(|(place, _)| (place, Err(error.clone()))));
                    break;
                }
            };
            let (done, again, longest) =
                sort(open, answers, |error| pause(error, tries).filter(|pause| Instant::now() + *pause < give_up));
            results.extend(done);
            open = again;
            if !open.is_empty() {
                sleep(longest).await;
            }
            tries += 1;
        }
        results
    }

    async fn send_once(
        &self,
        open: &[(usize, v1::BatchApplyItem)],
        mode: &Mode,
        failed: &OnceLock<Error>,
    ) -> Result<Vec<v1::BatchApplyItemResult>, Error> {
        // A server that was away for a whole call, tries and all, is not asked a hundred times more.
        if let Some(error) = failed.get() {
            return Err(error.clone());
        }
        let items = || open.iter().map(|(_, item)| item.clone()).collect();
        let Mode { validate_only, calendars } = mode;
        let (validate_only, calendars) = (*validate_only, || calendars.clone());
        let request = || v1::BatchApplyRequest { items: items(), validate_only, calendars: calendars() };
        let apply = |t, q| async move { definition_service(t).batch_apply(q).await };
        Ok(self.call_with(None, request, apply).await?.results)
    }
}

/// What is done with all of them.
struct Mode {
    validate_only: bool,
    /// They count as if they had been applied.
    calendars: Vec<v1::Calendar>,
}

impl Mode {
    /// Of the calendars, with the tags around them.
    fn bytes(&self) -> usize {
        self.calendars.iter().map(|calendar| calendar.encoded_len() + 8).sum()
    }
}

type Done = (usize, Result<Applied, Error>);
type Open = (usize, v1::BatchApplyItem);

/// What is done, what is to be sent again because its shard has no leader or no room at the moment, and the longest pause before that. `again` says
/// how long to wait, where there is hope.
fn sort(
    open: Vec<Open>,
    answers: Vec<v1::BatchApplyItemResult>,
    again: impl Fn(&Error) -> Option<Duration>,
) -> (Vec<Done>, Vec<Open>, Duration) {
    let (mut done, mut left, mut longest) = (Vec::with_capacity(open.len()), Vec::new(), Duration::ZERO);
    let mut answers = answers.into_iter();
    for (place, item) in open {
        let result = answers.next().map_or_else(|| Err(unanswered()), read_item);
        match result.as_ref().err().and_then(&again) {
            Some(pause) => {
                longest = longest.max(pause);
                left.push((place, item));
            }
            None => done.push((place, result)),
        }
    }
    (done, left, longest)
}

fn read_item(proto: v1::BatchApplyItemResult) -> Result<Applied, Error> {
    match proto.outcome {
        Some(Outcome::Applied(applied)) => understood(convert::record::applied_from_proto(applied)),
        Some(Outcome::Fault(fault)) => Err(Error::from_proto(fault)),
        None => Err(unanswered()),
    }
}

fn unanswered() -> Error {
    let message = "the server did not say what became of this definition";
    Error::new(tonic::Code::Internal, reason::UNREADABLE_ANSWER, message)
}

/// Items that fit into one call, and where they stand in the list; with them, those in between that can't travel.
#[derive(Default)]
struct Batch {
    places: Vec<usize>,
    items: Vec<v1::BatchApplyItem>,
    bytes: usize,
    refused: Vec<(usize, Error)>,
}

impl Batch {
    fn has_room(&self, bytes: usize, room: usize) -> bool {
        self.items.len() < BATCH_ITEMS && self.bytes + bytes <= room
    }
}

/// Batch by batch as they are asked for: the first is on its way before the last is made.
fn cut(
    definitions: &[ActivityDefinition],
    room: usize,
    request_id: impl Fn() -> String,
) -> impl Iterator<Item = Batch> {
    let mut items = definitions.iter().map(move |definition| item(definition, request_id())).enumerate();
    // What did not fit into the batch before.
    let mut left = None;
    std::iter::from_fn(move || {
        let mut batch = Batch::default();
        while let Some((place, made)) = left.take().or_else(|| items.next()) {
            match made {
                Err(error) => batch.refused.push((place, error)),
                Ok((item, bytes)) if batch.items.is_empty() || batch.has_room(bytes, room) => {
                    batch.places.push(place);
                    batch.items.push(item);
                    batch.bytes += bytes;
                }
                Ok(item) => {
                    left = Some((place, Ok(item)));
                    break;
                }
            }
        }
        (!batch.items.is_empty() || !batch.refused.is_empty()).then_some(batch)
    })
}

/// With the bytes that it takes in a message.
fn item(definition: &ActivityDefinition, request_id: String) -> Result<(v1::BatchApplyItem, usize), Error> {
    let definition = convert::definition::to_proto(definition)?;
    let size = definition.encoded_len();
    if size > BATCH_BYTES {
        let message = format!("the definition has {size} bytes; a message holds at most {BATCH_BYTES}");
        return Err(Error::new(tonic::Code::OutOfRange, reason::TOO_LARGE, message));
    }
    // The tags around both.
    let size = size + request_id.len() + 32;
    Ok((v1::BatchApplyItem { definition: Some(definition), request_id, expected_version: None }, size))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(id: usize, payload: usize) -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id.to_string()},
            "spec": {"start_workflow": {"type": "W", "task_queue": "q", "input": ["x".repeat(payload)]}}
        }))
        .expect("a definition")
    }

    #[test]
    fn batches_hold_what_fits_and_keep_every_place() {
        for (count, payload, batches_expected) in [(0, 0, 0), (1, 0, 1), (1000, 0, 1), (1001, 0, 2), (100, 200_000, 5)]
        {
            let definitions: Vec<_> = (0..count).map(|id| definition(id, payload)).collect();
            let batches: Vec<_> = cut(&definitions, BATCH_BYTES, || "r".repeat(128)).collect();
            assert_eq!(batches.len(), batches_expected, "{count} of {payload}");
            assert!(batches.iter().all(|batch| batch.refused.is_empty()));
            let places: Vec<usize> = batches.iter().flat_map(|batch| batch.places.clone()).collect();
            assert_eq!(places, (0..count).collect::<Vec<_>>());
            for batch in batches {
                let request = v1::BatchApplyRequest { items: batch.items, validate_only: true, calendars: vec![] };
                assert!(request.encoded_len() <= MESSAGE_BYTES);
            }
        }
    }

    #[test]
    fn what_passes_is_sent_again_and_nothing_else() {
        let fault = |reason: &str, delay| {
            let error = Error::new(tonic::Code::Unavailable, reason, "");
            let error = if delay { error.retry_after(Duration::from_millis(250)) } else { error };
            v1::BatchApplyItemResult { outcome: Some(Outcome::Fault(error.to_proto())) }
        };
        let open = (0..4).map(|place| (place, v1::BatchApplyItem::default())).collect();
        let answers =
            vec![fault(reason::NOT_LEADER, true), fault(reason::REFUSED, false), fault(reason::NOT_LEADER, true)];
        let (done, again, pause) = sort(open, answers, |error| error.retry_delay);
        let done: Vec<_> =
            done.into_iter().map(|(place, result)| (place, result.expect_err("a fault").reason)).collect();
        assert_eq!(done, [(1, reason::REFUSED.to_owned()), (3, reason::UNREADABLE_ANSWER.to_owned())]);
        assert_eq!(again.iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 2]);
        assert_eq!(pause, Duration::from_millis(250));
    }

    #[test]
    fn what_cannot_travel_fails_alone() {
        let mut inexact = definition(1, 0);
        inexact.spec.start_workflow.as_mut().expect("set").input = vec![json!(u64::MAX)];
        let definitions = [definition(0, 0), inexact, definition(2, MESSAGE_BYTES), definition(3, 0)];
        let batches: Vec<_> = cut(&definitions, BATCH_BYTES, String::new).collect();
        assert_eq!((batches.len(), &*batches[0].places), (1, &[0, 3][..]));
        let refused = batches[0].refused.iter();
        let reasons: Vec<_> = refused.map(|(place, error)| (*place, error.reason.as_str())).collect();
        assert_eq!(reasons, [(1, reason::INVALID_ARGUMENT), (2, reason::TOO_LARGE)]);
    }
}
