//! Meets the challenges of registries: one answer for each origin, one token for each scope.
//!
//! Distribution, "Token Authentication Specification" (`docs/content/spec/auth/token.md`) and
//! its OAuth 2 form (`oauth.md`). An `Authorization` header is made for one origin and
//! is never taken along to another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::credentials::{Credential, Credentials, DOCKER_HUB_HOST, Found, Secret};
use crate::error::RegistryError;
use crate::http::{self, Challenge};
use crate::limits::{REDIRECTS_MAX, TOKEN_ANSWER_MAX_BYTES, TOKEN_LIFE, TOKEN_MARGIN};
use crate::memory::Memory;

/// Who asks whom for what.
pub(crate) struct Party<'a> {
    /// The client that trusts the host.
    pub(crate) client: &'a Client,
    /// Scheme, host and port of the request.
    pub(crate) origin: &'a str,
    /// The registry whose credentials may be used; `None` for a host that a redirect led to.
    pub(crate) registry: Option<&'a str>,
    /// The repository to read.
    pub(crate) repository: &'a str,
}

/// Remembers how each origin wants to be asked, and the tokens it gave.
pub(crate) struct Authorizer {
    credentials: Credentials,
    memory: Option<Memory>,
    challenges: Mutex<HashMap<String, Challenge>>,
    found: Mutex<HashMap<String, Arc<OnceCell<Found>>>>,
    tokens: Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    realm: String,
    service: String,
    scope: String,
    registry: Option<String>,
}

struct Token {
    header: Secret,
    ends: Instant,
}

/// `token` and `access_token` mean the same; one of them is there.
#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: Option<Secret>,
    #[serde(default)]
    access_token: Option<Secret>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Authorizer {
    pub(crate) fn new(credentials: Credentials, memory: Option<Memory>) -> Self {
        Self {
            credentials,
            memory,
            challenges: Mutex::default(),
            found: Mutex::default(),
            tokens: Mutex::default(),
        }
    }

    /// The header to send before being asked: saves the round trip of a 401 where we know, from
    /// this run or an earlier one, that it would come.
    pub(crate) async fn in_advance(&self, party: &Party<'_>) -> Option<Secret> {
        let challenge = self.expected(party)?;
        // The scope of one request is not that of another.
        let challenge = match challenge {
            Challenge::Bearer { realm, service, .. } => Challenge::Bearer {
                realm,
                service,
                scope: String::new(),
            },
            Challenge::Basic => Challenge::Basic,
        };
        // Whatever fails here is asked for again, and told, when the registry does ask.
        self.answer(party, &challenge, None).await.ok()
    }

    fn expected(&self, party: &Party<'_>) -> Option<Challenge> {
        let known = self.challenges.lock().get(party.origin).cloned();
        known.or_else(|| {
            party.registry?;
            let noted = self
                .memory
                .as_ref()
                .and_then(|memory| memory.challenge(party.origin));
            noted.or_else(|| hub_challenge(party.origin))
        })
    }

    /// The header that meets `challenge`. `refused` is the header that was just not enough: a
    /// cached token equal to it is given up.
    pub(crate) async fn answer(
        &self,
        party: &Party<'_>,
        challenge: &Challenge,
        refused: Option<&Secret>,
    ) -> Result<Secret, RegistryError> {
        let found = self.found(party.registry).await;
        let header = match (challenge, &found.credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                Ok(basic(user, password))
            }
            (Challenge::Basic, _) => Err(denied(party, &found.complaint)),
            (Challenge::Bearer { .. }, Some(Credential::RegistryToken(token))) => {
                Ok(Secret::new(format!("Bearer {}", token.expose())))
            }
            (
                Challenge::Bearer {
                    realm,
                    service,
                    scope,
                },
                credential,
            ) => {
                let key = TokenKey {
                    realm: realm.clone(),
                    service: service.clone(),
                    scope: scope_of(scope, party.repository),
                    registry: party.registry.map(str::to_owned),
                };
                self.token(party, key, credential.as_ref(), refused).await
            }
        }?;
        if refused == Some(&header) {
            return Err(denied(party, &found.complaint));
        }
        self.remember(party, challenge);
        Ok(header)
    }

    /// What to say when a registry still denies access after its challenge was met.
    pub(crate) async fn complaint(&self, registry: &str) -> String {
        self.found(Some(registry)).await.complaint
    }

    fn remember(&self, party: &Party<'_>, challenge: &Challenge) {
        let mut known = self.challenges.lock();
        let before = known.insert(party.origin.to_owned(), challenge.clone());
        if let (Some(memory), Some(_), None) = (&self.memory, party.registry, before) {
            memory.note_challenge(party.origin, challenge);
        }
    }

    async fn found(&self, registry: Option<&str>) -> Found {
        let Some(registry) = registry else {
            return Found::default();
        };
        let cell = {
            let mut found = self.found.lock();
            found.entry(registry.to_owned()).or_default().clone()
        };
        cell.get_or_init(|| self.credentials.find(registry))
            .await
            .clone()
    }

    /// One request for each token, however many images wait for it.
    async fn token(
        &self,
        party: &Party<'_>,
        key: TokenKey,
        credential: Option<&Credential>,
        refused: Option<&Secret>,
    ) -> Result<Secret, RegistryError> {
        let slot = {
            let mut tokens = self.tokens.lock();
            tokens.entry(key.clone()).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(token) = &*slot
            && token.ends > Instant::now() + TOKEN_MARGIN
            && refused != Some(&token.header)
        {
            return Ok(token.header.clone());
        }
        let token = fetch(party, &key, credential).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }
}

/// Docker Hub's, which has not changed in ten years; when it does, its 401 corrects us.
fn hub_challenge(origin: &str) -> Option<Challenge> {
    (origin == format!("https://{DOCKER_HUB_HOST}")).then(|| Challenge::Bearer {
        realm: "https://auth.docker.io/token".to_owned(),
        service: "registry.docker.io".to_owned(),
        scope: String::new(),
    })
}

fn scope_of(asked: &str, repository: &str) -> String {
    if asked.is_empty() {
        format!("repository:{repository}:pull")
    } else {
        asked.to_owned()
    }
}

fn basic(user: &str, password: &Secret) -> Secret {
    use base64::Engine;
    let text = format!("{user}:{}", password.expose());
    Secret::new(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(text)
    ))
}

fn denied(party: &Party<'_>, complaint: &str) -> RegistryError {
    RegistryError::Denied {
        host: host_of(party.origin),
        what: party.repository.to_owned(),
        detail: complaint.to_owned(),
    }
}

fn host_of(origin: &str) -> String {
    origin
        .split_once("://")
        .map_or(origin, |(_, host)| host)
        .to_owned()
}

async fn fetch(
    party: &Party<'_>,
    key: &TokenKey,
    credential: Option<&Credential>,
) -> Result<Token, RegistryError> {
    let what = format!("a token for {}", party.repository);
    let mut url = realm(party, key).map_err(|reason| refused(party, reason))?;
    let first = http::origin(&url);
    for _ in 0..=REDIRECTS_MAX {
        let known = credential.filter(|_| http::origin(&url) == first);
        let request = ask(party.client, &url, key, known);
        let response = http::send(request, &http::host_of(&url)).await?;
        if let Some(next) = http::next_hop(&response, &what)? {
            url = next;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(http::refusal(response, &what).await);
        }
        let body = http::read(response, TOKEN_ANSWER_MAX_BYTES, &what).await?;
        return token_in(&body).ok_or_else(|| {
            let server = http::host_of(&url);
            refused(party, format!("its token server {server} sent no token"))
        });
    }
    let reason = format!("its token server redirects more than {REDIRECTS_MAX} times");
    Err(refused(party, reason))
}

fn refused(party: &Party<'_>, reason: String) -> RegistryError {
    RegistryError::Authentication {
        host: host_of(party.origin),
        reason,
    }
}

/// The token server's URL: over https, unless the registry itself is reached over plain http.
fn realm(party: &Party<'_>, key: &TokenKey) -> Result<Url, String> {
    let url = Url::parse(&key.realm).map_err(|error| format!("its realm is no URL: {error}"))?;
    match url.scheme() {
        "https" => Ok(url),
        "http" if party.origin.starts_with("http://") => Ok(url),
        scheme => Err(format!(
            "its realm is reached over {scheme}, which would show the credentials"
        )),
    }
}

fn ask(
    client: &Client,
    url: &Url,
    key: &TokenKey,
    credential: Option<&Credential>,
) -> RequestBuilder {
    if let Some(Credential::IdentityToken(token)) = credential {
        return client.post(url.clone()).form(&[
            ("grant_type", "refresh_token"),
            ("service", &key.service),
            ("client_id", "larder"),
            ("scope", &key.scope),
            ("refresh_token", token.expose()),
        ]);
    }
    // A scope list may hold several, parted by spaces; each is a parameter of its own, as in
    // containerd's `auth.FetchToken`.
    let scopes = key.scope.split(' ').map(|scope| ("scope", scope));
    let service = Some(("service", key.service.as_str())).filter(|(_, name)| !name.is_empty());
    let request = client
        .get(url.clone())
        .query(&service.into_iter().chain(scopes).collect::<Vec<_>>());
    match credential {
        Some(Credential::Password { user, password }) => {
            request.basic_auth(user, Some(password.expose()))
        }
        _ => request,
    }
}

fn token_in(body: &[u8]) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let tokens = [answer.token, answer.access_token];
    let token = tokens
        .into_iter()
        .flatten()
        .find(|token| !token.is_empty())?;
    let life = answer
        .expires_in
        .map_or(TOKEN_LIFE, |s| Duration::from_secs(s.min(86_400)));
    Some(Token {
        header: Secret::new(format!("Bearer {}", token.expose())),
        ends: Instant::now() + life.max(TOKEN_LIFE),
    })
}
