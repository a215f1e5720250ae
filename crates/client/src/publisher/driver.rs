//! The task behind a publisher: opens streams, feeds them from the window, reads acknowledgements, and starts over when they break.

use flintwheel_proto::v1::publish_stream_response::Outcome;
use flintwheel_proto::v1::{PublishStreamRequest, PublishStreamResponse};
use prost::bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Streaming};

use super::PublisherOptions;
use super::window::{Done, Window};
use crate::call::{explain, is_away, pause};
use crate::client::{Client, event_service};
use crate::convert::time;
use crate::error::{Error, reason};

pub(super) struct Job {
    pub events: Vec<Bytes>,
    pub done: Done,
}

pub(super) struct Driver {
    client: Client,
    options: PublisherOptions,
    window: Window,
    /// `None` once the publisher was closed.
    queue: Option<mpsc::Receiver<Job>>,
    /// When a batch was last acknowledged, or when the first one came after none had been under way.
    progress: Instant,
    /// Streams that broke since.
    breaks: u32,
}

/// One stream to the server.
struct Stream {
    requests: mpsc::Sender<PublishStreamRequest>,
    responses: Streaming<PublishStreamResponse>,
    address: String,
}

impl Driver {
    pub fn new(client: Client, namespace: String, options: PublisherOptions, queue: mpsc::Receiver<Job>) -> Self {
        let window = Window::new(namespace, options.window);
        Self { client, options, window, queue: Some(queue), progress: Instant::now(), breaks: 0 }
    }

    /// Until the publisher is closed and all is answered, or there is no more hope.
    pub async fn run(mut self) {
        while self.work_to_do().await {
            let Err(error) = self.stream().await else { continue };
            if let Err(error) = self.recover(error).await {
                self.window.fail(&error);
                self.refuse_queue(&error).await;
                return;
            }
        }
    }

    /// Waits for a first batch; false when there will be none.
    async fn work_to_do(&mut self) -> bool {
        if self.window.is_empty() {
            let Some(queue) = &mut self.queue else { return false };
            match queue.recv().await {
                Some(job) => self.accept(job),
                None => return false,
            }
        }
        true
    }

    fn accept(&mut self, job: Job) {
        let now = Instant::now();
        if self.window.is_empty() {
            self.progress = now;
        }
        self.window.add(job.events, job.done, now);
    }

    /// One stream, from opening to its end. `Ok` when nothing is left to do on it.
    async fn stream(&mut self) -> Result<(), Error> {
        let mut stream = self.open().await?;
        while !(self.queue.is_none() && self.window.is_empty()) {
            self.feed(&stream)?;
            let (deadline, next_due) = (self.deadline(), self.window.next_due());
            tokio::select! {
                response = stream.responses.message() => self.read(response, &stream.address)?,
                job = next_job(&mut self.queue), if self.window.has_room() => match job {
                    Some(job) => self.accept(job),
                    None => self.queue = None,
                },
                () = sleep_until(next_due.unwrap_or(deadline)), if next_due.is_some() => {}
                () = sleep_until(deadline), if !self.window.is_empty() => return Err(self.silent(&stream.address)),
            }
        }
        Ok(())
    }

    async fn open(&self) -> Result<Stream, Error> {
        let (index, address, transport) = self.client.transports.current();
        let address = address.to_owned();
        // Every batch is on the stream at most once, so the channel never holds more than the window.
        let (requests, outgoing) = mpsc::channel(self.options.window.max(1));
        let request = Request::new(ReceiverStream::new(outgoing));
        let mut service = event_service(transport);
        let opened = timeout(self.client.options.call_timeout, service.publish_stream(request)).await;
        let error = match opened {
            Ok(Ok(response)) => return Ok(Stream { requests, responses: response.into_inner(), address }),
            Ok(Err(status)) => explain(&status, &address),
            Err(_) => self.silent(&address),
        };
        if is_away(&error) {
            self.client.transports.turn_from(index);
        }
        Err(error)
    }

    fn feed(&mut self, stream: &Stream) -> Result<(), Error> {
        let now = Instant::now();
        while let Some(request) = self.window.take_due(now) {
            stream.requests.try_send(request).map_err(|_| broken(&stream.address))?;
        }
        Ok(())
    }

    fn read(
        &mut self,
        response: Result<Option<PublishStreamResponse>, tonic::Status>,
        address: &str,
    ) -> Result<(), Error> {
        let response = response.map_err(|status| explain(&status, address))?.ok_or_else(|| broken(address))?;
        match response.outcome {
            Some(Outcome::Result(result)) => {
                if self.window.acknowledge(response.sequence, result.into()) {
                    (self.progress, self.breaks) = (Instant::now(), 0);
                }
            }
            Some(Outcome::Throttled(throttled)) => {
                let delay = throttled.retry_delay.map(time::length).unwrap_or_default();
                self.window.hold(response.sequence, delay, Instant::now());
            }
            None => return Err(broken(address)),
        }
        Ok(())
    }

    /// Waits before the next stream; the error comes back where there is no point in one.
    async fn recover(&mut self, error: Error) -> Result<(), Error> {
        self.window.resend(Instant::now());
        let Some(pause) = pause(&error, self.breaks) else { return Err(error) };
        if !self.window.is_empty() && Instant::now() + pause > self.deadline() {
            return Err(error);
        }
        self.breaks += 1;
        sleep(pause).await;
        Ok(())
    }

    fn deadline(&self) -> Instant {
        self.progress + self.options.give_up_after
    }

    fn silent(&self, address: &str) -> Error {
        let message = format!("{address} has acknowledged nothing for {:?}", self.options.give_up_after);
        Error::new(Code::DeadlineExceeded, reason::DEADLINE, message)
    }

    /// Batches that were handed over and not taken yet fail like those that were.
    async fn refuse_queue(&mut self, error: &Error) {
        let Some(queue) = &mut self.queue else { return };
        queue.close();
        while let Some(job) = queue.recv().await {
            let _ = job.done.send(Err(error.clone()));
        }
    }
}

/// Never, when the publisher was closed.
async fn next_job(queue: &mut Option<mpsc::Receiver<Job>>) -> Option<Job> {
    match queue {
        Some(queue) => queue.recv().await,
        None => std::future::pending().await,
    }
}

fn broken(address: &str) -> Error {
    Error::new(Code::Unavailable, reason::UNREACHABLE, format!("{address} has ended the stream"))
}
