//! What an object store said, for people: on one line, with the code out of its XML, and never with a credential in it.

use std::env;
use std::error::Error;

/// Of one error, in characters.
const LONGEST: usize = 600;
/// A value shorter than this is no credential, and would be found everywhere.
const SHORTEST_SECRET: usize = 4;

/// Values that must not be shown.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

impl Secrets {
    /// Those of the variables that credentials come from.
    pub fn of_environment() -> Self {
        Self::of(env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))))
    }

    fn of(variables: impl Iterator<Item = (String, String)>) -> Self {
        let mut values: Vec<String> =
            variables.filter(|(name, value)| is_secret(name, value)).map(|(_, value)| value).collect();
        // The longest first: one may be part of another.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self(values)
    }

    /// What was said, fit to be shown.
    pub fn said(&self, error: &object_store::Error) -> String {
        let mut line = plain(&whole(error));
        for secret in &self.0 {
            line = line.replace(secret.as_str(), "[secret]");
        }
        match line.char_indices().nth(LONGEST) {
            Some((cut, _)) => format!("{}...", &line[..cut]),
            None => line,
        }
    }
}

/// With all that lies behind it: the first line of a connection that was refused says only that a request could not be sent.
fn whole(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(behind) = source {
        let more = behind.to_string();
        if !text.contains(&more) {
            text = format!("{}: {more}", text.trim_end());
        }
        source = behind.source();
    }
    text
}

/// What the status of an answer means here, if it means something: it stands in the text only, for some of what can be asked.
pub fn meaning(said: &str) -> Option<&'static str> {
    let is = |status: &str| said.contains(&format!("status code: {status}"));
    if is("401") || is("403") {
        Some("the store refuses it to these credentials")
    } else if is("404") {
        Some("there is no such bucket, container or object")
    } else {
        None
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let ours = ["AWS_", "GOOGLE_", "AZURE_"].iter().any(|prefix| name.starts_with(prefix));
    let secret = ["KEY", "SECRET", "TOKEN", "SAS", "PASSWORD"].iter().any(|word| name.contains(word));
    // A path to a credential is worth reading in an error.
    ours && secret && !name.ends_with("_FILE") && value.len() >= SHORTEST_SECRET
}

/// One line; of an XML document its code and its message.
fn plain(text: &str) -> String {
    let (before, document) = match text.find("<?xml").or_else(|| text.find("<Error>")) {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let of = |tag: &str| {
        let (_, rest) = document.split_once(&format!("<{tag}>"))?;
        rest.split_once(&format!("</{tag}>")).map(|(inner, _)| inner.to_owned())
    };
    let told: Vec<String> = [of("Code"), of("Message")].into_iter().flatten().collect();
    let all = if told.is_empty() { text.to_owned() } else { format!("{before} {}", told.join(": ")) };
    all.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(source: &str) -> object_store::Error {
        object_store::Error::Generic { store: "S3", source: source.to_owned().into() }
    }

    #[test]
    fn the_code_and_the_message_are_taken_out_of_an_answer() {
        for (text, said) in [
            (
                "PUT http://s/b/k - 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>AccessDenied</Code><Message>No.</Message></Error>",
                "Generic S3 error: PUT http://s/b/k - 403 Forbidden: AccessDenied: No.",
            ),
            ("503: <Error><Code>SlowDown</Code></Error>", "Generic S3 error: 503: SlowDown"),
            ("connection\n  refused", "Generic S3 error: connection refused"),
            ("<?xml odd", "Generic S3 error: <?xml odd"),
            ("HEAD http://s/b/k - 403 Forbidden: ", "Generic S3 error: HEAD http://s/b/k - 403 Forbidden"),
        ] {
            assert_eq!(Secrets::default().said(&error(text)), said);
        }
        let long = Secrets::default().said(&error(&"é".repeat(2 * LONGEST)));
        assert!(long.ends_with("é...") && long.chars().count() == LONGEST + 3, "{long}");
    }

    #[test]
    fn what_lies_behind_an_error_is_said_too() {
        #[derive(Debug, thiserror::Error)]
        #[error("not sent")]
        struct Behind(#[source] std::io::Error);
        let refused = std::io::Error::other("Connection refused");
        let error = object_store::Error::Generic { store: "S3", source: Box::new(Behind(refused)) };
        assert_eq!(Secrets::default().said(&error), "Generic S3 error: not sent: Connection refused");
    }

    #[test]
    fn the_status_of_an_answer_tells_what_it_means() {
        for (said, means) in [
            ("non-2xx status code: 403 Forbidden", Some("the store refuses it to these credentials")),
            ("non-2xx status code: 401 Unauthorized", Some("the store refuses it to these credentials")),
            ("non-2xx status code: 404 Not Found", Some("there is no such bucket, container or object")),
            ("non-2xx status code: 503 Service Unavailable", None),
            ("connection refused", None),
        ] {
            assert_eq!(meaning(said), means, "{said}");
        }
    }

    #[test]
    fn credentials_are_never_said() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", "wJalrXUt"),
            ("AWS_SESSION_TOKEN", "AKIDEXAMPLE-and-more"),
            ("AZURE_STORAGE_SAS_KEY", "sv=2024&sig=abc"),
            ("GOOGLE_SERVICE_ACCOUNT_KEY", "{private}"),
            // No credentials.
            ("AWS_REGION", "eu-central-1"),
            ("AWS_WEB_IDENTITY_TOKEN_FILE", "/var/run/token"),
            ("OTHER_KEY", "plain"),
            ("AWS_KEY", "x"),
        ];
        let secrets = Secrets::of(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let all = variables.map(|(_, value)| value).join(" ");
        let said = secrets.said(&error(&all));
        assert_eq!(
            said,
            "Generic S3 error: [secret] [secret] [secret] [secret] [secret] eu-central-1 /var/run/token plain x"
        );
        assert_eq!(format!("{secrets:?}"), "5 secrets");
    }
}
