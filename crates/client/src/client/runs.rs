//! Calls of `RunService`.

use super::definitions::read_page;
use super::{Client, run_service};
use crate::convert::run;
use crate::error::Error;
use crate::types::{Page, PageRequest, Run, RunQuery};

impl Client {
    /// Runs of the built-in orchestrator, newest first.
    pub async fn runs(&self, query: &RunQuery, page: PageRequest) -> Result<Page<Run>, Error> {
        let request = run::query_to_proto(query, page.size, page.token);
        let answer = self.call(request, |t, q| async move { run_service(t).list_runs(q).await }).await?;
        read_page(answer.runs, answer.next_page_token, run::from_proto)
    }
}
