//! gRPC over HTTP/2 by hand, for unary calls: one message in, one message or an error out. Leaner than a generated server, which
//! matters because the stand-in shares two cores with what it is to measure.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use prost::Message;
use tonic::Code;

use super::status::Refusal;

/// As the gRPC library that Temporal's frontend is built on limits a message.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;
const PREFIX: usize = 5;

/// A start as far as the stand-in reads it; the decoder skips all other fields.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StartRequest {
    #[prost(string, tag = "1")]
    pub(crate) namespace: String,
    #[prost(string, tag = "2")]
    pub(crate) workflow_id: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) workflow_type: Option<Named>,
    #[prost(message, optional, tag = "4")]
    pub(crate) task_queue: Option<Named>,
    /// A message, taken as the bytes that it is made of.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) input: Bytes,
    #[prost(string, tag = "10")]
    pub(crate) request_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Named {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}

/// Answer to a start.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct StartResponse {
    #[prost(string, tag = "1")]
    pub(crate) run_id: String,
    #[prost(bool, tag = "3")]
    pub(crate) started: bool,
    #[prost(int32, tag = "5")]
    pub(crate) status: i32,
    #[prost(string, tag = "6")]
    pub(crate) first_execution_run_id: String,
}

/// The body of an answer: one message and the trailers, or nothing at all (the error stands in the headers).
#[derive(Debug)]
pub(crate) enum Reply {
    Message(Bytes),
    Trailers,
    End,
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = match &mut *self {
            Self::Message(bytes) => {
                let data = std::mem::take(bytes);
                *self = Self::Trailers;
                Frame::data(data)
            }
            Self::Trailers => {
                *self = Self::End;
                Frame::trailers(OK_TRAILERS.clone())
            }
            Self::End => return Poll::Ready(None),
        };
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::End)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

static OK_TRAILERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    HeaderMap::from_iter([(http::header::HeaderName::from_static("grpc-status"), HeaderValue::from_static("0"))])
});

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Reads the one message of a unary call.
pub(crate) async fn read<M: Message + Default>(body: Incoming) -> Result<M, Refusal> {
    let mut framed = read_framed(body).await?;
    if framed[0] != 0 {
        return Err(Refusal::new(
            Code::Unimplemented,
            "the stand-in takes no compressed messages: set compression off",
        ));
    }
    let length = u32::from_be_bytes([framed[1], framed[2], framed[3], framed[4]]) as usize;
    let message = framed.split_off(PREFIX);
    if message.len() != length {
        return Err(Refusal::new(Code::Internal, "the message's length is not the announced one"));
    }
    M::decode(message).map_err(|e| Refusal::new(Code::Internal, format!("not the expected message: {e}")))
}

async fn read_framed(mut body: Incoming) -> Result<Bytes, Refusal> {
    let mut framed = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|e| Refusal::new(Code::Cancelled, e.to_string()))?;
        let Ok(data) = frame.into_data() else { continue };
        if framed.is_empty() && joined.is_empty() {
            framed = data;
            continue;
        }
        if joined.is_empty() {
            joined.extend_from_slice(&framed);
        }
        joined.extend_from_slice(&data);
        check_size(joined.len())?;
    }
    let whole = if joined.is_empty() { framed } else { joined.freeze() };
    check_size(whole.len())?;
    if whole.len() < PREFIX {
        return Err(Refusal::new(Code::Internal, "a call without a message"));
    }
    Ok(whole)
}

fn check_size(len: usize) -> Result<(), Refusal> {
    if len <= MAX_MESSAGE + PREFIX {
        return Ok(());
    }
    let size = len - PREFIX;
    Err(Refusal::new(
        Code::ResourceExhausted,
        format!("grpc: received message larger than max ({size} vs. {MAX_MESSAGE})"),
    ))
}

/// Frames an answer.
pub(crate) fn reply<M: Message>(answer: Result<M, Refusal>) -> Response<Reply> {
    let message = match answer {
        Ok(message) => message,
        Err(refusal) => return refusal.into_status().into_http::<()>().map(|()| Reply::End),
    };
    let length = message.encoded_len();
    let mut framed = BytesMut::with_capacity(PREFIX + length);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(length).expect("answers are small"));
    message.encode_raw(&mut framed);
    let mut response = Response::new(Reply::Message(framed.freeze()));
    response.headers_mut().insert(http::header::CONTENT_TYPE, GRPC);
    response
}
