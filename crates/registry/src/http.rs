//! One step below the registry's protocol: clients with their trust, one hop of a request, bounded
//! bodies, redirects, and what a refusal means.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, SystemTime};

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, NoProxy, Proxy, RequestBuilder, Response, StatusCode, Url};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::error::RegistryError;
use crate::limits::{CONNECT_LIMIT, ERROR_BODY_MAX_BYTES};
use crate::settings::Settings;

/// Never sent through a proxy, whatever the caller says: Go's `ProxyFromEnvironment` has the same
/// rule, so the engine behaves alike.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1";

/// Which servers a client trusts.
pub(crate) enum Trust {
    /// The built-in authorities, the caller's, and these (PEM).
    Authorities(Vec<Vec<u8>>),
    /// Any: for registries that the caller listed as insecure.
    Anybody,
}

/// A client that follows no redirect itself, so that credentials cannot travel with one.
pub(crate) fn client(settings: &Settings, trust: &Trust) -> Result<Client, RegistryError> {
    // Refused when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("larder/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_LIMIT)
        .pool_max_idle_per_host(settings.concurrency);
    for proxy in proxies(settings)? {
        builder = builder.proxy(proxy);
    }
    builder = match trust {
        Trust::Anybody => builder.tls_danger_accept_invalid_certs(true),
        Trust::Authorities(more) => builder.tls_certs_only(authorities(settings, more)?),
    };
    builder.build().map_err(|error| RegistryError::Setting {
        kind: "the settings of a TLS client",
        value: "certificates and proxies".to_owned(),
        reason: chain(&error),
    })
}

fn authorities(
    settings: &Settings,
    private: &[Vec<u8>],
) -> Result<Vec<Certificate>, RegistryError> {
    let refuse = |error: reqwest::Error| RegistryError::Setting {
        kind: "a certificate authority",
        value: "a certificate file".to_owned(),
        reason: format!("expected PEM: {}", chain(&error)),
    };
    let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS;
    let mut all = Vec::with_capacity(built_in.len() + 8);
    for der in built_in {
        all.push(Certificate::from_der(der).map_err(refuse)?);
    }
    let of_machine = settings.certificates.iter();
    for der in of_machine.flat_map(|bundle| usable(bundle)) {
        all.push(Certificate::from_der(&der).map_err(refuse)?);
    }
    for bundle in private {
        all.extend(Certificate::from_pem_bundle(bundle).map_err(refuse)?);
    }
    Ok(all)
}

/// The authorities of a bundle. One that cannot be read takes no other along, as for Go
/// (`crypto/x509`, `AppendCertsFromPEM`): bundles hold a hundred of them, and we need one.
fn usable(bundle: &[u8]) -> impl Iterator<Item = CertificateDer<'static>> + '_ {
    let read = CertificateDer::pem_slice_iter(bundle).filter_map(Result::ok);
    read.filter(|der| RootCertStore::empty().add(der.clone()).is_ok())
}

fn proxies(settings: &Settings) -> Result<Vec<Proxy>, RegistryError> {
    // The URL itself may hold a password, so the message names only which one it is.
    let refuse = |kind| {
        move |error: reqwest::Error| RegistryError::Setting {
            kind,
            value: "its URL".to_owned(),
            reason: chain(&error),
        }
    };
    let given = &settings.proxies;
    let none = format!(
        "{},{NEVER_PROXIED}",
        given.none.as_deref().unwrap_or_default()
    );
    let direct = || NoProxy::from_string(&none);
    let filled = |url: &Option<String>| url.clone().filter(|url| !url.is_empty());
    let mut all = Vec::new();
    if let Some(url) = filled(&given.http) {
        all.push(
            Proxy::http(url)
                .map_err(refuse("the HTTP proxy"))?
                .no_proxy(direct()),
        );
    }
    if let Some(url) = filled(&given.https) {
        all.push(
            Proxy::https(url)
                .map_err(refuse("the HTTPS proxy"))?
                .no_proxy(direct()),
        );
    }
    Ok(all)
}

/// The authorities in docker's layout, `<folder>/<host>/*.crt`; none where there is no such folder.
pub(crate) fn authorities_of(folder: &Path, host: &str) -> Result<Vec<Vec<u8>>, RegistryError> {
    let folder = folder.join(host);
    let refuse = |error: std::io::Error| RegistryError::Setting {
        kind: "a folder of certificate authorities",
        value: folder.display().to_string(),
        reason: error.to_string(),
    };
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(refuse)?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let path = entry.map_err(refuse)?.path();
        if path.extension().is_some_and(|end| end == "crt") {
            all.push(std::fs::read(&path).map_err(refuse)?);
        }
    }
    Ok(all)
}

/// Sends one request and returns its head, whatever its status.
pub(crate) async fn send(request: RequestBuilder, host: &str) -> Result<Response, RegistryError> {
    request
        .send()
        .await
        .map_err(|error| unreachable(host, error))
}

/// Reads a body of at most `limit` bytes; `Content-Length` is believed only when it says "more".
pub(crate) async fn read(
    mut response: Response,
    limit: usize,
    what: &str,
) -> Result<Vec<u8>, RegistryError> {
    let host = host_of(response.url());
    let too_large = || RegistryError::TooLarge {
        host: host.clone(),
        what: what.to_owned(),
        limit,
    };
    if response
        .content_length()
        .is_some_and(|length| length > limit as u64)
    {
        return Err(too_large());
    }
    let mut body = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| unreachable(&host, error))?
    {
        if body.len() + chunk.len() > limit {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Reads what is left of an answer that is not needed, so that its connection can serve the next
/// request: a new one costs one round trip, or two with TLS.
pub(crate) async fn drain(response: Response) {
    if let Err(error) = read(response, ERROR_BODY_MAX_BYTES, "an answer").await {
        tracing::debug!(%error, "the connection is given up");
    }
}

/// Where a response redirects to, if it does.
pub(crate) fn next_hop(response: &Response, what: &str) -> Result<Option<Url>, RegistryError> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let Some(location) = response.headers().get(LOCATION).filter(|_| redirects) else {
        return Ok(None);
    };
    let from = response.url();
    let refuse = |reason: &str| RegistryError::Redirect {
        host: host_of(from),
        what: what.to_owned(),
        reason: reason.to_owned(),
    };
    let next = location
        .to_str()
        .ok()
        .and_then(|location| from.join(location).ok());
    let next = next.ok_or_else(|| refuse("to a place that is not a URL"))?;
    match (from.scheme(), next.scheme()) {
        (_, "https") | ("http", "http") => Ok(Some(next)),
        ("https", "http") => Err(refuse("from https to plain http, which is not followed")),
        _ => Err(refuse("to something other than http or https")),
    }
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
        StatusCode::TOO_MANY_REQUESTS => RegistryError::RateLimited { host, wait, detail },
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
    let texts = [
        &first["message"],
        &first["code"],
        &json["message"],
        &json["details"],
    ];
    let text = texts
        .iter()
        .find_map(|value| value.as_str())
        .unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    seconds.or_else(|| {
        let date = httpdate::parse_http_date(text).ok()?;
        Some(date.duration_since(now).unwrap_or_default())
    })
}

fn unreachable(host: &str, error: reqwest::Error) -> RegistryError {
    RegistryError::Unreachable {
        host: host.to_owned(),
        reason: chain(&error.without_url()),
    }
}

/// An error with its causes, which is where reqwest says what happened.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
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
    }

    #[test]
    fn an_authority_that_cannot_be_read_takes_no_other_along() {
        use base64::Engine as _;
        let pem = |text: &str| {
            format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
        };
        let root = &webpki_root_certs::TLS_SERVER_ROOT_CERTS[0];
        let good = pem(&base64::engine::general_purpose::STANDARD.encode(root));
        let (empty, broken) = (pem("AAAA"), pem("%%%"));
        let cut = "-----BEGIN CERTIFICATE-----\nAAAA";
        for (bundle, expected) in [
            (format!("{empty}# text\n{good}{cut}"), 1),
            (format!("{broken}{good}"), 1),
            (cut.to_owned(), 0),
            ("junk".to_owned(), 0),
        ] {
            assert_eq!(usable(bundle.as_bytes()).count(), expected, "{bundle}");
        }
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
