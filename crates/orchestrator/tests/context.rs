//! Context sources against a real HTTP service.

mod support;

use flintwheel_model::definition::HttpSource;
use flintwheel_orchestrator::context::{ANSWER_BYTES, Resolver, SourceError};
use serde_json::{Value, json};

use support::http::{HttpService, answer, json as json_answer};

fn source(json: Value) -> HttpSource {
    serde_json::from_value(json).expect("a source")
}

fn vars() -> Value {
    json!({"event": {"data": {"id": 42, "name": "Ada Lovelace", "token": "s3cret"}}})
}

async fn fetch(json: Value) -> Result<Value, SourceError> {
    Resolver::new().expect("a resolver").fetch(&source(json), &vars()).await
}

async fn service() -> HttpService {
    let big = "x".repeat(ANSWER_BYTES + 1);
    HttpService::start(move |line| match line {
        "GET /json" => json_answer(r#"{"open": true}"#),
        "GET /problem" => answer("200 OK", &["content-type: application/problem+json"], b"[1, 2]"),
        "GET /text" => answer("200 OK", &["content-type: text/plain"], "Grüße".as_bytes()),
        "GET /empty" => answer("204 No Content", &[], b""),
        "GET /broken" => json_answer("{"),
        "GET /binary" => answer("200 OK", &["content-type: image/png"], &[0xff, 0xfe]),
        "GET /big" => answer("200 OK", &[], big.as_bytes()),
        "GET /controls" => answer("200 OK", &[], "\u{1}".repeat(ANSWER_BYTES / 2).as_bytes()),
        "GET /moved" => answer("302 Found", &["location: /json"], b""),
        "GET /around" => answer("302 Found", &["location: /around"], b""),
        "GET /elsewhere" => answer("302 Found", &["location: file:///etc/passwd"], b""),
        "GET /busy" => answer("503 Service Unavailable", &[], b""),
        "GET /throttled" => answer("429 Too Many Requests", &[], b""),
        "GET /forbidden" => answer("403 Forbidden", &[], b""),
        "GET /silent" => Vec::new(),
        "POST /made" => json_answer("1"),
        _ => answer("404 Not Found", &[], b""),
    })
    .await
}

#[tokio::test]
async fn answers_become_values() {
    let service = service().await;
    for (path, value) in [
        ("/json", json!({"open": true})),
        ("/problem", json!([1, 2])),
        ("/text", json!("Grüße")),
        ("/empty", json!(null)),
        ("/moved", json!({"open": true})),
    ] {
        assert_eq!(fetch(json!({"url": service.url(path)})).await, Ok(value), "{path}");
    }
}

#[tokio::test]
async fn faults_say_what_and_whether_another_try_can_help() {
    let service = service().await;
    for (path, another_try, why) in [
        ("/broken", false, "the answer is not JSON"),
        ("/binary", false, "neither JSON nor UTF-8"),
        ("/big", false, "more than 1048576 bytes"),
        ("/controls", false, "bytes as JSON"),
        ("/around", false, "more than 5 redirects"),
        ("/elsewhere", false, "answered 302 Found"),
        ("/forbidden", false, "answered 403 Forbidden"),
        ("/none", false, "answered 404 Not Found"),
        ("/busy", true, "answered 503 Service Unavailable"),
        ("/throttled", true, "answered 429 Too Many Requests"),
        ("/silent", true, "no answer in time"),
    ] {
        let url = format!("{}?token={{{{ event.data.token }}}}", service.url(path));
        let timeout = if path == "/silent" { "100ms" } else { "5m" };
        let error = fetch(json!({"url": url, "timeout": timeout})).await.expect_err(path);
        assert_eq!(matches!(error, SourceError::Temporary(_)), another_try, "{path}: {error}");
        let text = error.to_string();
        assert!(text.contains(why), "{path}: {text}");
        assert!(!text.contains("s3cret"), "{text}");
    }
}

#[tokio::test]
async fn nobody_listening_is_worth_another_try() {
    let url = format!("http://127.0.0.1:{}/", support::temporal::free_port());
    let error = fetch(json!({"url": url})).await.expect_err("nobody");
    assert!(matches!(&error, SourceError::Temporary(why) if why.contains("refused")), "{error}");
}

#[tokio::test]
async fn templates_stand_in_url_headers_and_body() {
    let service = service().await;
    let answer = fetch(json!({
        "url": service.url("/made"), "method": "POST",
        "headers": {"X-Name": "{{ event.data.name }}"},
        "body": {"id": "{{ event.data.id }}", "text": "for {{ event.data.name }}"}
    }));
    assert_eq!(answer.await, Ok(json!(1)));
    let request = service.requests().remove(0);
    assert!(request.contains("x-name: Ada Lovelace\r\n"), "{request}");
    assert!(request.contains("content-type: application/json\r\n"), "{request}");
    assert!(request.ends_with(r#"{"id":42,"text":"for Ada Lovelace"}"#), "{request}");
}

#[tokio::test]
async fn what_templates_yield_is_checked() {
    for (json, why) in [
        (json!({"url": "{{ event.data.name }}"}), "http.url: does not yield a URL"),
        (json!({"url": "{{ 'file:///etc/passwd' }}"}), "is not an http or https URL"),
        (json!({"url": "http://x/{{ event.data.nobody }}"}), "http.url: the template"),
        (json!({"url": "http://x/", "headers": {"A": "{{ 'a\nb' }}"}}), "http.headers.A: yields a control character"),
        (json!({"url": "http://x/", "method": "POST", "body": ["{{ nobody }}"]}), "http.body[0]: the template"),
    ] {
        let error = fetch(json).await.expect_err(why);
        assert!(matches!(&error, SourceError::Permanent(text) if text.contains(why)), "{error}");
    }
}
