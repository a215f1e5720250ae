//! What the doors refuse: over HTTP with a problem that names the field, over gRPC with a status or by the event's index.

use anyhow::{Context, Result};
use flintwheel_proto::v1::event_service_client::EventServiceClient;
use flintwheel_proto::v1::{PublishRequest, PublishStreamRequest};
use tonic::codegen::tokio_stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use super::support::{Server, fault, request};

const EVENTS: &str = "/v1/namespaces/default/events";
const BAD: &str = "/v1/namespaces/default/definitions/bad";
const JSON: &str = "Content-Type: application/json\r\n";
const EVENT: &str = "Content-Type: application/cloudevents+json\r\n";
const BATCH: &str = "Content-Type: application/cloudevents-batch+json\r\n";
const BINARY: &str = "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n";

/// A definition with this spec.
fn definition(spec: &str) -> String {
    let start = r#""start_workflow":{"type":"T","task_queue":"q"}"#;
    let head = r#""apiVersion":"flintwheel.dev/v1","kind":"ActivityDefinition","metadata":{"id":"bad"}"#;
    format!(r#"{{{head},"spec":{{{start}{spec}}}}}"#)
}

fn scheduled(schedule: &str) -> String {
    definition(&format!(r#","trigger":{{"schedule":{schedule}}}"#))
}

fn event(more: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t"{more}}}"#)
}

/// Method, path, headers, body; status and what the answer must say.
type HttpCase<'a> = (&'a str, &'a str, &'a str, &'a str, u16, &'a [&'a str]);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_answers_with_field_value_and_what_is_allowed() -> Result<()> {
    let deep = definition(&format!(r#","context_sources":{}"#, "[".repeat(10_000)));
    let deep_event = event(&format!(r#","data":{}"#, "[".repeat(10_000)));
    let large = definition(&format!(r#","dedupe_key_strategy":{{"key":"{}"}}"#, "x".repeat(300_000)));
    let five_mebibytes = event(&format!(r#","data":"{}""#, "x".repeat(5 << 20)));
    let future = event(r#","time":"2999-01-01T00:00:00Z""#);
    let bad_batch = format!("[{},{}]", r#"{"specversion":"1.0","id":"1","source":"/s"}"#, event(""));
    let cases: &[HttpCase] = &[
        ("POST", EVENTS, EVENT, r#"{"specversion":"1.0","source":"/s","type":"t"}"#, 400, &["id: is required"]),
        ("POST", EVENTS, EVENT, r#"{"specversion":"1.0","id":"1","type":"t"}"#, 400, &["source: is required"]),
        ("POST", EVENTS, EVENT, r#"{"specversion":"1.0","id":"1","source":"/s"}"#, 400, &["type: is required"]),
        ("POST", EVENTS, BINARY, "{}", 400, &["type: is required"]),
        (
            "POST",
            EVENTS,
            EVENT,
            &future,
            400,
            &["time: 2999-01-01T00:00:00Z is more than a day ahead", "EVENT_INVALID"],
        ),
        ("POST", EVENTS, EVENT, &five_mebibytes, 413, &["the body has 52", "at most 4194304 bytes", "TOO_LARGE"]),
        ("POST", EVENTS, EVENT, "{", 400, &[r#""detail":"EOF while parsing an object"#, "line 1 column 1"]),
        ("POST", EVENTS, EVENT, &deep_event, 400, &["is nested deeper than 64"]),
        ("POST", EVENTS, BATCH, &bad_batch, 400, &["[0].type: is required"]),
        ("POST", EVENTS, "Content-Type: application/xml\r\n", "<a/>", 415, &["application/xml", "cloudevents+json"]),
        ("POST", "/v1/namespaces/Bad_NS/events", EVENT, &event(""), 400, &["namespace", "Bad_NS", "a-z 0-9 -"]),
        ("PUT", BAD, JSON, &deep, 400, &["spec.context_sources", "is nested deeper than 64 at line 1"]),
        (
            "PUT",
            BAD,
            JSON,
            &large,
            400,
            &["; the definition has 300211 bytes as JSON; at most 262144", r#""field":"""#],
        ),
        ("PUT", BAD, JSON, &scheduled(r#"{"cron":"0 24 * * *"}"#), 400, &["cron[0]", r#"hour \"24\" is not in 0-23"#]),
        ("PUT", BAD, JSON, &scheduled(r#"{"at":"2001-01-01T00:00:00Z"}"#), 400, &["schedule", "are in the past"]),
        (
            "PUT",
            BAD,
            JSON,
            &scheduled(r#"{"interval":{"every":"0s"}}"#),
            400,
            &["interval[0].every", r#"\"0s\" is below 1s"#],
        ),
        ("PUT", BAD, JSON, &definition(r#","enabeld":true"#), 400, &["spec.enabeld", "expected one of `enabled`"]),
        (
            "PUT",
            "/v1/namespaces/default/definitions/other",
            JSON,
            &definition(""),
            400,
            &["metadata.id", "bad", "other"],
        ),
        ("PUT", "/v1/namespaces/default/definitions/Od%2Fd", JSON, &definition(""), 400, &["Od/d", "a-z 0-9 . _ -"]),
        ("GET", "/v1/definitions?page_sizes=3", "", "", 400, &["page_sizes", "expected one of"]),
        ("GET", "/v1/definitions?page_token=x", "", "", 400, &["page_token", "is not one that this server gave out"]),
        ("GET", "/v1/nothing", "", "", 404, &["there is nothing at /v1/nothing"]),
    ];
    let mut server = Server::start().await?;
    let mut faults = Vec::new();
    for (method, path, headers, body, status, words) in cases {
        let answer = request(server.engine.http(), method, path, headers, body).await?;
        let start: String = body.chars().take(80).collect();
        let case = format!("{method} {path} {start}");
        faults.extend(fault(&case, answer.status.into(), &answer.body, (*status).into(), words));
    }
    server.holds_nothing_after(faults).await
}

/// Bytes of a `CloudEvent` that this program would never write: fields by number, as text.
fn raw(fields: &[(u8, &str)]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(number, text)| [&[number << 3 | 2, text.len() as u8][..], text.as_bytes()].concat())
        .collect()
}

async fn client(server: &Server) -> Result<EventServiceClient<Channel>> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.engine.grpc()))?;
    Ok(EventServiceClient::new(endpoint.connect().await?))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_on_the_wire_that_is_none_is_told_by_its_index() -> Result<()> {
    let large =
        [&raw(&[(1, "1"), (2, "/s"), (3, "1.0"), (4, "t")])[..], &[0x3a, 0x80, 0x80, 0x20], &vec![b'x'; 1 << 19]]
            .concat();
    let cases: &[(Vec<u8>, &str, &str)] = &[
        (raw(&[(2, "/s"), (3, "1.0"), (4, "t")]), "id", "must not be empty"),
        (raw(&[(1, "1"), (3, "1.0"), (4, "t")]), "source", "must not be empty"),
        (raw(&[(1, "1"), (2, "/s"), (3, "1.0")]), "type", "must not be empty"),
        (raw(&[(1, "1"), (2, "/s"), (3, "0.3"), (4, "t")]), "specversion", "1.0"),
        (vec![0xff, 0xff], "", ""),
        (large, "", "262144"),
        (raw(&[(1, "1"), (2, "/s"), (3, "1.0"), (4, "t")]), "-", ""),
    ];
    let mut server = Server::start().await?;
    let events = cases.iter().map(|(bytes, ..)| bytes.clone().into()).collect();
    let request = PublishRequest { namespace: String::new(), events };
    let result = client(&server).await?.publish(request).await?.into_inner().result.context("a result")?;
    assert_eq!((result.accepted, result.rejected.len()), (1, cases.len() - 1), "{result:?}");
    for (rejected, (_, field, word)) in result.rejected.iter().zip(cases) {
        assert_eq!(rejected.field, *field, "{rejected:?}");
        assert!(rejected.message.contains(word) && !rejected.message.is_empty(), "{rejected:?}");
    }
    server.holds_nothing_after(Vec::new()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_is_none_is_refused_as_a_whole() -> Result<()> {
    let mut server = Server::start().await?;
    let mut events = client(&server).await?;
    let full = PublishRequest { namespace: String::new(), events: vec![vec![b'x'; 5 << 20].into()] };
    check(
        "large message",
        &events.publish(full).await.expect_err("refused"),
        Code::OutOfRange,
        "at most 4194304 bytes",
    );
    let many = PublishRequest { namespace: String::new(), events: vec![Vec::new().into(); 10_001] };
    check("many events", &events.publish(many).await.expect_err("refused"), Code::InvalidArgument, "at most 10000");
    let batch = |namespace: &str, events: Vec<Vec<u8>>| PublishStreamRequest {
        sequence: 1,
        namespace: namespace.to_owned(),
        events: events.into_iter().map(Into::into).collect(),
    };
    for (case, batch, code, word) in [
        ("namespace of a stream", batch("Bad_NS", vec![]), Code::InvalidArgument, "\"Bad_NS\" holds 'B'"),
        ("stream of too many", batch("", vec![Vec::new(); 10_001]), Code::InvalidArgument, "at most 10000"),
        ("stream of too much", batch("", vec![vec![b'x'; 5 << 20]]), Code::OutOfRange, "at most 4194304 bytes"),
    ] {
        let answers = events.publish_stream(tokio_stream::iter([batch])).await;
        let refused = match answers {
            Ok(answers) => answers.into_inner().message().await.expect_err(case),
            Err(status) => status,
        };
        check(case, &refused, code, word);
    }
    server.holds_nothing_after(Vec::new()).await
}

fn check(case: &str, status: &Status, code: Code, word: &str) {
    assert!(status.code() == code && status.message().contains(word), "{case}: {status:?}");
}
