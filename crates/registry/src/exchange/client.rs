//! The distribution protocol, as far as reading goes: what a tag is now, and contents by digest.
//!
//! OCI distribution specification, "Pull". A tag is asked for by HEAD, which no pull limit counts,
//! wherever that can be the end of it: where the tag was seen before, so that its contents are
//! probably remembered. A tag never seen is asked for by GET at once: HEAD and then GET would cost
//! the same pull and one round trip more.

use std::collections::HashMap;
use std::sync::Arc;

use larder_model::oci::Digest;
use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;
use tokio::sync::OnceCell;

use super::authorizer::Authorizer;
use super::request::{self, Answer, Ask, Clock};
use crate::error::RegistryError;
use crate::http::{self, Endpoint, Role};
use crate::image::document::{ACCEPT, Kind};
use crate::image::{Selector, Target, sha256};
use crate::limits::{CONFIG_MAX_BYTES, MANIFEST_MAX_BYTES};
use crate::memory::{Memory, Writer};
use crate::settings::Settings;

/// What a registry says about its pull limit (Docker Hub, "Pull usage and limits").
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RateLimit {
    /// Pulls allowed in the window.
    pub limit: u64,
    /// Pulls left.
    pub remaining: u64,
    /// The window in seconds.
    pub window_seconds: Option<u64>,
    /// Whom the limit counts: an address or an account.
    pub source: Option<String>,
}

/// Contents and tags of registries.
pub(crate) struct Client {
    settings: Settings,
    authorizer: Authorizer,
    memory: Option<Memory>,
    endpoints: Mutex<HashMap<String, Arc<OnceCell<Vec<Endpoint>>>>>,
    writer: Writer,
}

/// What a tag or digest is now.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) digest: Digest,
    pub(crate) body: Vec<u8>,
    pub(crate) announced: Option<Kind>,
    pub(crate) rate_limit: Option<RateLimit>,
}

/// A content to be had by its digest.
pub(crate) struct Content<'a> {
    pub(crate) target: &'a Target,
    pub(crate) digest: &'a Digest,
    /// As the document that names it says; the content must agree.
    pub(crate) size: Option<u64>,
    /// `manifests` or `blobs`.
    pub(crate) shelf: &'static str,
    pub(crate) limit: usize,
}

impl<'a> Content<'a> {
    pub(crate) fn manifest(target: &'a Target, digest: &'a Digest, size: Option<u64>) -> Self {
        Self {
            target,
            digest,
            size,
            shelf: "manifests",
            limit: MANIFEST_MAX_BYTES,
        }
    }

    pub(crate) fn config(target: &'a Target, digest: &'a Digest, size: u64) -> Self {
        Self {
            target,
            digest,
            size: Some(size),
            shelf: "blobs",
            limit: CONFIG_MAX_BYTES,
        }
    }
}

impl Client {
    pub(crate) fn new(settings: Settings, memory: Option<Memory>) -> Self {
        let authorizer = Authorizer::new(settings.credentials.clone(), memory.clone());
        Self {
            settings,
            authorizer,
            memory,
            endpoints: Mutex::default(),
            writer: Writer::default(),
        }
    }

    fn remember(&self, write: impl FnOnce(&Memory) + Send + 'static) {
        if let Some(memory) = self.memory.clone() {
            self.writer.add(Box::new(move || write(&memory)));
        }
    }

    fn remember_content(&self, digest: &Digest, content: &[u8]) {
        let (digest, content) = (*digest, content.to_vec());
        self.remember(move |memory| memory.put(&digest, &content));
    }

    /// Waits until everything is remembered.
    pub(crate) async fn settle(&self) {
        self.writer.settle().await;
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What `target` is now, with its index or manifest.
    pub(crate) async fn top(&self, target: &Target, clock: &Clock) -> Result<Top, RegistryError> {
        let tag = match target.selector() {
            Selector::Digest(digest) => {
                return self.known(target, *digest, None, clock).await;
            }
            Selector::Tag(tag) => tag,
        };
        let seen = self
            .memory
            .as_ref()
            .is_some_and(|memory| memory.has_seen(target));
        let head = if seen {
            self.head(target, tag, clock).await?
        } else {
            None
        };
        let top = match head {
            Some((digest, limit)) => self.known(target, digest, limit, clock).await?,
            None => self.get(target, tag, clock).await?,
        };
        let target = target.clone();
        self.remember(move |memory| memory.note_seen(&target));
        Ok(top)
    }

    /// The digest that `target` has now, at the price of one HEAD.
    pub(crate) async fn digest(
        &self,
        target: &Target,
        clock: &Clock,
    ) -> Result<Digest, RegistryError> {
        let tag = match target.selector() {
            Selector::Digest(digest) => return Ok(*digest),
            Selector::Tag(tag) => tag,
        };
        match self.head(target, tag, clock).await? {
            Some((digest, _)) => Ok(digest),
            None => Ok(self.get(target, tag, clock).await?.digest),
        }
    }

    /// A content from the memory or the registry, verified either way.
    pub(crate) async fn content(
        &self,
        content: &Content<'_>,
        clock: &Clock,
    ) -> Result<Vec<u8>, RegistryError> {
        let remembered = self
            .memory
            .as_ref()
            .and_then(|memory| memory.get(content.digest));
        let (host, body) = match remembered {
            Some(body) => (content.target.host().to_owned(), body),
            None => self.fetch(content, clock).await?,
        };
        match content.size {
            Some(size) if size != body.len() as u64 => Err(RegistryError::Malformed {
                what: content.target.to_string(),
                reason: format!(
                    "{host} sent {} bytes for {}, which is said to have {size}",
                    body.len(),
                    content.digest
                ),
            }),
            _ => Ok(body),
        }
    }

    async fn fetch(
        &self,
        content: &Content<'_>,
        clock: &Clock,
    ) -> Result<(String, Vec<u8>), RegistryError> {
        let answer = self
            .ask(
                content.target,
                Ask {
                    method: Method::GET,
                    repository: content.target.repository(),
                    object: format!("{}/{}", content.shelf, content.digest),
                    accept: (content.shelf == "manifests").then_some(ACCEPT),
                    limit: content.limit,
                    expected: Some(*content.digest),
                    what: format!("{} of {}", content.digest, content.target),
                },
                clock,
            )
            .await?;
        self.remember_content(content.digest, &answer.body);
        Ok((answer.host, answer.body))
    }

    async fn known(
        &self,
        target: &Target,
        digest: Digest,
        rate_limit: Option<RateLimit>,
        clock: &Clock,
    ) -> Result<Top, RegistryError> {
        let body = self
            .content(&Content::manifest(target, &digest, None), clock)
            .await?;
        Ok(Top {
            digest,
            body,
            announced: None,
            rate_limit,
        })
    }

    /// `None` where the registry does not answer HEAD, or answers without a digest.
    async fn head(
        &self,
        target: &Target,
        tag: &str,
        clock: &Clock,
    ) -> Result<Option<(Digest, Option<RateLimit>)>, RegistryError> {
        match self
            .ask(target, by_tag(target, tag, Method::HEAD), clock)
            .await
        {
            Ok(answer) => {
                let limit = rate_limit(&answer.headers);
                Ok(answer.announced.map(|digest| (digest, limit)))
            }
            Err(RegistryError::Status {
                status: 400 | 405 | 406 | 415 | 501,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn get(&self, target: &Target, tag: &str, clock: &Clock) -> Result<Top, RegistryError> {
        let ask = by_tag(target, tag, Method::GET);
        let answer = self.ask(target, ask, clock).await?;
        let digest = answer.announced.unwrap_or_else(|| sha256(&answer.body));
        self.remember_content(&digest, &answer.body);
        Ok(Top {
            digest,
            announced: text(&answer.headers, CONTENT_TYPE.as_str()).and_then(Kind::of),
            rate_limit: rate_limit(&answer.headers),
            body: answer.body,
        })
    }

    /// Asks the hosts of the target's registry until one answers.
    async fn ask(
        &self,
        target: &Target,
        ask: Ask<'_>,
        clock: &Clock,
    ) -> Result<Answer, RegistryError> {
        let cell = {
            let mut endpoints = self.endpoints.lock();
            Arc::clone(endpoints.entry(target.host().to_owned()).or_default())
        };
        let endpoints = cell
            .get_or_try_init(|| http::endpoints(&self.settings, target.host()))
            .await?;
        let mut last = None;
        for endpoint in endpoints {
            if endpoint.role != Role::Last && endpoint.is_down() {
                continue;
            }
            let error = match request::ask(&self.authorizer, endpoint, &ask, clock).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let unreachable = matches!(
                error,
                RegistryError::Unreachable { .. } | RegistryError::TooSlow { .. }
            );
            if unreachable {
                endpoint.mark_down();
            }
            if endpoint.role == Role::Last || (endpoint.role == Role::Guess && !unreachable) {
                return Err(error);
            }
            tracing::debug!(%error, "asking the next host");
            last = Some(error);
        }
        Err(last.expect("the last host of a list is the registry itself, which is always asked"))
    }
}

fn by_tag<'a>(target: &'a Target, tag: &str, method: Method) -> Ask<'a> {
    Ask {
        method,
        repository: target.repository(),
        object: format!("manifests/{tag}"),
        accept: Some(ACCEPT),
        limit: MANIFEST_MAX_BYTES,
        expected: None,
        what: target.to_string(),
    }
}

/// `ratelimit-limit: 100;w=21600`, `ratelimit-remaining: 99;w=21600`.
fn rate_limit(headers: &HeaderMap) -> Option<RateLimit> {
    let (limit, window_seconds) = count(text(headers, "ratelimit-limit")?)?;
    let (remaining, _) = count(text(headers, "ratelimit-remaining")?)?;
    Some(RateLimit {
        limit,
        remaining,
        window_seconds,
        source: text(headers, "docker-ratelimit-source").map(str::to_owned),
    })
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A count and the seconds that it is for.
fn count(text: &str) -> Option<(u64, Option<u64>)> {
    let (count, rest) = text.split_once(';').unwrap_or((text, ""));
    let mut parts = rest.split(';');
    let seconds = parts.find_map(|part| part.trim().strip_prefix("w="));
    Some((
        count.trim().parse().ok()?,
        seconds.and_then(|seconds| seconds.parse().ok()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse().expect("a name"),
                    value.parse().expect("a value"),
                )
            })
            .collect()
    }

    #[test]
    fn rate_limits_as_docker_hub_writes_them() {
        let both = headers(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "7;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ]);
        let source = Some("192.0.2.1".to_owned());
        let expected = RateLimit {
            limit: 100,
            remaining: 7,
            window_seconds: Some(21600),
            source,
        };
        assert_eq!(rate_limit(&both), Some(expected));
        assert_eq!(rate_limit(&headers(&[("ratelimit-limit", "100")])), None);
        let odd = headers(&[("ratelimit-limit", "many"), ("ratelimit-remaining", "1")]);
        assert_eq!(rate_limit(&odd), None);
    }
}
