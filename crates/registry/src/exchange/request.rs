//! One request and its answer: redirects, challenges, bounds, and trying again.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use larder_model::oci::Digest;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::time::Instant;

use super::authorizer::{Authorizer, Party, cannot_authenticate};
use crate::credentials::Secret;
use crate::error::{RegistryError, Result};
use crate::http::{self, Endpoint, Role, choose};
use crate::image::digest::{names, of_same_kind};
use crate::image::{Selector, Target, document};
use crate::limits::{
    CHALLENGES_MAX, CONFIG_MAX_BYTES, MANIFEST_MAX_BYTES, MIRROR_LIMIT, PAUSE_MAX, PAUSE_MIN,
    TRIES_MAX,
};

/// When a call must be over, and how long one try may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    ends: Instant,
    deadline: Duration,
    try_limit: Duration,
}

impl Clock {
    pub(crate) fn start(deadline: Duration, try_limit: Duration) -> Self {
        Self {
            ends: Instant::now() + deadline,
            deadline,
            try_limit,
        }
    }

    fn left(&self) -> Duration {
        self.ends.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(&self, what: &str, last: Option<RegistryError>) -> RegistryError {
        let last = last.map(Box::new);
        RegistryError::Deadline {
            what: what.to_owned(),
            deadline: self.deadline,
            last,
        }
    }

    /// Ends whatever takes too long, even where no step notices the time.
    pub(crate) async fn bound<T>(
        &self,
        what: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        match tokio::time::timeout_at(self.ends, work).await {
            Ok(result) => result,
            Err(_) => Err(self.passed(what, None)),
        }
    }
}

/// Where a repository has documents of one kind.
#[derive(Debug)]
pub(crate) struct Place {
    /// Below the repository.
    name: &'static str,
    accept: Option<&'static str>,
    /// Most bytes of a document.
    bytes_max: usize,
}

/// Indexes and manifests.
pub(crate) const MANIFESTS: Place = Place {
    name: "manifests",
    accept: Some(document::ACCEPT),
    bytes_max: MANIFEST_MAX_BYTES,
};

/// Configurations.
pub(crate) const BLOBS: Place = Place {
    name: "blobs",
    accept: None,
    bytes_max: CONFIG_MAX_BYTES,
};

/// A 200 and its content, verified against what was expected or announced.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) headers: HeaderMap,
    /// `Docker-Content-Digest`: what the registry says the content is.
    pub(crate) announced: Option<Digest>,
    pub(crate) body: Vec<u8>,
    pub(crate) host: String,
}

/// What is asked for: the document `selector` at a place in the target's repository.
pub(crate) struct Ask<'a> {
    pub(crate) authorizer: &'a Authorizer,
    pub(crate) clock: Clock,
    pub(crate) method: Method,
    pub(crate) target: &'a Target,
    pub(crate) place: &'static Place,
    pub(crate) selector: &'a Selector,
}

impl Ask<'_> {
    /// In words, for messages.
    fn what(&self) -> String {
        match self.selector {
            Selector::Tag(_) => self.target.to_string(),
            Selector::Digest(digest) => format!("{digest} of {}", self.target),
        }
    }

    /// Asks one host, as often as its role allows, within the time there is.
    pub(crate) async fn send(&self, endpoint: &Endpoint) -> Result<Answer> {
        let (clock, what) = (&self.clock, self.what());
        let (tries, most) = match endpoint.role {
            Role::Last => (TRIES_MAX, clock.try_limit),
            Role::Mirror | Role::Guess => (1, clock.try_limit.min(MIRROR_LIMIT)),
        };
        let mut pauses = ExponentialBuilder::new()
            .with_min_delay(PAUSE_MIN)
            .with_max_delay(PAUSE_MAX)
            .with_max_times(tries - 1)
            .with_jitter()
            .build();
        loop {
            let limit = most.min(clock.left());
            let error = match tokio::time::timeout(limit, self.once(endpoint)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error,
                Err(_) => RegistryError::Unreachable {
                    host: http::host_of(&endpoint.base),
                    reason: format!("no answer for {what} within {:.1} s", limit.as_secs_f32()),
                },
            };
            if !error.is_passing() {
                return Err(error);
            }
            // What was cut short by the deadline is no fault of one try.
            if clock.left().is_zero() {
                return Err(clock.passed(&what, Some(error)));
            }
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            let pause = pause.max(error.wait().unwrap_or_default());
            if pause >= clock.left() {
                return Err(clock.passed(&what, Some(error)));
            }
            tracing::debug!(%error, ?pause, "trying again");
            tokio::time::sleep(pause).await;
        }
    }

    /// One try: follows redirects, then reads and verifies.
    async fn once(&self, endpoint: &Endpoint) -> Result<Answer> {
        let (repository, place) = (&self.target.repository, self.place.name);
        let mut url = endpoint.url(&format!("/v2/{repository}/{place}/{}", self.selector));
        let mut hops = 0;
        loop {
            let response = self.authorized(endpoint, &url).await?;
            let Some(next) = http::next_hop(&response, &self.what(), hops)? else {
                return self.finish(endpoint, response).await;
            };
            http::drain(response).await;
            url = next;
            hops += 1;
        }
    }

    /// One hop: its `Authorization` is made for its own origin, and credentials are used only at the
    /// registry's own.
    async fn authorized(&self, endpoint: &Endpoint, url: &Url) -> Result<Response> {
        let origin = http::origin(url);
        let at_home = origin == http::origin(&endpoint.base);
        let (client, registry) = if at_home {
            (&endpoint.client, Some(endpoint.registry.as_str()))
        } else {
            (&endpoint.elsewhere, None)
        };
        let party = Party {
            client,
            url,
            origin,
            registry,
            repository: &self.target.repository,
        };
        let mut header = self.authorizer.in_advance(&party).await;
        let mut challenges = 0;
        loop {
            let mut request = party.client.request(self.method.clone(), url.clone());
            if let Some(accept) = self.place.accept {
                request = request.header(ACCEPT, accept);
            }
            if let Some(header) = &header {
                request = request.header(AUTHORIZATION, sensitive(header, url)?);
            }
            let response = http::send(request, &http::host_of(url)).await?;
            if response.status() != StatusCode::UNAUTHORIZED || challenges == CHALLENGES_MAX {
                return Ok(response);
            }
            let texts = response.headers().get_all(WWW_AUTHENTICATE).iter();
            let Some(challenge) = choose(texts.filter_map(|text| text.to_str().ok())) else {
                return Ok(response);
            };
            http::drain(response).await;
            let met = self.authorizer.answer(&party, challenge, header.as_ref());
            header = Some(met.await?);
            challenges += 1;
        }
    }

    async fn finish(&self, endpoint: &Endpoint, response: Response) -> Result<Answer> {
        if response.status() != StatusCode::OK {
            return Err(match http::refusal(response, &self.what()).await {
                RegistryError::Denied { host, what, detail } if detail.is_empty() => {
                    let detail = self.authorizer.complaint(&endpoint.registry).await;
                    RegistryError::Denied { host, what, detail }
                }
                other => other,
            });
        }
        let host = http::host_of(response.url());
        let headers = response.headers().clone();
        let announced = digest_in(&headers);
        // The answer to a HEAD has no body, whatever it says of its length.
        let body = if self.method == Method::HEAD {
            Vec::new()
        } else {
            http::read(response, self.place.bytes_max, &self.what()).await?
        };
        // What was asked for counts; where that was a tag, what the registry says it sends.
        let expected = match self.selector {
            Selector::Tag(_) => announced.as_ref(),
            Selector::Digest(digest) => Some(digest),
        };
        match expected.filter(|_| self.method != Method::HEAD) {
            Some(expected) if !names(expected, &body) => Err(RegistryError::WrongDigest {
                host,
                what: self.what(),
                actual: of_same_kind(expected, &body).into(),
                expected: Box::new(*expected),
            }),
            _ => Ok(Answer {
                headers,
                announced,
                body,
                host,
            }),
        }
    }
}

fn sensitive(header: &Secret, url: &Url) -> Result<HeaderValue> {
    let mut value = HeaderValue::from_str(header.expose()).map_err(|_| {
        let reason = "its token or our password holds characters that no header may hold";
        cannot_authenticate(url, reason)
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// The digest that a registry announces. One that is not in form is no announcement.
fn digest_in(headers: &HeaderMap) -> Option<Digest> {
    let text = headers.get("docker-content-digest")?.to_str();
    text.ok()?.parse().ok()
}
