//! Why a request failed, as people should read it: the cloud's own code and message, with the cure
//! where one is known, bounded, without control characters and without secrets.
//!
//! An answer may repeat what was sent: that of `SignatureDoesNotMatch` has the key id, the signature
//! and the text that was signed, that of `ExpiredToken` the session's token. So of an answer only the two
//! fields that are made for people are shown, of these no word that is as long as a token, and never
//! the rest of it, whatever its form.

use serde_json::Value;

/// Most characters of a message that are shown.
const MESSAGE_MAX_CHARS: usize = 300;
/// Most characters of an error code that are shown; the longest that S3 has is 46.
const CODE_MAX_CHARS: usize = 64;

/// A longer word in a message is a token: those of sessions have 150 characters and more, names of roles and
/// users, which people need, fewer.
const WORD_MAX_CHARS: usize = 100;

/// What a cloud said about a request that it refused.
struct Answer {
    code: String,
    message: String,
}

/// What helps against a code of S3, Google's XML interface, Azure or an OAuth token server. Sources:
/// "Error responses" in the Amazon S3 API reference; "Status and error codes" of Azure Blob Storage;
/// RFC 6749, section 5.2.
fn cure(code: &str) -> Option<&'static str> {
    Some(match code {
        "NoSuchBucket" | "ContainerNotFound" => "create it, or correct its name in the store's URL",
        "InvalidBucketName" | "InvalidResourceName" => {
            "a name has 3 to 63 lower-case letters, digits and hyphens"
        }
        "InvalidAccessKeyId" => {
            "check AWS_ACCESS_KEY_ID, and AWS_ENDPOINT_URL if the store is not Amazon's"
        }
        "SignatureDoesNotMatch" | "AuthenticationFailed" | "invalid_client" => {
            "check the secret: AWS_SECRET_ACCESS_KEY, AZURE_STORAGE_ACCOUNT_KEY or the service account's file"
        }
        "ExpiredToken"
        | "InvalidToken"
        | "TokenRefreshRequired"
        | "invalid_grant"
        | "unauthenticated" => "the job needs new credentials",
        "CacheWriteDenied" => "what triggered this job may only read GitHub's cache",
        "RequestTimeTooSkewed" => "set the clock of this machine",
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => "set AWS_REGION to the region of the bucket",
        "AccessDenied"
        | "AllAccessDisabled"
        | "AuthorizationFailure"
        | "AuthorizationPermissionMismatch"
        | "InsufficientAccountPermissions" => MAY_NOT,
        _ => return None,
    })
}

const MAY_NOT: &str = "allow these credentials to list the bucket and to get and put its objects";
const MAY_NOT_DELETE: &str =
    "allow these credentials to delete objects; `larder policy` prints what a trusted job needs";

/// What S3 says of an object that it has not deleted, in an answer that is well as a whole (`DeleteObjects` in the
/// Amazon S3 API reference), if it would say the same again: the code is not one of trouble that passes.
pub(crate) fn is_refused_deletion(text: &str) -> bool {
    const PASSING: [&str; 5] = [
        "InternalError",
        "SlowDown",
        "ServiceUnavailable",
        "RequestTimeout",
        "OperationAborted",
    ];
    Answer::of_deletion(text).is_some_and(|answer| !PASSING.contains(&&*answer.code))
}

/// Whether it is the bucket that is missing, and not an object in it. Both come as 404.
pub(crate) fn is_missing_bucket(error: &object_store::Error) -> bool {
    let answer = Answer::read(&error.to_string());
    answer.is_some_and(|answer| matches!(&*answer.code, "NoSuchBucket" | "ContainerNotFound"))
}

/// Why a request failed.
pub(crate) fn reason(error: &object_store::Error) -> String {
    let text = error.to_string();
    let (why, cure) = match Answer::read(&text) {
        Some(answer) if Answer::of_deletion(&text).is_some() => {
            let cure = cure(&answer.code).map(|cure| match cure {
                MAY_NOT => MAY_NOT_DELETE,
                other => other,
            });
            (answer.to_string(), cure)
        }
        Some(answer) => (answer.to_string(), cure(&answer.code)),
        // Answers to HEAD have no body.
        None if matches!(error, object_store::Error::PermissionDenied { .. }) => {
            (without_body(&text), Some(MAY_NOT))
        }
        None => (without_body(&text), cure_of_client(&text)),
    };
    match cure {
        Some(cure) => format!("{why}; {cure}"),
        None => why,
    }
}

impl Answer {
    /// Finds an answer in what the client says, which ends in the body that it got.
    fn read(text: &str) -> Option<Self> {
        Self::of_deletion(text)
            .or_else(|| Self::xml(text))
            .or_else(|| Self::json(text))
    }

    /// `DeleteFailed` of `object_store` (`aws/client.rs`).
    fn of_deletion(text: &str) -> Option<Self> {
        let (_, after) = text.split_once("DeleteObjects request failed for key ")?;
        let (said, code) = after.rsplit_once(" (code: ")?;
        let (_key, message) = said.split_once(": ")?;
        Some(Self::new(code.trim_end_matches(')'), message))
    }

    /// `<Error><Code>…</Code><Message>…</Message>…`: S3, Google's XML interface, Azure.
    fn xml(text: &str) -> Option<Self> {
        let message = element(text, "Message").unwrap_or_default();
        Some(Self::new(&element(text, "Code")?, &message))
    }

    /// `{"error": "invalid_grant", "error_description": …}` of a token server (RFC 6749, section 5.2), or
    /// `{"error": {"status": …, "message": …}}` of Google's other interfaces.
    fn json(text: &str) -> Option<Self> {
        let body = serde_json::Deserializer::from_str(&text[text.find('{')?..]);
        let body = body.into_iter::<Value>().next()?.ok()?;
        let (code, message) = match &body["error"] {
            code @ Value::String(_) => (code, &body["error_description"]),
            error => (&error["status"], &error["message"]),
        };
        match (code.as_str(), message.as_str()) {
            (None, None) => None,
            (code, message) => Some(Self::new(
                code.unwrap_or_default(),
                message.unwrap_or_default(),
            )),
        }
    }

    fn new(code: &str, message: &str) -> Self {
        let code = code
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c));
        Self {
            code: shown(&code.collect::<String>(), CODE_MAX_CHARS),
            message: shown(&without_tokens(message), MESSAGE_MAX_CHARS),
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Messages end in a full stop, and a cure may follow.
        let message = self.message.trim_end_matches('.');
        match (&*self.code, message) {
            (code, "") => f.write_str(code),
            ("", message) => f.write_str(message),
            (code, message) => write!(f, "{code}: {message}"),
        }
    }
}

/// The text of the first element of this name.
fn element(text: &str, name: &str) -> Option<String> {
    let (_, after) = text.split_once(&format!("<{name}>"))?;
    let (inside, _) = after.split_once(&format!("</{name}>"))?;
    // The ampersand last: what it begins is plain text by then.
    let entities = ["lt", "gt", "quot", "apos", "#39", "amp"].iter();
    let characters = ["<", ">", "\"", "'", "'", "&"];
    let plain = entities
        .zip(characters)
        .fold(inside.to_owned(), |text, (name, character)| {
            text.replace(&format!("&{name};"), character)
        });
    Some(plain)
}

/// After these words of `object_store` (`client/retry.rs`, `RequestError`) comes the status, if there is
/// one, and then the body.
const BODY_FOLLOWS: [&str; 2] = [
    "Server returned non-2xx status code: ",
    "Server returned error response: ",
];

/// What the client says, without the body that it got: a proxy's page, a text of any form.
fn without_body(text: &str) -> String {
    let [status, body] = BODY_FOLLOWS.map(|words| Some(text.find(words)? + words.len()));
    // A status has a number and a few words, as in `403 Forbidden`.
    let after_status = status.map(|at| at + text[at..].find(':').unwrap_or(text.len() - at));
    let ends = [after_status, body, text.find(['<', '{'])];
    let end = ends.into_iter().flatten().min().unwrap_or(text.len());
    let text = text[..end].trim_end_matches([' ', ':']);
    shown(text, MESSAGE_MAX_CHARS)
}

/// Puts `…` in the place of each word that is too long to be one.
fn without_tokens(message: &str) -> String {
    let words = message.split_whitespace().map(|word| {
        let is_long = word.chars().nth(WORD_MAX_CHARS).is_some();
        if is_long { "…" } else { word }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// One line, bounded, without control characters and without secrets.
fn shown(text: &str, max_chars: usize) -> String {
    let text = without_secrets(text);
    let words = text.split(|c: char| c.is_control() || c.is_whitespace());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    match line.char_indices().nth(max_chars) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// The clients ask the cloud's own machines for a role when the environment has no credentials.
pub(crate) fn lacks_credentials(text: &str) -> bool {
    let hosts = ["169.254.169.254", "metadata.google.internal"];
    hosts.iter().any(|host| text.contains(host))
}

fn cure_of_client(text: &str) -> Option<&'static str> {
    lacks_credentials(text).then_some(
        "the store's credentials are missing: set its variables (AWS_…, GOOGLE_…, AZURE_…)",
    )
}

/// What ends a URL in a message.
const URL_ENDS: [char; 5] = [' ', ')', '"', '\'', '\n'];

/// Cuts out of every URL in a message what may be a secret: the query, where signed URLs have
/// credentials, and what stands before the host.
pub(crate) fn without_secrets(message: &str) -> String {
    let mut message = message.to_owned();
    let mut in_query = false;
    message.retain(|c| {
        in_query = c == '?' || in_query && !URL_ENDS.contains(&c);
        !in_query
    });
    let mut parts = message.split("://");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c| c == '/' || URL_ENDS.contains(&c));
        let host = &part[..end.unwrap_or(part.len())];
        let user = host.rfind('@').map_or(0, |at| at + 1);
        out.push_str("://");
        out.push_str(&part[user..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `object_store`'s `RetryError` says it: the body comes last.
    fn answered(body: &str) -> object_store::Error {
        let text = format!(
            "Error performing PUT https://s3.eu-west-1.amazonaws.com/shop/v1/x?sig=HIDDEN in 3ms - \
             Server returned non-2xx status code: 403 Forbidden: {body}"
        );
        object_store::Error::Generic {
            store: "S3",
            source: text.into(),
        }
    }

    #[test]
    fn of_an_answer_code_and_message_are_shown_and_nothing_that_was_sent() {
        let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>SignatureDoesNotMatch</Code>\
            <Message>The request signature we calculated does not match the signature you provided. Check \
            your key and signing method.</Message><AWSAccessKeyId>AKIAHIDDEN</AWSAccessKeyId><StringToSign>\
            AWS4-HMAC-SHA256 HIDDEN</StringToSign><SignatureProvided>HIDDEN</SignatureProvided></Error>";
        let said = reason(&answered(body));
        let expected = "SignatureDoesNotMatch: The request signature we calculated does not match the \
            signature you provided. Check your key and signing method; check the secret: ";
        assert!(said.starts_with(expected), "{said}");
        assert!(!said.contains("HIDDEN"), "{said}");
    }

    #[test]
    fn what_was_not_deleted_is_told_alike() {
        let not_deleted = |code: &str, message: &str| {
            format!(
                "Generic S3 error: DeleteObjects request failed for key a/v1/x: {message} (code: {code})"
            )
        };
        let denied = not_deleted("AccessDenied", "Access: Denied");
        assert!(is_refused_deletion(&denied));
        let error = object_store::Error::Generic {
            store: "S3",
            source: denied.into(),
        };
        let said = reason(&error);
        let expected = "AccessDenied: Access: Denied; allow these credentials to delete";
        assert!(said.starts_with(expected), "{said}");
        assert!(is_refused_deletion(&not_deleted("MethodNotAllowed", "")));
        for passing in ["InternalError", "SlowDown"] {
            assert!(!is_refused_deletion(&not_deleted(passing, "again")));
        }
        assert!(!is_refused_deletion(
            "connection reset (code: AccessDenied)"
        ));
    }

    #[test]
    fn every_form_of_answer_is_read() {
        for (body, expected) in [
            (
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>AuthorizationFailure</Code><Message>This request \
                 is not authorized.\nRequestId:1\nTime:2026-01-01</Message></Error>",
                "AuthorizationFailure: This request is not authorized. RequestId:1 Time:2026-01-01; allow",
            ),
            (
                r#"{"error":"invalid_grant","error_description":"Invalid JWT Signature."}"#,
                "invalid_grant: Invalid JWT Signature; the job needs new credentials",
            ),
            (
                r#"{"error": {"code": 403, "message": "no &amp; <b>", "status": "PERMISSION_DENIED"}}"#,
                "PERMISSION_DENIED: no &amp; <b>",
            ),
            (
                "<Error><Code>SlowDown</Code><Message>a &lt;b&gt; \u{1b}[31m&amp;lt;</Message></Error>",
                "SlowDown: a <b> [31m&lt;",
            ),
            ("<Error><Code>Odd</Code></Error>", "Odd"),
            (
                "<html><body>502 HIDDEN</body></html>",
                "Generic S3 error: Error performing PUT https://s3.eu-west-1.amazonaws.com/shop/v1/x in 3ms \
                 - Server returned non-2xx status code: 403 Forbidden",
            ),
        ] {
            let said = reason(&answered(body));
            assert!(said.starts_with(expected), "{said}");
            assert!(
                !said.contains("HIDDEN") && !said.contains(char::is_control),
                "{said}"
            );
        }
    }

    #[test]
    fn a_body_of_any_form_and_a_token_in_a_message_are_not_shown() {
        let token = "IQoJb3JpZ2luX2VjEHIDDEN".repeat(9);
        let known = "Generic S3 error: Error performing PUT https://s3.eu-west-1.amazonaws.com/shop/v1/x in \
                     3ms - Server returned non-2xx status code: 403 Forbidden";
        for (body, expected) in [
            (format!("{token}\n::error::HIDDEN: {token}"), known),
            (
                format!(
                    "<Error><Code>ExpiredToken</Code><Message>The token {token} has\r\u{9b}1m expired\
                     </Message><Token-0>{token}</Token-0></Error>"
                ),
                "ExpiredToken: The token … has 1m expired; the job needs new credentials",
            ),
            (
                format!("<Error><Code>\n::set-output name=x::{token}</Code></Error>"),
                "set-outputnamexIQoJb3",
            ),
        ] {
            let said = reason(&answered(&body));
            assert!(said.starts_with(expected), "{said}");
            assert!(!said.contains("::"), "{said}");
            assert!(
                !said.contains(&token) && !said.contains(char::is_control),
                "{said}"
            );
        }
    }

    #[test]
    fn a_long_answer_is_cut() {
        let body = format!(
            "<Code>{}</Code><Message>{}</Message>",
            "a".repeat(5_000),
            "ö ".repeat(90_000)
        );
        let said = reason(&answered(&body));
        assert_eq!(
            said.chars().count(),
            CODE_MAX_CHARS + MESSAGE_MAX_CHARS + 4,
            "{said}"
        );
    }

    #[test]
    fn a_signed_url_loses_its_signature() {
        let message = r#"error for url (https://x.blob.core/y?sig=SECRET&se=1): denied "a?b""#;
        let expected = r#"error for url (https://x.blob.core/y): denied "a""#;
        assert_eq!(without_secrets(message), expected);
    }

    #[test]
    fn an_endpoint_loses_its_password() {
        let message = "performing GET http://u:SECRET@127.0.0.1:1/b in 1 s, then http://x/y@z";
        let expected = "performing GET http://127.0.0.1:1/b in 1 s, then http://x/y@z";
        assert_eq!(without_secrets(message), expected);
    }

    #[test]
    fn missing_credentials_are_told_from_a_store_that_fails() {
        let asked = "performing PUT http://169.254.169.254/latest/api/token: 403";
        let cure = cure_of_client(asked).expect("a cure");
        assert!(cure.contains("credentials are missing"));
        assert_eq!(
            cure_of_client("performing GET http://127.0.0.1:1/b: refused"),
            None
        );
    }
}
