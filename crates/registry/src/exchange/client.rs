//! The distribution protocol, as far as reading goes: what a tag is now, and contents by digest.
//!
//! OCI distribution specification, "Pull". A tag is asked for by HEAD, which no pull limit counts,
//! wherever that can be the end of it: where the tag was seen before, so that its contents are
//! probably remembered. A tag never seen is asked for by GET at once: HEAD and then GET would cost
//! the same pull and one round trip more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use larder_model::oci::Digest;
use parking_lot::Mutex;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;
use tokio::sync::OnceCell;

use super::authorizer::Authorizer;
use super::request::{Answer, Ask, Clock, MANIFESTS, Place};
use crate::error::{RegistryError, Result};
use crate::http::{self, Endpoint, Role};
use crate::image::document::{Kind, malformed};
use crate::image::{Selector, Target, sha256};
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
    pub(crate) settings: Settings,
    authorizer: Authorizer,
    memory: Option<Memory>,
    endpoints: Mutex<HashMap<String, Arc<OnceCell<Vec<Endpoint>>>>>,
    writer: Writer,
}

/// What a client is asked at once, and must answer in time.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    client: &'a Client,
    pub(crate) clock: Clock,
}

/// What a tag or digest is now.
#[derive(Debug)]
pub(crate) struct Top {
    pub(crate) digest: Digest,
    pub(crate) body: Vec<u8>,
    pub(crate) announced: Option<Kind>,
    pub(crate) rate_limit: Option<RateLimit>,
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

    pub(crate) fn call(&self, deadline: Duration) -> Call<'_> {
        Call {
            client: self,
            clock: Clock::start(deadline, self.settings.try_limit),
        }
    }

    fn remember(&self, write: impl FnOnce(&Memory) + Send + 'static) {
        if let Some(memory) = self.memory.clone() {
            self.writer.add(move || write(&memory));
        }
    }

    fn remember_content(&self, digest: Digest, content: &[u8]) {
        let content = content.to_vec();
        self.remember(move |memory| memory.put(&digest, &content));
    }

    /// Waits until everything is remembered.
    pub(crate) async fn settle(&self) {
        self.writer.settle().await;
    }
}

impl Call<'_> {
    /// What `target` is now, with its index or manifest.
    pub(crate) async fn top(&self, target: &Target) -> Result<Top> {
        if let Selector::Digest(digest) = target.selector {
            return self.known(target, digest, None).await;
        }
        let memory = self.client.memory.as_ref();
        let head = if memory.is_some_and(|memory| memory.has_seen(target)) {
            self.head(target).await?
        } else {
            None
        };
        let top = match head {
            Some((digest, limit)) => self.known(target, digest, limit).await?,
            None => self.get(target).await?,
        };
        let seen = target.clone();
        self.client.remember(move |memory| memory.note_seen(&seen));
        Ok(top)
    }

    /// The digest that `target` has now, at the price of one HEAD.
    pub(crate) async fn digest(&self, target: &Target) -> Result<Digest> {
        if let Selector::Digest(digest) = target.selector {
            return Ok(digest);
        }
        match self.head(target).await? {
            Some((digest, _)) => Ok(digest),
            None => Ok(self.get(target).await?.digest),
        }
    }

    /// A content from the memory or the registry, verified either way. `size` is what the document
    /// that names it says; the content must agree.
    pub(crate) async fn content(
        &self,
        target: &Target,
        place: &'static Place,
        digest: Digest,
        size: Option<u64>,
    ) -> Result<Vec<u8>> {
        let memory = self.client.memory.as_ref();
        let remembered = memory.and_then(|memory| memory.get(&digest));
        let (host, body) = if let Some(body) = remembered {
            (target.host.clone(), body)
        } else {
            let selector = Selector::Digest(digest);
            let answer = self.ask(Method::GET, target, place, &selector).await?;
            self.client.remember_content(digest, &answer.body);
            (answer.host, answer.body)
        };
        let sent = body.len();
        if let Some(size) = size.filter(|size| *size != sent as u64) {
            let reason =
                format!("{host} sent {sent} bytes for {digest}, which is said to have {size}");
            return Err(malformed(&target.to_string(), &reason));
        }
        Ok(body)
    }

    async fn known(
        &self,
        target: &Target,
        digest: Digest,
        rate_limit: Option<RateLimit>,
    ) -> Result<Top> {
        Ok(Top {
            digest,
            body: self.content(target, &MANIFESTS, digest, None).await?,
            announced: None,
            rate_limit,
        })
    }

    /// `None` where the registry does not answer HEAD, or answers without a digest.
    async fn head(&self, target: &Target) -> Result<Option<(Digest, Option<RateLimit>)>> {
        let answer = self.ask(Method::HEAD, target, &MANIFESTS, &target.selector);
        match answer.await {
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

    async fn get(&self, target: &Target) -> Result<Top> {
        let answer = self.ask(Method::GET, target, &MANIFESTS, &target.selector);
        let answer = answer.await?;
        let digest = answer.announced.unwrap_or_else(|| sha256(&answer.body));
        self.client.remember_content(digest, &answer.body);
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
        method: Method,
        target: &Target,
        place: &'static Place,
        selector: &Selector,
    ) -> Result<Answer> {
        let client = self.client;
        let cell = {
            let mut endpoints = client.endpoints.lock();
            Arc::clone(endpoints.entry(target.host.clone()).or_default())
        };
        let endpoints = cell.get_or_try_init(|| http::endpoints(&client.settings, &target.host));
        let ask = Ask {
            authorizer: &client.authorizer,
            clock: self.clock,
            method,
            target,
            place,
            selector,
        };
        let mut last = None;
        for endpoint in endpoints.await? {
            if endpoint.role != Role::Last && endpoint.is_down() {
                continue;
            }
            let error = match ask.send(endpoint).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_unreachable = matches!(error, RegistryError::Unreachable { .. });
            if is_unreachable {
                endpoint.mark_down();
            }
            if endpoint.role == Role::Last || (endpoint.role == Role::Guess && !is_unreachable) {
                return Err(error);
            }
            tracing::debug!(%error, "asking the next host");
            last = Some(error);
        }
        Err(last.expect("the last host of a list is the registry itself, which is always asked"))
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
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    Some((count.trim().parse().ok()?, seconds))
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
