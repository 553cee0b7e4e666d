//! Meets the challenges of registries: one answer for each origin, one token for each scope.
//!
//! Distribution, "Token Authentication Specification" (`docs/content/spec/auth/token.md`) and
//! its OAuth 2 form (`oauth.md`). An `Authorization` header is made for one origin and
//! is never taken along to another.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::OnceCell;

use crate::credentials::{Credential, Credentials, DOCKER_HUB_HOST, Found, Secret};
use crate::error::{RegistryError, Result};
use crate::http::{self, Bearer, Challenge};
use crate::limits::{TOKEN_ANSWER_MAX_BYTES, TOKEN_LIFE, TOKEN_MARGIN};
use crate::memory::Memory;

/// Who asks whom for what.
pub(crate) struct Party<'a> {
    /// The client that trusts the host.
    pub(crate) client: &'a Client,
    pub(crate) url: &'a Url,
    /// Scheme, host and port of the URL.
    pub(crate) origin: String,
    /// The registry whose credentials may be used; `None` for a host that a redirect led to.
    pub(crate) registry: Option<&'a str>,
    /// The repository to read.
    pub(crate) repository: &'a str,
}

/// What a token is for: its server and scope, and the registry whose credentials were given.
type TokenKey = (Bearer, Option<String>);

/// Remembers how each origin wants to be asked, and the tokens it gave.
pub(crate) struct Authorizer {
    credentials: Credentials,
    memory: Option<Memory>,
    challenges: Mutex<HashMap<String, Challenge>>,
    found: Mutex<HashMap<String, Arc<OnceCell<Found>>>>,
    tokens: Mutex<HashMap<TokenKey, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

struct Token {
    header: Secret,
    ends: Instant,
}

/// `token` and `access_token` mean the same; one of them is there.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<Secret>,
    access_token: Option<Secret>,
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
        let mut challenge = self.expected(party).await?;
        if let Challenge::Bearer(bearer) = &mut challenge {
            // The scope of one request is not that of another.
            bearer.scope.clear();
        }
        // Whatever fails here is asked for again, and told, when the registry does ask.
        self.meet(party, &challenge, None).await.ok()
    }

    /// What the origin will ask for: what it named in this run, else what is remembered. A memory is a
    /// file, and no file decides which host gets a password. It is believed where that host is the registry's own,
    /// and where there is no password to give.
    async fn expected(&self, party: &Party<'_>) -> Option<Challenge> {
        if let Some(named) = self.challenges.lock().get(&party.origin) {
            return Some(named.clone());
        }
        let registry = party.registry?;
        if let Some(hub) = hub_challenge(&party.origin) {
            return Some(hub);
        }
        let noted = self.memory.as_ref()?.challenge(&party.origin)?;
        let believed = is_met_at(&noted, &party.origin)
            || !matches!(self.found(Some(registry)).await, Ok(Some(_)));
        believed.then_some(noted)
    }

    /// The header that meets `challenge`, which the origin has just named. `refused` is the header that was just
    /// not enough: a cached token equal to it is given up.
    pub(crate) async fn answer(
        &self,
        party: &Party<'_>,
        challenge: Challenge,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let header = self.meet(party, &challenge, refused).await?;
        self.remember(party, &challenge);
        Ok(header)
    }

    async fn meet(
        &self,
        party: &Party<'_>,
        challenge: &Challenge,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let found = self.found(party.registry).await;
        let credential = found.as_ref().ok().and_then(Option::as_ref);
        let header = match (challenge, credential) {
            (Challenge::Basic, Some(Credential::Password { user, password })) => {
                Some(basic(user, password))
            }
            (Challenge::Basic, Some(Credential::Encoded(both))) => {
                Some(Secret::new(format!("Basic {}", both.expose())))
            }
            (Challenge::Basic, _) => None,
            (Challenge::Bearer(_), Some(Credential::RegistryToken(token))) => Some(bearer(token)),
            (Challenge::Bearer(bearer), _) => {
                Some(self.token(party, bearer, credential, refused).await?)
            }
        };
        let header = header.filter(|header| refused != Some(header));
        header.ok_or_else(|| RegistryError::Denied {
            host: http::host_of(party.url),
            what: party.repository.to_owned(),
            detail: found.err().unwrap_or_default(),
        })
    }

    /// What to say when a registry still denies access after its challenge was met.
    pub(crate) async fn complaint(&self, registry: &str) -> String {
        self.found(Some(registry)).await.err().unwrap_or_default()
    }

    fn remember(&self, party: &Party<'_>, challenge: &Challenge) {
        let mut known = self.challenges.lock();
        let before = known.insert(party.origin.clone(), challenge.clone());
        if let (Some(memory), Some(_), None) = (&self.memory, party.registry, before) {
            memory.note_challenge(&party.origin, challenge);
        }
    }

    async fn found(&self, registry: Option<&str>) -> Found {
        let Some(registry) = registry else {
            return Ok(None);
        };
        let cell = {
            let mut found = self.found.lock();
            found.entry(registry.to_owned()).or_default().clone()
        };
        let found = cell.get_or_init(|| self.credentials.find(registry)).await;
        found.clone()
    }

    /// One request for each token, however many images wait for it.
    async fn token(
        &self,
        party: &Party<'_>,
        challenge: &Bearer,
        credential: Option<&Credential>,
        refused: Option<&Secret>,
    ) -> Result<Secret> {
        let mut asked = challenge.clone();
        if asked.scope.is_empty() {
            asked.scope = format!("repository:{}:pull", party.repository);
        }
        let slot = {
            let key = (asked.clone(), party.registry.map(str::to_owned));
            self.tokens.lock().entry(key).or_default().clone()
        };
        let mut slot = slot.lock().await;
        if let Some(token) = &*slot
            && token.ends > Instant::now() + TOKEN_MARGIN
            && refused != Some(&token.header)
        {
            return Ok(token.header.clone());
        }
        let token = fetch(party, &asked, credential).await?;
        let header = token.header.clone();
        *slot = Some(token);
        Ok(header)
    }
}

/// Whether the host that gets the password is the one that asks for it.
fn is_met_at(challenge: &Challenge, origin: &str) -> bool {
    match challenge {
        Challenge::Basic => true,
        Challenge::Bearer(bearer) => {
            Url::parse(&bearer.realm).is_ok_and(|realm| http::origin(&realm) == origin)
        }
    }
}

/// Docker Hub's, which has not changed in ten years; when it does, its 401 corrects us.
fn hub_challenge(origin: &str) -> Option<Challenge> {
    let hub = Bearer {
        realm: "https://auth.docker.io/token".to_owned(),
        service: "registry.docker.io".to_owned(),
        scope: String::new(),
    };
    (origin == format!("https://{DOCKER_HUB_HOST}")).then_some(Challenge::Bearer(hub))
}

fn basic(user: &str, password: &Secret) -> Secret {
    let text = format!("{user}:{}", password.expose());
    Secret::new(format!("Basic {}", STANDARD.encode(text)))
}

fn bearer(token: &Secret) -> Secret {
    Secret::new(format!("Bearer {}", token.expose()))
}

async fn fetch(
    party: &Party<'_>,
    asked: &Bearer,
    credential: Option<&Credential>,
) -> Result<Token> {
    let what = format!("a token for {}", party.repository);
    let mut url = realm(party, asked).map_err(|reason| cannot_authenticate(party.url, &reason))?;
    let first = http::origin(&url);
    let mut hops = 0;
    loop {
        let known = credential.filter(|_| http::origin(&url) == first);
        let request = ask(party.client, &url, asked, known);
        let response = http::send(request, &http::host_of(&url)).await?;
        if let Some(next) = http::next_hop(&response, &what, hops)? {
            url = next;
            hops += 1;
            continue;
        }
        if response.status() != StatusCode::OK {
            return Err(http::refusal(response, &what).await);
        }
        let body = http::read(response, TOKEN_ANSWER_MAX_BYTES, &what).await?;
        return token_in(&body).ok_or_else(|| {
            let server = http::host_of(&url);
            cannot_authenticate(
                party.url,
                &format!("its token server {server} sent no token"),
            )
        });
    }
}

pub(super) fn cannot_authenticate(url: &Url, reason: &str) -> RegistryError {
    RegistryError::Protocol {
        host: http::host_of(url),
        fault: format!("asks for an authentication that cannot be given: {reason}"),
    }
}

/// The token server's URL: over https, unless the registry itself is reached over plain http.
fn realm(party: &Party<'_>, asked: &Bearer) -> Result<Url, String> {
    let url = Url::parse(&asked.realm).map_err(|error| format!("its realm is no URL: {error}"))?;
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
    asked: &Bearer,
    credential: Option<&Credential>,
) -> RequestBuilder {
    if let Some(Credential::IdentityToken(token)) = credential {
        return client.post(url.clone()).form(&[
            ("grant_type", "refresh_token"),
            ("service", &asked.service),
            ("client_id", "larder"),
            ("scope", &asked.scope),
            ("refresh_token", token.expose()),
        ]);
    }
    // A scope list may hold several, parted by spaces; each is a parameter of its own, as in
    // containerd's `auth.FetchToken`.
    let scopes = asked.scope.split(' ').map(|scope| ("scope", scope));
    let service = Some(("service", asked.service.as_str())).filter(|(_, name)| !name.is_empty());
    let query: Vec<_> = service.into_iter().chain(scopes).collect();
    let request = client.get(url.clone()).query(&query);
    match credential {
        Some(Credential::Password { user, password }) => {
            request.basic_auth(user, Some(password.expose()))
        }
        Some(Credential::Encoded(both)) => {
            let text = format!("Basic {}", both.expose());
            let mut value = HeaderValue::try_from(text).expect("base64 is plain text");
            value.set_sensitive(true);
            request.header(AUTHORIZATION, value)
        }
        _ => request,
    }
}

fn token_in(body: &[u8]) -> Option<Token> {
    let answer: TokenAnswer = serde_json::from_slice(body).ok()?;
    let mut tokens = [answer.token, answer.access_token].into_iter().flatten();
    let token = tokens.find(|token| !token.is_empty())?;
    let life = answer
        .expires_in
        .map(|s| Duration::from_secs(s.min(86_400)));
    Some(Token {
        header: bearer(&token),
        ends: Instant::now() + life.unwrap_or_default().max(TOKEN_LIFE),
    })
}
