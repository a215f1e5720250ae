//! Calls of `DeadLetterService`.

use flintwheel_proto::v1;

use super::definitions::read_page;
use super::{Client, dead_letter_service};
use crate::convert::dead;
use crate::error::Error;
use crate::types::{DeadLetter, DeadLetterFilter, DeadLetterSelection, Page, PageRequest, Settled};

impl Client {
    /// Firings that the sink refused for good, newest first.
    pub async fn dead_letters(&self, filter: &DeadLetterFilter, page: PageRequest) -> Result<Page<DeadLetter>, Error> {
        let filter = Some(dead::filter_to_proto(filter));
        let request = v1::ListDeadRequest { filter, page_size: page.size, page_token: page.token };
        let answer = self.call(request, |t, q| async move { dead_letter_service(t).list_dead(q).await }).await?;
        read_page(answer.dead_letters, answer.next_page_token, dead::from_proto)
    }

    /// Puts dead letters back into the outbox, with the same workflow and request id.
    pub async fn retry_dead(&self, selection: &DeadLetterSelection) -> Result<Settled, Error> {
        let request = v1::RetryDeadRequest { selection: Some(dead::selection_to_proto(selection)) };
        let answer = self.call(request, |t, q| async move { dead_letter_service(t).retry_dead(q).await }).await?;
        Ok(Settled { count: answer.retried, not_found: answer.not_found })
    }

    /// Forgets dead letters. Their occurrences stay in the account.
    pub async fn drop_dead(&self, selection: &DeadLetterSelection) -> Result<Settled, Error> {
        let request = v1::DropDeadRequest { selection: Some(dead::selection_to_proto(selection)) };
        let answer = self.call(request, |t, q| async move { dead_letter_service(t).drop_dead(q).await }).await?;
        Ok(Settled { count: answer.dropped, not_found: answer.not_found })
    }
}
