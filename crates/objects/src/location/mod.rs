//! The URL of a store: parsed, shown without secrets, opened.
//!
//! `file:///folder` (or a plain path), `s3://bucket/prefix`, `gs://bucket/prefix`,
//! `az://container/prefix` and `gha://name`. Settings of the clouds come as pairs of the names that their own tools
//! use in the environment (`AWS_REGION`, `AWS_ENDPOINT_URL`, `GOOGLE_APPLICATION_CREDENTIALS`,
//! `AZURE_STORAGE_ACCOUNT_NAME`, …), and `NO_PROXY`; this crate never looks at the environment itself.

mod access;
mod bundle;
mod passage;
mod permission;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use larder_github::GitHub;
use larder_local::files::make_folder_of_user;
use larder_model::address;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{HttpConnector as _, ReqwestConnector};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::local::LocalFileSystem;
use object_store::{ClientOptions, RetryConfig};
use serde::{Deserialize, Serialize};

pub use self::access::{Access, NearPlace, NearTier, Settings};
use self::bundle::Bundle;
use self::passage::Passage;
use crate::answer::without_secrets;
use crate::error::StoreError;
use crate::objects::Objects;
use crate::request::{Connector, Names};

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// The three clouds' builders have the same methods and no trait in common.
macro_rules! open_cloud {
    ($location:expr, $settings:expr, $builder:ty, $with_bucket:ident) => {{
        let mut builder = <$builder>::new()
            .$with_bucket(&$location.bucket)
            .with_client_options(client_options($settings))
            .with_http_connector(connector(ReqwestConnector::default(), $settings))
            .with_retry(no_retries());
        if let Some(bundle) = $location.bundle($settings)? {
            builder = builder.with_http_connector(connector(bundle, $settings));
        }
        for (name, value) in $settings {
            // Variables that mean nothing to this store are left out.
            if let Ok(key) = name.to_ascii_lowercase().parse() {
                builder = builder.with_config(key, value);
            }
        }
        let store = builder.build();
        let variables = $location.scheme.variables();
        let store = Arc::new(store.map_err(|error| {
            let why = without_secrets(&error.to_string());
            $location.refused(&format!("{why}; it needs {variables}"))
        })?);
        let names = Names::Bucket(Arc::clone(&store) as _, $location.path.clone());
        Objects::new(store, &$location.path, names)
    }};
}

/// Where a store is. As text it is its URL.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Location {
    scheme: Scheme,
    /// Bucket or container; empty for a folder.
    bucket: String,
    /// The folder, or the prefix in the bucket.
    path: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    File,
    S3,
    Gs,
    Az,
    Gha,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::S3 => "s3",
            Self::Gs => "gs",
            Self::Az => "az",
            Self::Gha => "gha",
        }
    }

    /// What its client needs of the environment.
    fn variables(self) -> &'static str {
        match self {
            Self::File => "none",
            Self::S3 => "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION",
            Self::Gs => "GOOGLE_APPLICATION_CREDENTIALS",
            Self::Az => "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
            Self::Gha => "ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN",
        }
    }
}

impl Location {
    /// Reads a URL or an absolute path. Relative paths are the caller's to resolve.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        if url.starts_with('/') {
            return Ok(Self::folder(Path::new(url)));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(refused(
                url,
                "write file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or gha://",
            ));
        };
        let scheme = match scheme {
            "file" if rest.starts_with('/') => return Ok(Self::folder(Path::new(rest))),
            "file" => {
                return Err(refused(
                    url,
                    "a file store is an absolute path: file:///folder",
                ));
            }
            "s3" => Scheme::S3,
            "gs" => Scheme::Gs,
            "az" => Scheme::Az,
            "gha" => return Self::in_github(url, rest),
            _ => return Err(refused(url, "known schemes are file, s3, gs, az and gha")),
        };
        let (bucket, path) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || bucket.contains(['@', ':', '?', '#']) || path.contains(['?', '#']) {
            return Err(refused(
                url,
                "after the scheme come a bucket and a prefix only; credentials belong in the environment",
            ));
        }
        Ok(Self {
            scheme,
            bucket: bucket.to_owned(),
            path: path.trim_matches('/').to_owned(),
        })
    }

    fn in_github(url: &str, name: &str) -> Result<Self, StoreError> {
        let name = name.trim_matches('/');
        let mut characters = name.chars();
        if !characters.all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
            let why = "after gha:// comes nothing, or a name of letters, digits, -, _ and .";
            return Err(refused(url, why));
        }
        Ok(Self {
            scheme: Scheme::Gha,
            bucket: name.to_owned(),
            path: String::new(),
        })
    }

    /// Whether its objects can be listed and removed: what looks after a store needs that.
    pub fn can_be_listed(&self) -> bool {
        self.scheme != Scheme::Gha
    }

    /// A store in a folder.
    pub fn folder(path: &Path) -> Self {
        Self {
            scheme: Scheme::File,
            bucket: String::new(),
            path: path.to_string_lossy().into_owned(),
        }
    }

    /// The folder of a `file://` store.
    pub fn as_folder(&self) -> Option<PathBuf> {
        (self.scheme == Scheme::File).then(|| PathBuf::from(&self.path))
    }

    /// The scheme, the bucket or container, and the prefix in it, of a store in a cloud.
    pub fn as_bucket(&self) -> Option<(&'static str, &str, &str)> {
        let is_cloud = self.scheme != Scheme::File;
        is_cloud.then(|| (self.scheme.name(), &*self.bucket, &*self.path))
    }

    /// Opens the store. A folder is made when it is not there; nothing else is asked or written.
    pub fn open(&self, settings: &[(String, String)]) -> Result<Objects, StoreError> {
        Ok(match self.scheme {
            Scheme::File => {
                let names = Names::Folder(PathBuf::from(&self.path));
                Objects::new(Arc::new(self.open_folder()?), "", names)
            }
            Scheme::S3 => open_cloud!(self, settings, AmazonS3Builder, with_bucket_name),
            Scheme::Gs => {
                open_cloud!(self, settings, GoogleCloudStorageBuilder, with_bucket_name)
            }
            Scheme::Az => open_cloud!(self, settings, MicrosoftAzureBuilder, with_container_name),
            Scheme::Gha => self.open_github(settings)?,
        })
    }

    fn open_github(&self, settings: &[(String, String)]) -> Result<Objects, StoreError> {
        let value = |wanted| {
            let mut named = settings.iter().filter(|(name, _)| name == wanted);
            named
                .next()
                .map(|(_, value)| value.as_str())
                .filter(|value| !value.is_empty())
        };
        let [url, token] = ["ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"].map(value);
        let (Some(url), Some(token)) = (url, token) else {
            return Err(self.refused(
                "GitHub gives ACTIONS_RESULTS_URL and ACTIONS_RUNTIME_TOKEN to actions, and not to steps with `run`: use \
                 Larder's action, or hand them on from a step of an action",
            ));
        };
        let options = client_options(settings).with_allow_http(url.starts_with("http://"));
        let client = connector(ReqwestConnector::default(), settings).connect(&options);
        let client = client.map_err(|error| self.refused(&error.to_string()))?;
        let store = GitHub::new(client, url, token.to_owned(), &self.bucket, is_content);
        Ok(Objects::in_github(store))
    }

    /// The authorities of a store of S3's protocol, if they were named.
    fn bundle(&self, settings: &[(String, String)]) -> Result<Option<Bundle>, StoreError> {
        let named = match self.scheme {
            Scheme::S3 => Bundle::named(settings, CONNECT_LIMIT),
            _ => Ok(None),
        };
        named.map_err(|why| self.refused(&why))
    }

    fn open_folder(&self) -> Result<LocalFileSystem, StoreError> {
        // Others may read it, as far as the starter's mask lets them.
        let made = make_folder_of_user(Path::new(&self.path), 0o777);
        made.map_err(|error| self.refused(&error.to_string()))?;
        let folder = LocalFileSystem::new_with_prefix(&self.path)
            .map_err(|error| self.refused(&error.to_string()))?;
        // "Saved" is printed only after the bytes are durable.
        Ok(folder.with_fsync(true))
    }

    fn refused(&self, why: &str) -> StoreError {
        refused(&self.to_string(), why)
    }
}

fn refused(url: &str, why: &str) -> StoreError {
    StoreError::Location {
        url: shown(url),
        why: why.to_owned(),
    }
}

fn is_content(path: &str) -> bool {
    address::parse_content(path).is_some()
}

fn connector<C>(client: C, settings: &[(String, String)]) -> Connector<Passage<C>> {
    Connector(Passage::new(client, settings))
}

/// Plain http is allowed exactly where the endpoint that was given is a plain http one.
fn client_options(settings: &[(String, String)]) -> ClientOptions {
    // A second installation finds the first one in place: the same provider, nothing to do.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT_LIMIT)
        .with_allow_http(has_plain_endpoint(settings))
}

fn has_plain_endpoint(settings: &[(String, String)]) -> bool {
    settings.iter().any(|(name, value)| {
        let name = name.to_ascii_lowercase();
        let is_endpoint = ["endpoint", "base_url"]
            .iter()
            .any(|part| name.contains(part));
        is_endpoint && value.starts_with("http://")
    })
}

/// [`Patience`](crate::Patience) tries again.
fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

/// A URL without what stands before `@` and after `?`, where people put credentials.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => url.to_owned(),
    }
}

impl TryFrom<String> for Location {
    type Error = StoreError;

    fn try_from(url: String) -> Result<Self, StoreError> {
        Self::parse(&url)
    }
}

impl From<Location> for String {
    fn from(location: Location) -> Self {
        location.to_string()
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.scheme.name();
        match self.scheme {
            Scheme::File => write!(f, "{scheme}://{}", self.path),
            Scheme::Gha => write!(f, "{scheme}://{}", self.bucket),
            _ => write!(f, "{scheme}://{}/{}", self.bucket, self.path),
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths_are_read() {
        let shown = |url: &str| Location::parse(url).map(|location| location.to_string());
        assert_eq!(shown("/var/store").expect("a path"), "file:///var/store");
        assert_eq!(
            shown("file:///var/store").expect("a URL"),
            "file:///var/store"
        );
        assert_eq!(shown("s3://b/a/b/").expect("a URL"), "s3://b/a/b");
        assert_eq!(shown("gs://b").expect("a URL"), "gs://b/");
        assert_eq!(shown("gha://").expect("a URL"), "gha://");
        assert_eq!(shown("gha://legs/").expect("a URL"), "gha://legs");
    }

    #[test]
    fn other_texts_are_refused_without_their_secrets() {
        for url in [
            "",
            "store",
            "file://store",
            "http://x/y",
            "s3://",
            "s3://key:SECRET@b/p",
            "s3://key:half/SECRET@b/p",
            "az://b/p?sig=SECRET",
            "gha://a/b",
            "gha://x:SECRET@y",
        ] {
            let error = Location::parse(url).expect_err("not a store").to_string();
            assert!(!error.contains("SECRET"), "{error}");
            assert!(error.contains("is not a store"), "{error}");
        }
    }
}
