//! One call, tried until it is answered for good: with the server's own delay where it names one, with backoff where it is away.

use std::future::Future;
use std::time::Duration;

use flintwheel_model::DefinitionKey;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Request, Response, Status};

use crate::client::Client;
use crate::error::{Error, reason};
use crate::transport::Transport;

/// The first pause where the server names none; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Client {
    /// A call to any node. Every call of the API may be repeated: reads change nothing, writes carry a request id or lead to the same state.
    pub(crate) async fn call<Q, P, F, Fut>(&self, request: Q, call: F) -> Result<P, Error>
    where
        Q: Clone,
        F: Fn(Transport, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<P>, Status>>,
    {
        self.call_about(None, request, call).await
    }

    /// A call about a definition: to the node that leads its shard, if that is known.
    pub(crate) async fn call_about<Q, P, F, Fut>(
        &self,
        about: Option<&DefinitionKey>,
        request: Q,
        call: F,
    ) -> Result<P, Error>
    where
        Q: Clone,
        F: Fn(Transport, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<P>, Status>>,
    {
        self.call_with(about, || request.clone(), call).await
    }

    /// The same with a request that is made anew for each try.
    pub(crate) async fn call_with<Q, P, F, Fut>(
        &self,
        about: Option<&DefinitionKey>,
        request: impl Fn() -> Q,
        call: F,
    ) -> Result<P, Error>
    where
        F: Fn(Transport, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<P>, Status>>,
    {
        let give_up = Instant::now() + self.options.retry_for;
        let mut tries = 0;
        loop {
            let error = match self.try_once(about, request(), &call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let pause = pause(&error, tries).filter(|pause| Instant::now() + *pause < give_up);
            let Some(pause) = pause else { return Err(error) };
            sleep(pause).await;
            tries += 1;
        }
    }

    async fn try_once<Q, P, F, Fut>(&self, about: Option<&DefinitionKey>, message: Q, call: &F) -> Result<P, Error>
    where
        F: Fn(Transport, Request<Q>) -> Fut,
        Fut: Future<Output = Result<Response<P>, Status>>,
    {
        let way = self.transports.way(about);
        let mut request = Request::new(message);
        request.set_timeout(self.options.call_timeout);
        let error = match timeout(self.options.call_timeout, call(way.transport.clone(), request)).await {
            Ok(Ok(answer)) => {
                self.transports.learn(about, answer.metadata());
                return Ok(answer.into_inner());
            }
            Ok(Err(status)) => explain(&status, &way.address),
            Err(_) => late(&way.address, self.options.call_timeout),
        };
        if is_away(&error) {
            self.transports.leave(&way);
        }
        Err(error)
    }
}

/// Whether another address may do better.
pub(crate) fn is_away(error: &Error) -> bool {
    matches!(error.code, Code::Unavailable | Code::DeadlineExceeded)
}

/// How long to wait before the next try; `None` where there is no point in one.
pub(crate) fn pause(error: &Error, tries: u32) -> Option<Duration> {
    if error.retry_delay.is_some() {
        return error.retry_delay;
    }
    is_away(error).then(|| backoff(tries))
}

/// Doubles from one try to the next; up to half of it is left out at random, so that clients don't come back all at once.
pub(crate) fn backoff(tries: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << tries.min(10)).min(LONGEST_PAUSE);
    full.mul_f64(rand::random_range(0.5..=1.0))
}

fn late(address: &str, limit: Duration) -> Error {
    let message = format!("{address} did not answer within {limit:?}");
    Error::new(Code::DeadlineExceeded, reason::DEADLINE, message)
}

/// A status from the server as it is; one from our own side of the wire as what it always means: the server is away. The library names
/// a connection that broke in the middle `Unknown` or `Internal`, as if another try could not help.
pub(crate) fn explain(status: &Status, address: &str) -> Error {
    let mut error = Error::from(status.clone());
    if error.code == Code::Cancelled {
        // We have cancelled nothing: the server's side of the wire gives a call up, with this code, when the time is over that came with it.
        error.code = Code::DeadlineExceeded;
        error.reason = reason::DEADLINE.to_owned();
        error.message = format!("{address} did not answer in time: {}", status.message());
    }
    if let Some(cause) = innermost_cause(status) {
        error.code = Code::Unavailable;
        error.reason = reason::UNREACHABLE.to_owned();
        error.message = format!("{address} can't be reached: {cause}");
    }
    error
}

/// A status that came over the wire has none.
fn innermost_cause(status: &Status) -> Option<String> {
    let mut cause = std::error::Error::source(status)?;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Some(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_own_delay_comes_before_ours() {
        let full = Error::new(Code::ResourceExhausted, reason::BACK_PRESSURE, "full");
        assert_eq!(pause(&full, 0), None);
        let delay = Duration::from_secs(3);
        assert_eq!(pause(&full.retry_after(delay), 5), Some(delay));
        let wrong = Error::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, "wrong");
        assert_eq!(pause(&wrong, 0), None);
    }

    #[test]
    fn a_call_that_the_server_gave_up_was_late_and_may_be_tried_again() {
        let error = explain(&Status::cancelled("Timeout expired"), "n1:7233");
        assert_eq!((error.code, error.reason.as_str()), (Code::DeadlineExceeded, reason::DEADLINE));
        assert!(pause(&error, 0).is_some());
    }

    #[test]
    fn pauses_grow_to_a_limit() {
        for (tries, least, most) in [(0, 50, 100), (1, 100, 200), (3, 400, 800), (6, 2500, 5000), (1000, 2500, 5000)] {
            let pause = backoff(tries).as_millis();
            assert!((least..=most).contains(&pause), "{tries}: {pause}");
        }
    }
}
