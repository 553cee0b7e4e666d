//! One hop of a request: bounded bodies, redirects, and what a refusal means.

use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{RequestBuilder, Response, StatusCode, Url};

use super::client::chain;
use crate::error::{RegistryError, Result};
use crate::limits::{ERROR_BODY_MAX_BYTES, REDIRECTS_MAX};

/// Sends one request and returns its head, whatever its status.
pub(crate) async fn send(request: RequestBuilder, host: &str) -> Result<Response> {
    let sent = request.send().await;
    sent.map_err(|error| unreachable(host, error))
}

/// Reads a body of at most `limit` bytes; `Content-Length` is believed only when it says "more".
pub(crate) async fn read(mut response: Response, limit: usize, what: &str) -> Result<Vec<u8>> {
    let host = host_of(response.url());
    let mut body = Vec::new();
    let mut length = response.content_length().unwrap_or_default();
    while length <= limit as u64 {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| unreachable(&host, error))? else {
            return Ok(body);
        };
        body.extend_from_slice(&chunk);
        length = body.len() as u64;
    }
    Err(RegistryError::TooLarge {
        host,
        what: what.to_owned(),
        limit,
    })
}

/// Reads what is left of an answer that is not needed, so that its connection can serve the next
/// request: a new one costs one round trip, or two with TLS.
pub(crate) async fn drain(response: Response) {
    if let Err(error) = read(response, ERROR_BODY_MAX_BYTES, "an answer").await {
        tracing::debug!(%error, "the connection is given up");
    }
}

/// Where a response redirects to, if it does; `hops` is how many were followed before.
pub(crate) fn next_hop(response: &Response, what: &str, hops: usize) -> Result<Option<Url>> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    let from = response.url();
    let next = location.to_str().ok();
    let reason = match next.and_then(|next| from.join(next).ok()) {
        _ if hops == REDIRECTS_MAX => &format!("more than {REDIRECTS_MAX} times"),
        Some(next) => match (from.scheme(), next.scheme()) {
            (_, "https") | ("http", "http") => return Ok(Some(next)),
            ("https", "http") => "from https to plain http, which is not followed",
            _ => "to something other than http or https",
        },
        None => "to a place that is not a URL",
    };
    Err(RegistryError::Protocol {
        host: host_of(from),
        fault: format!("redirects {what} {reason}"),
    })
}

/// Scheme, host and port: what a credential is bound to.
pub(crate) fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// `host` or `host:port`, for messages; queries may hold signatures, so no more of a URL is shown.
pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or("an unnamed host");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// What an answer that is not 200 means.
pub(crate) async fn refusal(response: Response, what: &str) -> RegistryError {
    let host = host_of(response.url());
    let what = what.to_owned();
    let status = response.status();
    let wait = retry_after(response.headers(), SystemTime::now());
    let detail = match read(response, ERROR_BODY_MAX_BYTES, "an error").await {
        Ok(body) => said_in(&body),
        Err(_) => String::new(),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            RegistryError::Denied { host, what, detail }
        }
        StatusCode::NOT_FOUND => RegistryError::NotFound { host, what, detail },
        _ => RegistryError::Status {
            host,
            what,
            status: status.as_u16(),
            wait,
            detail,
        },
    }
}

/// The first message of an error in the distribution specification's form ("Error Codes").
fn said_in(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let first = &json["errors"][0];
    let (message, details) = (&json["message"], &json["details"]);
    let texts = [&first["message"], &first["code"], message, details];
    let text = texts.into_iter().find_map(|value| value.as_str());
    let text = text.unwrap_or_default().chars();
    text.filter(|c| !c.is_control()).take(200).collect()
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3), which is one of the server's clock.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        let servers = headers.get(DATE).and_then(|date| date.to_str().ok());
        let servers = servers.and_then(|date| httpdate::parse_http_date(date).ok());
        Some(
            date.duration_since(servers.unwrap_or(now))
                .unwrap_or_default(),
        )
    })
}

fn unreachable(host: &str, error: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable {
        host: host.to_owned(),
        reason: chain(&error.without_url()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_in_both_forms() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().expect("a value"))]);
            assert_eq!(
                retry_after(&headers, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        }
        let behind = now - Duration::from_secs(86_400);
        let headers = HeaderMap::from_iter([
            (
                RETRY_AFTER,
                "Sun, 06 Nov 1994 08:49:47 GMT".parse().expect("a value"),
            ),
            (
                DATE,
                "Sun, 06 Nov 1994 08:49:37 GMT".parse().expect("a value"),
            ),
        ]);
        let expected = Some(Duration::from_secs(10));
        assert_eq!(
            retry_after(&headers, behind),
            expected,
            "our clock does not count"
        );
    }

    #[test]
    fn what_a_registry_says_is_shown_without_control_characters() {
        assert_eq!(
            said_in(br#"{"errors":[{"code":"X","message":"no\u001b[31m way"}]}"#),
            "no[31m way"
        );
        assert_eq!(said_in(br#"{"errors":[{"code":"DENIED"}]}"#), "DENIED");
        assert_eq!(
            said_in(br#"{"details":"incorrect password"}"#),
            "incorrect password"
        );
        assert_eq!(said_in(b"<html>"), "");
    }
}
