//! What an engine is: versions, how it keeps images, which builder it prefers.

use std::fmt;
use std::str::FromStr;

use hyper::Method;
use serde::Deserialize;

use super::error::{ApiError, Result};
use super::exchange::{Ask, Exchange};
use super::{json, success};
use crate::program::Version;
use crate::shape::ImageStore;

/// The versions that are spoken: from Docker 20.10's to 26.1's. Later engines answer to the last of
/// these too (Docker 29 asks for 1.44 at least).
const OLDEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 41,
};
const NEWEST: ApiVersion = ApiVersion {
    major: 1,
    minor: 45,
};

/// How an engine on containerd's store names its driver's type (moby `daemon/containerd/service.go`,
/// `LayerStoreStatus`).
const CONTAINERD_DRIVER: &str = "io.containerd.snapshotter.v1";

/// `1.45`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// One, so far.
    pub major: u32,
    /// Grows with the engine's releases.
    pub minor: u32,
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.trim_start_matches('v').split_once('.').ok_or(())?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// How an engine keeps its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// One of the two that Larder knows.
    Known(ImageStore),
    /// Another graph driver: `vfs`, `btrfs`, `zfs`, `fuse-overlayfs`. Its images come and go as those of
    /// overlay2 do; no test says so.
    Other(String),
}

impl Store {
    /// Which of the two kinds of stream it exports.
    pub fn kind(&self) -> ImageStore {
        match self {
            Self::Known(store) => *store,
            Self::Other(_) => ImageStore::Overlay2,
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(store) => store.fmt(f),
            Self::Other(driver) => f.pad(driver),
        }
    }
}

/// What an engine says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// dockerd's version.
    pub version: Version,
    /// The version of the API that is spoken with it.
    pub api: ApiVersion,
    /// Where it keeps images.
    pub image_store: Store,
    /// Its random name, which stays with its data.
    pub id: String,
    /// Of the machine that it runs on: `linux`.
    pub os: String,
    /// Of that machine: `x86_64`, `aarch64`.
    pub arch: String,
    /// Whether it asks clients to build with `BuildKit` when they have no wish of their own. Older
    /// engines have it too and do not ask (20.10).
    pub prefers_buildkit: bool,
}

impl About {
    /// Whether the classic builder uses loaded images as its own without being told to
    /// (`--cache-from`): the engines before CVE-2024-24557 was mended, on a graph driver.
    pub fn trusts_loaded_parents(&self) -> bool {
        let Version {
            major,
            minor,
            patch,
        } = self.version;
        let mended = match (major, minor) {
            (..=22, _) => return self.image_store.kind() == ImageStore::Overlay2,
            (23, 0) => 10,
            (24, 0) => 9,
            (25, 0) => 2,
            _ => 0,
        };
        patch < mended && self.image_store.kind() == ImageStore::Overlay2
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VersionAnswer {
    version: String,
    #[serde(default, rename = "MinAPIVersion")]
    min_api_version: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InfoAnswer {
    #[serde(default, rename = "ID")]
    id: String,
    driver: String,
    #[serde(default)]
    driver_status: Option<Vec<(String, String)>>,
    #[serde(rename = "OSType")]
    os: String,
    architecture: String,
}

/// Asks for everything. The ping needs no version, and names the newest that the engine speaks.
pub(super) async fn ask(exchange: &Exchange) -> Result<About> {
    let ping = asking("answer", "/_ping");
    let answer = exchange.whole(&ping).await?;
    success(&ping, &answer)?;
    let header = |name| answer.headers().get(name)?.to_str().ok();
    let theirs = header("api-version").and_then(|text| text.parse().ok());
    let prefers_buildkit = header("builder-version") == Some("2");
    let api = spoken(exchange, theirs)?;

    let version_ask = asking("say its version", &format!("/v{api}/version"));
    let version: VersionAnswer = json(&version_ask, &exchange.whole(&version_ask).await?)?;
    check(exchange, api, &version)?;
    let info_ask = asking("say how it keeps images", &format!("/v{api}/info"));
    let info: InfoAnswer = json(&info_ask, &exchange.whole(&info_ask).await?)?;
    let number = version.version.parse::<Version>();
    Ok(About {
        version: number.map_err(|error| ApiError::malformed(&version_ask.what, error))?,
        api,
        image_store: store(&info),
        id: info.id,
        os: info.os,
        arch: info.architecture,
        prefers_buildkit,
    })
}

fn asking(what: &str, target: &str) -> Ask {
    Ask {
        what: what.to_owned(),
        method: Method::GET,
        target: target.to_owned(),
    }
}

fn spoken(exchange: &Exchange, theirs: Option<ApiVersion>) -> Result<ApiVersion> {
    let unsupported = |reason: String| ApiError::Unsupported {
        endpoint: exchange.endpoint.to_string(),
        reason,
    };
    let theirs = theirs.ok_or_else(|| {
        unsupported("does not say which API it speaks; is it Docker's own?".to_owned())
    })?;
    let asked = match &exchange.endpoint.api_version {
        None => NEWEST,
        Some(text) => text.parse().map_err(|()| ApiError::Setting {
            what: "DOCKER_API_VERSION".to_owned(),
            value: text.clone(),
            reason: "expected two numbers such as 1.45".to_owned(),
        })?,
    };
    let api = theirs.min(asked).min(NEWEST);
    if api < OLDEST {
        return Err(unsupported(format!(
            "speaks API {theirs}, and {api} is too old: Docker 20.10 with {OLDEST} is the oldest that will do"
        )));
    }
    Ok(api)
}

fn check(exchange: &Exchange, api: ApiVersion, version: &VersionAnswer) -> Result<()> {
    let unsupported = |reason: String| ApiError::Unsupported {
        endpoint: exchange.endpoint.to_string(),
        reason,
    };
    let podman = |component: &Component| component.name.starts_with("Podman");
    if version.components.iter().any(podman) {
        return Err(unsupported(
            "is Podman, which keeps no build cache that could be saved this way".to_owned(),
        ));
    }
    match version.min_api_version.parse::<ApiVersion>() {
        Ok(least) if least > api => Err(unsupported(format!(
            "speaks no API older than {least}, and {api} is the newest that is known here"
        ))),
        // Engines before 1.24 do not say.
        _ => Ok(()),
    }
}

fn store(info: &InfoAnswer) -> Store {
    let status = info.driver_status.iter().flatten();
    let containerd = |(name, value): &(String, String)| {
        name == "driver-type" && value.starts_with(CONTAINERD_DRIVER)
    };
    if status.into_iter().any(containerd) {
        return Store::Known(ImageStore::Containerd);
    }
    match info.driver.as_str() {
        "overlay2" => Store::Known(ImageStore::Overlay2),
        other => Store::Other(other.to_owned()),
    }
}
