//! Context sources over HTTP: one request, one value.
//!
//! Knows nothing of Temporal: whether to try again is told by the kind of error, when is the activity's retry policy.

use flintwheel_model::definition::HttpSource;
use flintwheel_model::{event, template};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect};
use serde_json::Value;

/// Of an answer as it arrives, and of its value as JSON: it becomes a payload in the workflow's history.
pub const ANSWER_BYTES: usize = 1024 * 1024;
/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// Fetches context values.
#[derive(Clone)]
pub struct Resolver {
    client: Client,
}

/// Why a source yields no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Another try may succeed.
    #[error("{0}")]
    Temporary(String),
    /// Each try would end so.
    #[error("{0}")]
    Permanent(String),
}

impl Resolver {
    /// With its own connections, and the system's certificates.
    pub fn new() -> Result<Self, reqwest::Error> {
        // Another part of the process may have chosen one already; then that one stands.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::custom(follow))
            .user_agent(concat!("flintwheel/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client })
    }

    /// Renders the source's templates with these variables, sends the request and reads the value: JSON where the answer says so, else
    /// text; null where there is no body.
    pub async fn fetch(&self, source: &HttpSource, vars: &Value) -> Result<Value, SourceError> {
        let url = url(source, vars)?;
        let shown = shown(&url);
        let request = self.request(source, url, vars)?;
        let response = request.send().await.map_err(|e| network(&shown, &e))?;
        let status = response.status();
        if !status.is_success() {
            return Err(refused(&shown, status));
        }
        let is_json = content_type(&response).is_some_and(|kind| event::is_json(&kind));
        let body = read(&shown, response).await?;
        value(&shown, &body, is_json)
    }

    fn request(&self, source: &HttpSource, url: Url, vars: &Value) -> Result<RequestBuilder, SourceError> {
        let method = Method::from_bytes(source.method.as_bytes())
            .map_err(|_| SourceError::Permanent(format!("http.method: {:?} is not GET or POST", source.method)))?;
        let request = self.client.request(method, url).timeout(source.timeout.into()).headers(headers(source, vars)?);
        let Some(body) = &source.body else { return Ok(request) };
        let body = template::render(body, vars)
            .map_err(|e| SourceError::Permanent(format!("http.body{}: {}", e.path, e.message)))?;
        Ok(request.header(CONTENT_TYPE, "application/json").body(body.to_string()))
    }
}

/// A few redirects; the client itself follows none to another scheme than http and https.
fn follow(attempt: redirect::Attempt) -> redirect::Action {
    if is_downgrade(attempt.previous(), attempt.url()) {
        return attempt.error("a redirect from https to http is not followed");
    }
    if attempt.previous().len() > REDIRECTS {
        return attempt.error(format!("more than {REDIRECTS} redirects"));
    }
    attempt.follow()
}

/// Without TLS the answer could be forged, and the request's headers could be read.
fn is_downgrade(previous: &[Url], next: &Url) -> bool {
    next.scheme() != "https" && previous.iter().any(|url| url.scheme() == "https")
}

fn is_http(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
}

fn url(source: &HttpSource, vars: &Value) -> Result<Url, SourceError> {
    let text = template::render_text(&source.url, vars)
        .map_err(|e| SourceError::Permanent(format!("http.url: {}", e.message)))?;
    match Url::parse(&text) {
        Ok(url) if is_http(&url) && url.has_host() => Ok(url),
        Ok(url) => Err(SourceError::Permanent(format!("http.url: {}: is not an http or https URL", shown(&url)))),
        Err(error) => Err(SourceError::Permanent(format!("http.url: does not yield a URL: {error}"))),
    }
}

/// Without user, password, query and fragment: any of them may hold a secret.
fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

fn headers(source: &HttpSource, vars: &Value) -> Result<HeaderMap, SourceError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &source.headers {
        let fault = |why: String| SourceError::Permanent(format!("http.headers.{name}: {why}"));
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|e| fault(e.to_string()))?;
        let text = template::render_text(value, vars).map_err(|e| fault(e.message))?;
        let value = HeaderValue::from_str(&text).map_err(|_| fault("yields a control character".to_owned()))?;
        headers.insert(key, value);
    }
    Ok(headers)
}

fn network(shown: &str, error: &reqwest::Error) -> SourceError {
    let why = if error.is_timeout() { "no answer in time".to_owned() } else { root(error) };
    let message = format!("{shown}: {why}");
    if error.is_redirect() || error.is_builder() {
        SourceError::Permanent(message)
    } else {
        SourceError::Temporary(message)
    }
}

/// The innermost cause; the outer ones repeat the URL, which may hold secrets.
fn root(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

fn refused(shown: &str, status: StatusCode) -> SourceError {
    let message = format!("{shown}: answered {status}");
    let another_try_may_help = status.is_server_error()
        || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS);
    if another_try_may_help { SourceError::Temporary(message) } else { SourceError::Permanent(message) }
}

fn content_type(response: &Response) -> Option<String> {
    response.headers().get(CONTENT_TYPE)?.to_str().ok().map(str::to_owned)
}

async fn read(shown: &str, mut response: Response) -> Result<Vec<u8>, SourceError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| network(shown, &e))? {
        if body.len() + chunk.len() > ANSWER_BYTES {
            return Err(SourceError::Permanent(format!("{shown}: the answer has more than {ANSWER_BYTES} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn value(shown: &str, body: &[u8], is_json: bool) -> Result<Value, SourceError> {
    if body.is_empty() {
        return Ok(Value::Null);
    }
    let value = if is_json {
        serde_json::from_slice(body)
            .map_err(|e| SourceError::Permanent(format!("{shown}: the answer is not JSON: {e}")))?
    } else {
        let text = std::str::from_utf8(body)
            .map_err(|_| SourceError::Permanent(format!("{shown}: the answer is neither JSON nor UTF-8 text")))?;
        Value::String(text.to_owned())
    };
    // A text full of control characters grows when it is written as JSON.
    let size = value.to_string().len();
    if size > ANSWER_BYTES {
        return Err(SourceError::Permanent(format!(
            "{shown}: the answer has {size} bytes as JSON; at most {ANSWER_BYTES}"
        )));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_never_leads_from_https_to_http() {
        let url = |text: &str| Url::parse(text).expect("a URL");
        for (previous, next, downgrade) in [
            (vec!["http://a/"], "http://b/", false),
            (vec!["http://a/"], "https://a/", false),
            (vec!["https://a/"], "https://b/", false),
            (vec!["https://a/"], "http://a/", true),
            (vec!["https://a/", "https://b/"], "http://b/", true),
        ] {
            let previous: Vec<Url> = previous.into_iter().map(url).collect();
            assert_eq!(is_downgrade(&previous, &url(next)), downgrade, "{previous:?} {next}");
        }
    }
}
