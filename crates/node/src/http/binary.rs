//! CloudEvents in binary mode: attributes in `ce-` headers, percent-encoded; the data is the body.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_model::event::{Data, Event, is_json};
use flintwheel_model::ids::short;
use flintwheel_model::violation::Violations;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::body::from_slice;

/// What the names of headers with attributes begin with.
const PREFIX: &str = "ce-";
const MEDIA_TYPE: &str = "datacontenttype";

/// Whether any header holds an attribute.
pub fn is_meant(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with(PREFIX))
}

/// The event; all that is wrong with it at once.
pub fn event(headers: &HeaderMap, body: &Bytes) -> Result<Event, Violations> {
    let mut faults = Violations::default();
    let attributes = attributes(headers, &mut faults);
    let json = attributes.get(MEDIA_TYPE).and_then(Value::as_str).is_some_and(is_json);
    let event = Event { data: data(body, json, &mut faults), attributes };
    if let Err(found) = event.check() {
        // What was there but could not be read is not missing.
        let read = |field: &str| faults.0.iter().all(|fault| fault.field != field);
        let found: Vec<_> = found.0.into_iter().filter(|fault| read(&fault.field)).collect();
        faults.0.extend(found);
    }
    faults.into_result().map(|()| event)
}

fn attributes(headers: &HeaderMap, faults: &mut Violations) -> BTreeMap<String, Value> {
    let mut attributes = BTreeMap::new();
    for name in headers.keys() {
        let attribute = match name.as_str().strip_prefix(PREFIX) {
            Some(MEDIA_TYPE | "data") => {
                faults.push(name.as_str(), "data is the body, and its type stands in Content-Type");
                continue;
            }
            Some(attribute) => attribute,
            None if *name == CONTENT_TYPE => MEDIA_TYPE,
            None => continue,
        };
        let mut values = headers.get_all(name).iter();
        match (values.next().map(|value| decode(value.as_bytes())), values.next()) {
            (_, Some(_)) => faults.push(attribute, "stands in more than one header"),
            (Some(Ok(value)), None) => {
                attributes.insert(attribute.to_owned(), value.into());
            }
            (Some(Err(why)), None) => faults.push(attribute, why),
            (None, None) => {}
        }
    }
    attributes
}

/// JSON is kept as its text, so that numbers stay as they were written.
fn data(body: &Bytes, json: bool, faults: &mut Violations) -> Data {
    if body.is_empty() {
        return Data::None;
    }
    if !json {
        return Data::Binary(body.to_vec());
    }
    match (from_slice::<Value>(body), std::str::from_utf8(body)) {
        (Ok(_), Ok(text)) => Data::Text(text.to_owned()),
        (Err(found), _) => {
            let why = found.0.first().map_or("", |fault| &fault.message);
            faults.push("data", format!("is not JSON, as Content-Type says it is: {why}"));
            Data::None
        }
        (Ok(_), Err(_)) => {
            faults.push("data", "is not UTF-8, as JSON is");
            Data::None
        }
    }
}

/// A header's value as an attribute: quotes taken off, then percent-decoded once.
fn decode(value: &[u8]) -> Result<String, String> {
    let plain = percent_decode(&unquote(value)?)?;
    String::from_utf8(plain).map_err(|_| "is not UTF-8 after percent-decoding".to_owned())
}

fn unquote(value: &[u8]) -> Result<Vec<u8>, String> {
    let Some(rest) = value.strip_prefix(b"\"") else { return Ok(value.to_vec()) };
    let quoted = rest.strip_suffix(b"\"").ok_or("begins with a quote that is not closed")?;
    let mut out = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => out.push(*bytes.next().ok_or("ends with a backslash")?),
            other => out.push(*other),
        }
    }
    Ok(out)
}

fn percent_decode(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((byte, after)) = rest.split_first() {
        let digit = |at: usize| after.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        rest = match (byte, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                &after[2..]
            }
            (b'%', ..) => {
                let text = short(&String::from_utf8_lossy(value));
                return Err(format!("{text:?} holds a % without two hexadecimal digits; write %25 for a %"));
            }
            (other, ..) => {
                out.push(*other);
                after
            }
        };
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(more: &[(&str, &[u8])]) -> HeaderMap {
        let base: [(&str, &[u8]); 4] =
            [("ce-specversion", b"1.0"), ("ce-id", b"1"), ("ce-source", b"s"), ("ce-type", b"t")];
        let mut headers = HeaderMap::new();
        for (name, value) in base.iter().filter(|(name, _)| !more.iter().any(|(m, v)| m == name && v.is_empty())) {
            headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(value).expect("a value"));
        }
        for (name, value) in more.iter().filter(|(_, value)| !value.is_empty()) {
            let name: HeaderName = name.parse().expect("a name");
            headers.append(name, HeaderValue::from_bytes(value).expect("a value"));
        }
        headers
    }

    #[test]
    fn values_are_unquoted_and_decoded_once() {
        for (value, decoded) in [
            (&b"plain"[..], Ok("plain")),
            (b"Euro%20%E2%82%AC%20%F0%9F%98%80", Ok("Euro \u{20ac} \u{1f600}")),
            (b"100%2525", Ok("100%25")),
            (b"\"a \\\"b\\\" c\"", Ok("a \"b\" c")),
            (b"\"open", Err("not closed")),
            (b"50%", Err("write %25")),
            (b"%zz", Err("write %25")),
            (b"%FF", Err("not UTF-8")),
            (b"\xff", Err("not UTF-8")),
        ] {
            match (decode(value), decoded) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{value:?}: {why}"),
                (got, expected) => panic!("{value:?}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn faults_name_the_attribute_and_come_all_at_once() {
        for (more, fields) in [
            (&[("ce-id", &b""[..]), ("ce-type", b"")][..], &["id", "type"][..]),
            (&[("ce-id", b"2")], &["id"]),
            (&[("ce-subject", b"50%"), ("ce-specversion", b"")], &["subject", "specversion"]),
            (&[("ce-datacontenttype", b"text/plain")], &["ce-datacontenttype"]),
            (&[("ce-time", b"yesterday")], &["time"]),
            (&[("ce-bad_name", b"x")], &["bad_name"]),
            (&[("ce-subject", b"a%07")], &["subject"]),
        ] {
            let faults = event(&headers(more), &Bytes::new()).expect_err("faults");
            let found: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
            assert_eq!(found, fields, "{faults}");
        }
    }

    #[test]
    fn data_is_what_the_content_type_says() {
        let read = |media_type: &'static [u8], body: &'static [u8]| {
            event(&headers(&[("content-type", media_type)]), &Bytes::from_static(body)).map(|event| event.data)
        };
        let precise = b"{\"a\":1.0, \"b\":123456789012345678901234567890}";
        assert_eq!(read(b"application/json", precise), Ok(Data::Text(String::from_utf8_lossy(precise).into())));
        assert_eq!(read(b"application/octet-stream", b"{\xff"), Ok(Data::Binary(b"{\xff".to_vec())));
        assert_eq!(read(b"text/plain", b"a"), Ok(Data::Binary(b"a".to_vec())));
        assert_eq!(read(b"application/json", b""), Ok(Data::None));
        for body in [&b"{"[..], b"{} {}", b"\"\xff\""] {
            let faults = read(b"application/json", body).expect_err("no JSON");
            assert_eq!(faults.0[0].field, "data");
        }
    }
}
