//! GitHub's cache service, version 2: three methods in Twirp's JSON, and signed URLs of blobs at Azure.
//!
//! The protocol is that of `actions/toolkit` (`packages/cache/src/internal/shared/cacheTwirpClient.ts`). The service
//! matches `restore_keys` alone, each as a beginning of a key (so `tonistiigi/go-actions-cache`, `cache_v2.go`).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RANGE};
use http::{Method, Request, StatusCode};
use object_store::client::{HttpClient, HttpError, HttpRequestBody, HttpResponse};
use object_store::{Error, PutPayload, Result};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;

/// What the store is called in errors.
const STORE: &str = "GitHub's cache";
const METHODS: &str = "twirp/github.actions.results.api.v1.CacheService";
/// The namespace of our entries is its BLAKE3 digest: the service wants 64 digits.
const VERSION: &[u8] = b"larder v1";
/// What stands between a name and a number that no other entry has: one that was begun and not finished keeps its key
/// for ever.
const END: char = '~';
/// A signed URL is good for ten minutes.
const URL_GOOD_FOR: Duration = Duration::from_secs(9 * 60);
/// How the service says that a job may not write: with its usual answer.
const DENIED: &str = "cache write denied";

/// The service, as a job's token lets us use it.
pub(super) struct Service {
    client: HttpClient,
    url: String,
    token: String,
    version: String,
    /// What all our keys begin with.
    root: String,
    urls: Mutex<HashMap<String, (String, Instant)>>,
}

/// An error that is no answer, or none that makes sense: another try may bring one.
pub(super) fn unclear(why: impl Into<String>) -> Error {
    Error::Generic {
        store: STORE,
        source: why.into().into(),
    }
}

fn on_the_way(error: HttpError) -> Error {
    Error::Generic {
        store: STORE,
        source: Box::new(error),
    }
}

/// A refusal, in the form in which others come.
fn refused(status: StatusCode, code: &str, message: &str) -> Error {
    let body = json!({ "error": code, "error_description": message });
    unclear(format!(
        "Server returned non-2xx status code: {status}: {body}"
    ))
}

impl Service {
    pub(super) fn new(client: HttpClient, url: &str, token: String, root: String) -> Self {
        Self {
            client,
            url: url.trim_end_matches('/').to_owned(),
            token,
            version: blake3::hash(VERSION).to_string(),
            root,
            urls: Mutex::default(),
        }
    }

    /// The name of the newest entry whose name begins so; none if there is none.
    pub(super) async fn newest(&self, beginning: &str) -> Result<Option<String>> {
        let key = self.find(&format!("{}{beginning}", self.root)).await?;
        let name = key.as_deref().and_then(|key| key.strip_prefix(&*self.root));
        let name = name.and_then(|name| name.rsplit_once(END));
        Ok(name.map(|(name, _)| name.to_owned()))
    }

    /// The key of the newest entry of this name.
    pub(super) async fn key(&self, name: &str) -> Result<Option<String>> {
        self.find(&format!("{}{name}{END}", self.root)).await
    }

    /// Whether there is an entry with this key.
    pub(super) async fn holds(&self, key: &str) -> Result<bool> {
        Ok(self.find(key).await?.is_some_and(|found| found == key))
    }

    /// The newest key that begins so. Its signed URL is kept.
    async fn find(&self, beginning: &str) -> Result<Option<String>> {
        let question = json!({
            "key": beginning, "restore_keys": [beginning], "version": self.version,
        });
        let answer = self.call("GetCacheEntryDownloadURL", &question).await?;
        let Some(answer) = answer.filter(is_ok) else {
            return Ok(None);
        };
        let [key, url] = [
            ["matched_key", "matchedKey"],
            ["signed_download_url", "signedDownloadUrl"],
        ]
        .map(|names| text(&answer, names));
        let key = key.filter(|key| key.starts_with(beginning));
        let (Some(key), Some(url)) = (key, url) else {
            return Err(unclear("it answers without the key or the URL of an entry"));
        };
        let mut urls = self.urls.lock();
        urls.insert(key.to_owned(), (url.to_owned(), Instant::now()));
        Ok(Some(key.to_owned()))
    }

    /// Writes an entry of this name; its key.
    pub(super) async fn create(&self, name: &str, content: PutPayload) -> Result<String> {
        let number = RandomState::new().build_hasher().finish() as u32;
        let key = format!("{}{name}{END}{number:08x}", self.root);
        let begin = json!({ "key": key, "version": self.version });
        let answer = self.call("CreateCacheEntry", &begin).await?;
        let answer = answer.unwrap_or_default();
        let url = text(&answer, ["signed_upload_url", "signedUploadUrl"]);
        let url = url.filter(|_| is_ok(&answer)).ok_or_else(|| {
            let why = text(&answer, ["message"; 2]).unwrap_or("no reason is given");
            let code = if why.starts_with(DENIED) {
                "CacheWriteDenied"
            } else {
                "NotCreated"
            };
            refused(StatusCode::FORBIDDEN, code, why)
        })?;
        let bytes = content.content_length();
        self.upload(url, content).await?;
        let end = json!({
            "key": key, "version": self.version, "size_bytes": bytes.to_string(),
        });
        let answer = self.call("FinalizeCacheEntryUpload", &end).await?;
        if answer.is_some_and(|answer| is_ok(&answer)) {
            Ok(key)
        } else {
            Err(unclear("it does not finish an entry that was uploaded"))
        }
    }

    async fn upload(&self, url: &str, content: PutPayload) -> Result<()> {
        let request = Request::put(url)
            .header("x-ms-blob-type", "BlockBlob")
            .header(CONTENT_LENGTH, content.content_length());
        let answer = self.send(request, content.into()).await?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => Err(refused(status, "NotUploaded", &shown(answer).await)),
        }
    }

    /// An entry's bytes, or a range of them; nothing if it is gone.
    pub(super) async fn read(&self, key: &str, range: Option<Range<u64>>) -> Result<Option<Bytes>> {
        for _ in 0..2 {
            let Some(url) = self.url(key).await? else {
                return Ok(None);
            };
            let mut request = Request::get(&url);
            if let Some(Range { start, end }) = &range {
                request = request.header(RANGE, format!("bytes={start}-{}", end - 1));
            }
            let answer = self.send(request, HttpRequestBody::empty()).await?;
            match answer.status() {
                // It has lapsed.
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    self.urls.lock().remove(key);
                }
                StatusCode::NOT_FOUND => return Ok(None),
                status => return whole(status, answer, range).await.map(Some),
            }
        }
        Err(unclear("its signed URLs are refused"))
    }

    async fn url(&self, key: &str) -> Result<Option<String>> {
        let known = self.urls.lock().get(key).cloned();
        if let Some((url, _)) = known.filter(|(_, since)| since.elapsed() < URL_GOOD_FOR) {
            return Ok(Some(url));
        }
        if !self.holds(key).await? {
            return Ok(None);
        }
        Ok(self.urls.lock().get(key).map(|(url, _)| url.clone()))
    }

    /// Calls a method; nothing where it says that there is none.
    async fn call(&self, method: &str, question: &Value) -> Result<Option<Value>> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/{METHODS}/{method}", self.url))
            .header(AUTHORIZATION, format!("Bearer {}", self.token))
            .header(CONTENT_TYPE, "application/json");
        let answer = self.send(request, question.to_string().into()).await?;
        let status = answer.status();
        let body = answer.into_body().bytes().await.map_err(on_the_way)?;
        let body: Option<Value> = serde_json::from_slice(&body).ok();
        if status.is_success() {
            let body = body.ok_or_else(|| unclear("it answers with something else than JSON"))?;
            return Ok(Some(body));
        }
        let body = body.unwrap_or_default();
        let code = text(&body, ["code"; 2]).unwrap_or_default();
        if code == "not_found" {
            return Ok(None);
        }
        let message = text(&body, ["msg", "message"]).unwrap_or_default();
        Err(refused(status, code, message))
    }

    async fn send(
        &self,
        request: http::request::Builder,
        body: HttpRequestBody,
    ) -> Result<HttpResponse> {
        let request = request
            .body(body)
            .map_err(|error| unclear(error.to_string()))?;
        self.client.execute(request).await.map_err(on_the_way)
    }
}

/// The body of a blob's answer. A proxy that ignores ranges would give other bytes than were asked for.
async fn whole(
    status: StatusCode,
    answer: HttpResponse,
    range: Option<Range<u64>>,
) -> Result<Bytes> {
    let expected = match range {
        Some(_) => StatusCode::PARTIAL_CONTENT,
        None => StatusCode::OK,
    };
    if status.is_client_error() {
        return Err(refused(status, "NotRead", &shown(answer).await));
    }
    if status != expected {
        return Err(unclear(format!("it answers a read with {status}")));
    }
    let body = answer.into_body().bytes().await.map_err(on_the_way)?;
    match range.map(|range| range.end - range.start) {
        Some(wanted) if body.len() as u64 != wanted => {
            Err(unclear(format!("{} of {wanted} bytes came", body.len())))
        }
        _ => Ok(body),
    }
}

/// Azure's own words.
async fn shown(answer: HttpResponse) -> String {
    let body = answer.into_body().bytes().await.unwrap_or_default();
    let text = String::from_utf8_lossy(&body).into_owned();
    let message = text
        .split_once("<Message>")
        .map(|(_, after)| after.to_owned());
    let message = message.and_then(|after| Some(after.split_once("</Message>")?.0.to_owned()));
    message.unwrap_or_default()
}

fn is_ok(answer: &Value) -> bool {
    answer["ok"] == true
}

/// A text, by either of two names: protobuf's JSON has both.
fn text<'a>(answer: &'a Value, names: [&str; 2]) -> Option<&'a str> {
    let mut said = names.into_iter().filter_map(|name| answer[name].as_str());
    said.find(|text| !text.is_empty())
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}
