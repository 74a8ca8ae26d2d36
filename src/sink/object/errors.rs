//! Errors of object stores, in the words of people: the store's own code and message
//! without the request, which may hold secrets.

use std::{error::Error as _, io};

use super::url::{ObjectUrl, Service};
use crate::{error::Error, sink::errors::output_error};

/// Returns the error of an object that cannot be `verb`ed.
pub(super) fn store_error(url: &ObjectUrl, verb: &str, error: &object_store::Error) -> Error {
    let Problem { text, hint } = problem(url.service, error);
    let made = output_error(url, verb, text);
    match hint {
        Some(hint) => made.with_hint(hint),
        None => made,
    }
}

/// Returns the error for a reader of an object.
pub(super) fn read_error(url: &ObjectUrl, error: &object_store::Error) -> io::Error {
    let kind = match error {
        object_store::Error::NotFound { .. } => io::ErrorKind::NotFound,
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, problem(url.service, error).text)
}

/// What is wrong, as the end of a sentence, and what to do.
struct Problem {
    text: String,
    hint: Option<&'static str>,
}

fn problem(service: Service, error: &object_store::Error) -> Problem {
    let whole = chain(error);
    let code = element(&whole, "Code");
    let message = element(&whole, "Message").or_else(|| json_message(&whole));
    let status = status(&whole);
    let text = match (&code, &message, &status) {
        (Some(code), Some(message), _) => format!("the store says {code}: {message}"),
        (Some(code), None, _) => format!("the store says {code}"),
        (None, Some(message), _) => format!("the store says: {message}"),
        (None, None, Some(status)) => format!("the store answered {status}"),
        (None, None, None) => deepest(error),
    };
    let text = text.trim_end_matches('.').to_owned();
    let hint = code.as_deref().and_then(hint_for_code);
    Problem {
        hint: hint.or_else(|| hint_for_error(service, error, &whole)),
        text,
    }
}

/// Returns what to do about an error that a store names by `code`: those of S3, which
/// Google's XML interface shares, and those of Azure.
fn hint_for_code(code: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => "create the bucket first, or mend its name",
        "NoSuchUpload" => {
            "the unfinished upload has been removed: by a lifecycle rule, or by another program?"
        }
        "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "AuthenticationFailed"
        | "InvalidToken" => "check the credentials, and the clock of this machine",
        "ExpiredToken" | "TokenRefreshRequired" => "get new credentials, and run it again",
        "AccessDenied" | "AuthorizationPermissionMismatch" | "AuthorizationFailure" => {
            "may these credentials write there? docs/object-stores.md lists the permissions"
        }
        "RequestTimeTooSkewed" => "set the clock of this machine",
        "PermanentRedirect"
        | "AuthorizationHeaderMalformed"
        | "IllegalLocationConstraintException" => "the bucket is in another region: set AWS_REGION",
        "SlowDown" | "ServiceUnavailable" | "InternalError" | "ServerBusy"
        | "OperationTimedOut" => "the store is overloaded or down: run it again later",
        _ => return None,
    })
}

fn hint_for_error(
    service: Service,
    error: &object_store::Error,
    whole: &str,
) -> Option<&'static str> {
    Some(match error {
        object_store::Error::Precondition { .. } => "remove it first, or leave --if-absent out",
        object_store::Error::AlreadyExists { .. } if whole.contains("Precondition") => {
            "remove it first, or leave --if-absent out"
        }
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => {
            "may these credentials write there? docs/object-stores.md lists the permissions"
        }
        object_store::Error::NotFound { .. } => "is the bucket there?",
        _ if whole.contains("169.254.169.254") || whole.contains("metadata.google.internal") => {
            match service {
                Service::S3 => {
                    "no credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
                }
                Service::Google => "no credentials were found: set GOOGLE_APPLICATION_CREDENTIALS",
                Service::Azure => "no credentials were found: set AZURE_STORAGE_ACCOUNT_KEY",
            }
        }
        _ if CONNECTION_PROBLEMS.iter().any(|text| whole.contains(text)) => {
            "is the endpoint right, and can this machine reach it?"
        }
        _ => return None,
    })
}

/// What the HTTP client says of a server that it does not reach.
const CONNECTION_PROBLEMS: [&str; 4] = [
    "error sending request",
    "HTTP error",
    "timed out",
    "Connection re",
];

/// Returns the texts of `error` and of its sources.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// Returns the text of the innermost source of `error`.
fn deepest(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

/// Returns the text of the first element called `name` of the XML in `text`.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    let (value, _) = rest.split_once("</")?;
    // Azure adds the request's id and the time in lines of their own.
    let line = value.lines().next()?.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

/// Returns the message of an error in Google's JSON.
fn json_message(text: &str) -> Option<String> {
    let start = text.find("{\"error\"").or_else(|| text.find("{\n"))?;
    let mut documents =
        serde_json::Deserializer::from_str(&text[start..]).into_iter::<serde_json::Value>();
    let document = documents.next()?.ok()?;
    Some(document.get("error")?.get("message")?.as_str()?.to_owned())
}

/// Returns the status of the response, such as `503 Service Unavailable`.
fn status(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("status code: ")?;
    let end = rest.find([':', '\n']).unwrap_or(rest.len());
    Some(rest[..end].trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: body.to_owned().into(),
        }
    }

    #[test]
    fn a_store_speaks_for_itself_and_no_secret_is_shown() {
        let url = ObjectUrl::parse("s3://b/k.csv".as_ref()).expect("a URL");
        let body = "Error performing PUT http://x in 3ms - Server returned non-2xx status code: 403 \
                    Forbidden: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
                    <Message>The signature does not match.</Message>\
                    <StringToSign>secret</StringToSign></Error>";
        let error = store_error(&url, "write to", &refused(body));
        assert_eq!(
            error.message(),
            "cannot write to s3://b/k.csv: the store says SignatureDoesNotMatch: \
             The signature does not match"
        );
        let bare = "Server returned non-2xx status code: 503 Service Unavailable: ";
        let error = store_error(&url, "write to", &refused(bare));
        assert_eq!(
            error.message(),
            "cannot write to s3://b/k.csv: the store answered 503 Service Unavailable"
        );
    }
}
