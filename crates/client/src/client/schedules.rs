//! Calls of `ScheduleService`.

use flintwheel_model::DefinitionKey;
use flintwheel_proto::v1;

use super::definitions::understood;
use super::{Client, schedule_service};
use crate::convert::{definition, explain};
use crate::error::Error;
use crate::types::{AskedTime, DuePart, DueQuery, Explanation};

impl Client {
    /// Why a definition is due at a time, or is not, and what became of it.
    pub async fn explain(&self, key: &DefinitionKey, at: AskedTime) -> Result<Explanation, Error> {
        let request = v1::ExplainRequest {
            r#ref: Some(definition::key_to_proto(key)),
            at: Some(explain::asked_to_proto(at)),
            stale: self.stale,
        };
        let call = |t, q| async move { schedule_service(t).explain(q).await };
        let answer = self.call_about(Some(key), request, call).await?;
        understood(explain::from_proto(answer))
    }

    /// How many due times come in each step of a span of time: the part of some definitions. Ask again with its token for the next part; parts
    /// are to be added up.
    pub async fn count_due(&self, query: &DueQuery, token: &str) -> Result<DuePart, Error> {
        let request = v1::CountDueRequest { stale: self.stale, ..explain::due_query_to_proto(query, token.to_owned()) };
        let answer = self.call(request, |t, q| async move { schedule_service(t).count_due(q).await }).await?;
        understood(explain::due_part_from_proto(answer))
    }
}
