//! What an engine is: versions, how it keeps images, which builder it prefers.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use hyper::{Method, Response};
use serde::Deserialize;

use crate::connection::{Client, Request};
use crate::endpoint::Endpoint;
use crate::error::{ApiError, Result};
use crate::image_store::ImageStore;
use larder_model::version::Version;

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
        Ok(Self {
            major: major.parse().map_err(drop)?,
            minor: minor.parse().map_err(drop)?,
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
    /// The same as the engine writes it: `26.1.5+dfsg1`.
    pub version_text: String,
    /// containerd's version, likewise; empty where the engine does not name it.
    pub containerd_version: String,
    /// The version of the API that is spoken with it.
    pub api: ApiVersion,
    /// The newest that it could speak.
    pub newest_api: ApiVersion,
    /// Where it keeps images.
    pub image_store: Store,
    /// Its graph driver, or containerd's snapshotter.
    pub storage_driver: String,
    /// The version of the machine's control groups: `1` or `2`.
    pub cgroup_version: String,
    /// Who manages them: `systemd` or `cgroupfs`.
    pub cgroup_driver: String,
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
    #[serde(default)]
    version: String,
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
    #[serde(default)]
    cgroup_version: String,
    #[serde(default)]
    cgroup_driver: String,
}

/// Asks for everything. The ping needs no version, and names the newest that the engine speaks.
pub(super) async fn ask(client: &Client) -> Result<About> {
    let ping = client.call(&get("answer", "/_ping".to_owned())).await?;
    let newest_api = header(&ping, "api-version").and_then(|text| text.parse().ok());
    let newest_api = newest_api.ok_or_else(|| {
        let reason = "does not say which API it speaks; is it Docker's own?";
        unsupported(&client.endpoint, reason.to_owned())
    })?;
    let api = spoken(&client.endpoint, newest_api)?;
    let request = get("say its version", format!("/v{api}/version"));
    let version: VersionAnswer = client.json(&request).await?;
    check(&client.endpoint, api, &version)?;
    let number = version.version.parse();
    let number = number.map_err(|error| ApiError::malformed(&request.what, error))?;
    let request = get("say how it keeps images", format!("/v{api}/info"));
    let info: InfoAnswer = client.json(&request).await?;
    Ok(About {
        version: number,
        containerd_version: version.of_component("containerd"),
        version_text: version.version,
        api,
        newest_api,
        image_store: info.image_store(),
        storage_driver: info.driver,
        cgroup_version: info.cgroup_version,
        cgroup_driver: info.cgroup_driver,
        id: info.id,
        os: info.os,
        arch: info.architecture,
        prefers_buildkit: header(&ping, "builder-version") == Some("2"),
    })
}

fn get(what: &str, target: String) -> Request {
    Request {
        what: what.to_owned(),
        method: Method::GET,
        target,
    }
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn unsupported(endpoint: &Endpoint, reason: String) -> ApiError {
    ApiError::Unsupported {
        endpoint: endpoint.to_string(),
        reason,
    }
}

/// The version of the API to speak with an engine that speaks `theirs` at most.
fn spoken(endpoint: &Endpoint, theirs: ApiVersion) -> Result<ApiVersion> {
    let asked = match &endpoint.api_version {
        None => NEWEST,
        Some(text) => text.parse().map_err(|()| ApiError::Setting {
            what: "DOCKER_API_VERSION".to_owned(),
            value: text.clone(),
            reason: "expected two numbers such as 1.45".to_owned(),
        })?,
    };
    let api = theirs.min(asked).min(NEWEST);
    if api < OLDEST {
        let reason = format!(
            "speaks API {theirs}, and {api} is too old: Docker 20.10 with {OLDEST} is the oldest that will do"
        );
        return Err(unsupported(endpoint, reason));
    }
    Ok(api)
}

/// Refuses engines that are not Docker's, and those that no longer speak `api`.
fn check(endpoint: &Endpoint, api: ApiVersion, version: &VersionAnswer) -> Result<()> {
    let mut components = version.components.iter();
    if components.any(|component| component.name.starts_with("Podman")) {
        let reason = "is Podman, which keeps no build cache that could be saved this way";
        return Err(unsupported(endpoint, reason.to_owned()));
    }
    match version.min_api_version.parse::<ApiVersion>() {
        Ok(least) if least > api => {
            let reason = format!(
                "speaks no API older than {least}, and {api} is the newest that is known here"
            );
            Err(unsupported(endpoint, reason))
        }
        // Engines before 1.24 do not say.
        _ => Ok(()),
    }
}

impl VersionAnswer {
    /// The version of a part of the engine; empty if it is not named.
    fn of_component(&self, name: &str) -> String {
        let mut components = self.components.iter();
        let found = components.find(|component| component.name == name);
        found.map_or_else(String::new, |component| component.version.clone())
    }
}

impl InfoAnswer {
    fn image_store(&self) -> Store {
        let mut status = self.driver_status.iter().flatten();
        if status.any(|(name, value)| name == "driver-type" && value.starts_with(CONTAINERD_DRIVER))
        {
            return Store::Known(ImageStore::Containerd);
        }
        match self.driver.as_str() {
            "overlay2" => Store::Known(ImageStore::Overlay2),
            other => Store::Other(other.to_owned()),
        }
    }
}
