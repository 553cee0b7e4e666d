//! Docker's `config.json`: `auths`, `credHelpers` and `credsStore`.
//!
//! Follows docker's `cli/config/configfile/file.go` (`LoadFromReader`, `GetCredentialsStore`,
//! `decodeAuth`) and `cli/config/credentials`. As for Go, a null is as good as nothing.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use larder_model::go::json::Object;

use super::credential::{Credential, DOCKER_HUB_HOST, DOCKER_HUB_KEY, Found};
use super::helper;
use super::secret::Secret;
use crate::error::{RegistryError, Result};
use crate::limits::CREDENTIALS_MAX_BYTES;

/// What it is called in errors.
const KIND: &str = "docker's configuration";

/// The part of docker's `config.json` that says who we are.
#[derive(Debug, Clone, Default)]
pub struct DockerConfig {
    auths: BTreeMap<String, Option<Auth>>,
    cred_helpers: BTreeMap<String, Option<String>>,
    creds_store: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Auth {
    /// base64 of `user:password`.
    encoded: Option<Secret>,
    username: Option<String>,
    password: Option<Secret>,
    identitytoken: Option<Secret>,
    registrytoken: Option<Secret>,
}

impl Auth {
    fn of(entry: &Object) -> Self {
        let secret = |name| entry.text(name).map(Secret::new);
        Self {
            encoded: secret("auth"),
            username: entry.text("username").map(str::to_owned),
            password: secret("password"),
            identitytoken: secret("identitytoken"),
            registrytoken: secret("registrytoken"),
        }
    }
}

impl DockerConfig {
    /// Reads the file at `path`; one that does not exist holds nothing.
    pub fn read(path: &Path) -> Result<Self> {
        let mut text = Vec::new();
        let file = std::fs::File::open(path);
        let bounded = file.map(|file| file.take(CREDENTIALS_MAX_BYTES as u64));
        match bounded.and_then(|mut file| file.read_to_end(&mut text)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(RegistryError::setting(KIND, &path.display(), &error)),
            Ok(_) => Self::parse(&text, &path.display()),
        }
    }

    /// Reads podman's `auth.json`. Of what it names by host and path (`quay.io/team`, which counts for what is below
    /// it alone) nothing is taken: other images of that host may be for everybody.
    pub fn read_podman(path: &Path) -> Result<Self> {
        let mut config = Self::read(path)?;
        config.auths.retain(|key, _| !key.contains('/'));
        config.cred_helpers.retain(|key, _| !key.contains('/'));
        Ok(config)
    }

    /// Reads the text of the variable `DOCKER_AUTH_CONFIG`, which has the file's form.
    pub fn from_variable(text: &str) -> Result<Self> {
        Self::parse(text.as_bytes(), "DOCKER_AUTH_CONFIG")
    }

    /// Reads the text of a `config.json`. The error says where it fails and never quotes the text, as
    /// serde's own may: it holds passwords.
    fn parse(text: &[u8], origin: &(impl ToString + ?Sized)) -> Result<Self> {
        let refused = |place: String| {
            let reason = format!("{place} is not as docker writes it");
            RegistryError::setting(KIND, origin, &reason)
        };
        let config = Object::read(text).map_err(|error| {
            refused(format!("line {}, column {}", error.line(), error.column()))
        })?;
        let mut maps = ["auths", "credHelpers"].into_iter();
        if let Some(name) = maps.find(|name| config.is_mistyped_map(name)) {
            return Err(refused(format!("its `{name}`")));
        }
        let auths = config.map("auths").into_iter();
        let helpers = config.map("credHelpers").into_iter();
        Ok(Self {
            auths: auths
                .map(|(key, entry)| (key.to_owned(), entry.object().map(Auth::of)))
                .collect(),
            cred_helpers: helpers
                .map(|(key, helper)| (key.to_owned(), helper.text().map(str::to_owned)))
                .collect(),
            creds_store: config.text("credsStore").map(str::to_owned),
        })
    }

    /// The helper's answer, if it has one, else what the file holds.
    pub(crate) async fn find(&self, registry: &str) -> Found {
        let told = match self.helper(registry) {
            Some((helper, key)) => helper::get(helper, key).await,
            None => Ok(None),
        };
        match told {
            Ok(Some(credential)) => Ok(Some(credential)),
            nothing => self.filed(registry).unwrap_or(nothing),
        }
    }

    /// What the file itself holds of this registry, if it names it.
    pub(crate) fn filed(&self, registry: &str) -> Option<Found> {
        self.entry(registry).map(credential_of)
    }

    /// The helper for this registry, and the key it files the registry under.
    fn helper<'a>(&'a self, registry: &'a str) -> Option<(&'a str, &'a str)> {
        let own = keys(registry).find_map(|key| {
            let helper = self.cred_helpers.get(key)?.as_deref()?;
            Some((helper, key))
        });
        let helper = own.or_else(|| {
            let key = keys(registry).next().unwrap_or(registry);
            Some((self.creds_store.as_deref()?, key))
        });
        helper.filter(|(helper, _)| !helper.is_empty())
    }

    /// The entry for this registry: by its exact key, else by the host in a key that is a URL
    /// (docker `cli/config/credentials/file_store.go`, `ConvertToHostname`).
    fn entry(&self, registry: &str) -> Option<&Auth> {
        let exact = keys(registry).find_map(|key| self.auths.get(key));
        let entry = exact.or_else(|| {
            let mut entries = self.auths.iter();
            let by_host = entries.find(|(key, _)| keys(registry).any(|k| k == host_of(key)));
            by_host.map(|(_, auth)| auth)
        });
        entry?.as_ref()
    }
}

/// The names under which credentials of a registry may be filed, docker's own first.
fn keys(registry: &str) -> impl Iterator<Item = &str> {
    let hub = [
        DOCKER_HUB_KEY,
        "docker.io",
        "index.docker.io",
        DOCKER_HUB_HOST,
    ];
    let is_hub = registry == "docker.io";
    let own = (!is_hub).then_some(registry);
    hub.into_iter().filter(move |_| is_hub).chain(own)
}

fn host_of(key: &str) -> &str {
    let bare = key.strip_prefix("https://").or(key.strip_prefix("http://"));
    let bare = bare.unwrap_or(key);
    bare.split_once('/').map_or(bare, |(host, _)| host)
}

fn credential_of(auth: &Auth) -> Found {
    if let Some(token) = filled(auth.registrytoken.as_ref()) {
        return Ok(Some(Credential::RegistryToken(token)));
    }
    if let Some(token) = filled(auth.identitytoken.as_ref()) {
        return Ok(Some(Credential::IdentityToken(token)));
    }
    if let Some(encoded) = filled(auth.encoded.as_ref()) {
        let decoded = user_and_password(encoded.expose().trim_ascii());
        return decoded.map(Some).ok_or_else(|| {
            "an `auth` entry of docker's config.json is not base64 of `user:password`".to_owned()
        });
    }
    let user = auth.username.clone().filter(|user| !user.is_empty());
    let both = user.zip(filled(auth.password.as_ref()));
    Ok(both.map(|(user, password)| Credential::Password { user, password }))
}

fn filled(secret: Option<&Secret>) -> Option<Secret> {
    secret.filter(|secret| !secret.is_empty()).cloned()
}

/// Go's `base64.StdEncoding`: the last bits may be anything.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// `decodeAuth`. Go skips the ends of lines anywhere, and texts of its need not be UTF-8.
fn user_and_password(encoded: &str) -> Option<Credential> {
    let decoded = BASE64.decode(encoded.replace(['\r', '\n'], "")).ok()?;
    let colon = decoded.iter().position(|byte| *byte == b':')?;
    let (user, password) = (&decoded[..colon], trimmed(&decoded[colon + 1..]));
    if user.is_empty() {
        return None;
    }
    let texts = str::from_utf8(user).ok().zip(str::from_utf8(password).ok());
    Some(texts.map_or_else(
        || Credential::Encoded(Secret::new(BASE64.encode([user, b":", password].concat()))),
        |(user, password)| Credential::Password {
            user: user.to_owned(),
            password: Secret::new(password),
        },
    ))
}

/// Without zeros at its ends.
fn trimmed(mut bytes: &[u8]) -> &[u8] {
    while let [0, rest @ ..] | [rest @ .., 0] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn find(config: &str, registry: &str) -> Found {
        let config = DockerConfig::from_variable(config).expect("valid");
        config.find(registry).await
    }

    fn password(user: &str, password: &str) -> Credential {
        Credential::Password {
            user: user.into(),
            password: Secret::new(password),
        }
    }

    // base64("ann:s3cr:et")
    const ANN: &str = "YW5uOnMzY3I6ZXQ=";

    #[tokio::test]
    async fn entries_are_found_by_every_spelling() {
        for (key, registry) in [
            ("https://index.docker.io/v1/", "docker.io"),
            ("docker.io", "docker.io"),
            ("https://registry-1.docker.io/v2/", "docker.io"),
            ("r.example:5000", "r.example:5000"),
            ("https://r.example:5000", "r.example:5000"),
            ("http://r.example/v2/", "r.example"),
        ] {
            let config =
                format!(r#"{{"auths":{{"{key}":{{"auth":"{ANN}"}}}},"HttpHeaders":{{}}}}"#);
            assert_eq!(
                find(&config, registry).await,
                Ok(Some(password("ann", "s3cr:et"))),
                "{key}"
            );
            assert_eq!(find(&config, "other.example").await, Ok(None));
        }
    }

    #[tokio::test]
    async fn tokens_come_before_passwords() {
        for (field, expected) in [
            ("identitytoken", Credential::IdentityToken(Secret::new("t"))),
            ("registrytoken", Credential::RegistryToken(Secret::new("t"))),
        ] {
            let config = format!(r#"{{"auths":{{"r":{{"auth":"{ANN}","{field}":"t"}}}}}}"#);
            assert_eq!(find(&config, "r").await, Ok(Some(expected)));
        }
        let plain = r#"{"auths":{"r":{"username":"u","password":"p"}}}"#;
        assert_eq!(find(plain, "r").await, Ok(Some(password("u", "p"))));
        assert_eq!(find(r#"{"auths":{"r":{}}}"#, "r").await, Ok(None));
    }

    #[tokio::test]
    async fn nothing_and_null_hold_nothing() {
        for config in [
            "",
            " \n",
            r#"{"auths":null,"credHelpers":null,"credsStore":null}"#,
            r#"{"auths":{"r":null},"credHelpers":{"r":null}}"#,
        ] {
            assert_eq!(find(config, "r").await, Ok(None));
        }
    }

    #[tokio::test]
    async fn a_broken_entry_is_a_complaint_without_the_secret() {
        // Not base64, no colon, no colon and no text, no user.
        for auth in ["%%%", "bm9jb2xvbg==", "/w==", "OnB3"] {
            let config = format!(r#"{{"auths":{{"r":{{"auth":"{auth}"}}}}}}"#);
            let complaint = find(&config, "r").await.expect_err("not in form");
            assert!(complaint.contains("base64") && !complaint.contains(auth));
        }
    }

    /// Each is a file that docker takes its password from.
    #[tokio::test]
    async fn files_are_read_as_go_reads_them() {
        let wrapped = format!("{}\\n{}\\r\\n", &ANN[..8], &ANN[8..]);
        for config in [
            format!(r#"{{"AUTHS":{{"r":{{"Auth":"{ANN}"}}}}}}"#),
            format!(r#"{{"auths":{{"r":{{"auth":"{wrapped}"}}}}}}"#),
            format!(r#"{{"auths":{{"r":{{"auth":"{ANN}"}}}},"auths":{{"x":{{"auth":"eDp5"}}}}}}"#),
            format!(r#"{{"auths":{{"r":{{"auth":"eDp5"}},"r":{{"auth":"{ANN}"}}}}}}"#),
            format!(r#"{{"auths":{{"r":{{"auth":"%","AUTH":"{ANN}"}}}}}} more"#),
            // The last bits of the last letter are not zero.
            r#"{"auths":{"r":{"auth":"YW5uOnMzY3I6ZXR="}}}"#.to_owned(),
            // Zeros behind the password, as older versions of docker wrote them.
            r#"{"auths":{"r":{"auth":"YW5uOnMzY3I6ZXQAAA=="}}}"#.to_owned(),
        ] {
            let found = find(&config, "r").await;
            assert_eq!(found, Ok(Some(password("ann", "s3cr:et"))), "{config}");
        }
        let latin = r#"{"auths":{"r":{"auth":"Y2k6cORzcw=="}}}"#;
        let raw = Credential::Encoded(Secret::new("Y2k6cORzcw=="));
        assert_eq!(find(latin, "r").await, Ok(Some(raw)));
    }

    #[test]
    fn a_config_cannot_be_printed_or_quoted() {
        let config = format!(r#"{{"auths":{{"r":{{"auth":"{ANN}","identitytoken":"tok"}}}}}}"#);
        let shown = format!("{:?}", DockerConfig::from_variable(&config).expect("valid"));
        assert!(!shown.contains(ANN) && !shown.contains("tok\""), "{shown}");

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config.json");
        std::fs::write(&path, r#"{"auths":"s3cret"}"#).expect("written");
        let error = DockerConfig::read(&path)
            .expect_err("not docker's form")
            .to_string();
        assert!(
            error.contains("its `auths`") && !error.contains("s3cret"),
            "{error}"
        );
        assert!(DockerConfig::read(&folder.path().join("absent")).is_ok());
    }

    #[tokio::test]
    async fn what_podman_knows_of_a_part_of_a_registry_is_not_taken_for_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("auth.json");
        let auths = format!(
            r#"{{"auths":{{"q.example/team":{{"auth":"{ANN}"}},"r":{{"auth":"{ANN}"}}}}}}"#
        );
        std::fs::write(&path, auths).expect("written");
        let config = DockerConfig::read_podman(&path).expect("valid");
        assert_eq!(config.find("q.example").await, Ok(None));
        let found = config.find("r").await;
        assert_eq!(found, Ok(Some(password("ann", "s3cr:et"))));
    }

    #[test]
    fn helpers_of_one_registry_come_before_the_general_store() {
        let config = r#"{"credHelpers":{"r.example":"one"},"credsStore":"all"}"#;
        let config = DockerConfig::from_variable(config).expect("valid");
        assert_eq!(config.helper("r.example"), Some(("one", "r.example")));
        assert_eq!(config.helper("other"), Some(("all", "other")));
        assert_eq!(config.helper("docker.io"), Some(("all", DOCKER_HUB_KEY)));
        assert_eq!(DockerConfig::default().helper("r.example"), None);
    }
}
