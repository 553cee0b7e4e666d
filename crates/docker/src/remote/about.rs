//! What an engine is: versions, how it keeps images, which builder it prefers.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use hyper::Response;
use serde::Deserialize;

use crate::connection::{Client, Request};
use crate::endpoint::Endpoint;
use crate::error::{ApiError, Result};
use crate::image_store::ImageStore;
use larder_model::version::Version;

/// The versions that are spoken: from Docker 20.10's to 26.1's. Later engines answer to the last of
/// these too (Docker 29 asks for 1.44 at least).
const OLDEST: ApiVersion = ApiVersion(1, 41);
const NEWEST: ApiVersion = ApiVersion(1, 45);

/// How an engine on containerd's store names its driver's type (moby `daemon/containerd/service.go`,
/// `LayerStoreStatus`).
const CONTAINERD_DRIVER: &str = "io.containerd.snapshotter.v1";

/// `1.45`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion(u32, u32);

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.trim_start_matches('v').split_once('.').ok_or(())?;
        Ok(Self(
            major.parse().map_err(drop)?,
            minor.parse().map_err(drop)?,
        ))
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
    /// The oldest, as far as the engine says that.
    pub oldest_api: Option<ApiVersion>,
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
        let mended = match (self.version.major, self.version.minor) {
            (..=22, _) => u32::MAX,
            (23, 0) => 10,
            (24, 0) => 9,
            (25, 0) => 2,
            _ => 0,
        };
        self.version.patch < mended && self.image_store.kind() == ImageStore::Overlay2
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

pub(super) struct Found {
    pub(super) about: About,
    /// Why nothing but the simplest should be asked of it.
    pub(super) unsupported: Option<String>,
}

/// Asks for everything. The ping and the version are the same in each version of the API; the ping names
/// the newest that the engine speaks.
pub(super) async fn ask(client: &Client) -> Result<Found> {
    let ping = client.call(&Request::get("answer", "/_ping")).await?;
    let newest_api = header(&ping, "api-version").and_then(|text| text.parse().ok());
    let newest_api = newest_api.ok_or_else(|| ApiError::Unsupported {
        endpoint: client.endpoint.to_string(),
        reason: "does not say which API it speaks; is it Docker's own?".to_owned(),
    })?;
    let request = Request::get("say its version", "/version");
    let version: VersionAnswer = client.json(&request).await?;
    let number = version.version.parse();
    let number = number.map_err(|error| ApiError::malformed(&request.what, error))?;
    let wanted = wanted(&client.endpoint, newest_api)?;
    // Engines before 1.24 do not say what is the least.
    let oldest_api = version.min_api_version.parse().ok();
    let least = oldest_api.unwrap_or(wanted);
    let api = wanted.max(least);
    let request = Request::get("say how it keeps images", format!("/v{api}/info"));
    let info: InfoAnswer = client.json(&request).await?;
    let unsupported = unsupported(&version, newest_api, wanted, least);
    let mut components = version.components.into_iter();
    let containerd = components.find(|component| component.name == "containerd");
    let about = About {
        version: number,
        containerd_version: containerd.map_or_else(String::new, |component| component.version),
        version_text: version.version,
        api,
        newest_api,
        oldest_api,
        image_store: info.image_store(),
        storage_driver: info.driver,
        cgroup_version: info.cgroup_version,
        cgroup_driver: info.cgroup_driver,
        id: info.id,
        os: info.os,
        arch: info.architecture,
        prefers_buildkit: header(&ping, "builder-version") == Some("2"),
    };
    Ok(Found { about, unsupported })
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

/// The version of the API to speak with an engine that speaks `newest` at most.
fn wanted(endpoint: &Endpoint, newest: ApiVersion) -> Result<ApiVersion> {
    let asked = match &endpoint.api_version {
        None => NEWEST,
        Some(text) => text.parse().map_err(|()| ApiError::Setting {
            what: "DOCKER_API_VERSION".to_owned(),
            value: text.clone(),
            reason: "expected two numbers such as 1.45".to_owned(),
        })?,
    };
    Ok(newest.min(asked).min(NEWEST))
}

/// Why an engine is not one that this client knows; `None` if it is.
fn unsupported(
    version: &VersionAnswer,
    newest: ApiVersion,
    wanted: ApiVersion,
    least: ApiVersion,
) -> Option<String> {
    let mut components = version.components.iter();
    if components.any(|component| component.name.starts_with("Podman")) {
        let reason = "is Podman, which keeps no build cache that could be saved this way";
        return Some(reason.to_owned());
    }
    if wanted < OLDEST {
        return Some(format!(
            "speaks API {newest}, and {wanted} is too old: Docker 20.10 with {OLDEST} is the oldest that will do"
        ));
    }
    (least > wanted).then(|| {
        format!("speaks no API older than {least}, and {wanted} is the newest that is known here")
    })
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn api(text: &str) -> ApiVersion {
        text.parse().expect("two numbers")
    }

    /// Why an engine is refused whose newest and oldest API are these.
    fn refusal(newest: &str, least: &str, component: &str) -> Option<String> {
        let answer =
            format!(r#"{{ "Version": "1.2.3", "Components": [{{ "Name": "{component}" }}] }}"#);
        let answer: VersionAnswer = serde_json::from_str(&answer).expect("an answer");
        let endpoint = Endpoint::unix(Path::new("/s"));
        let wanted = wanted(&endpoint, api(newest)).expect("nothing was asked for");
        unsupported(&answer, api(newest), wanted, api(least))
    }

    #[test]
    fn engines_that_are_not_known_are_told_apart() {
        assert_eq!(refusal("1.41", "1.12", "Engine"), None);
        assert_eq!(refusal("1.52", "1.44", "Engine"), None);
        for (newest, least, component, reason) in [
            ("1.40", "1.12", "Engine", "20.10"),
            ("1.60", "1.48", "Engine", "no API older than 1.48"),
            ("1.41", "1.24", "Podman Engine", "Podman"),
        ] {
            let refused = refusal(newest, least, component).expect("refused");
            assert!(refused.contains(reason), "{refused}");
        }
    }

    fn store(info: &str) -> Store {
        let info: InfoAnswer = serde_json::from_str(info).expect("an answer");
        info.image_store()
    }

    #[test]
    fn the_store_is_known_by_its_drivers_type() {
        let rest = r#""OSType": "linux", "Architecture": "x86_64""#;
        let containerd = format!(
            r#"{{ "Driver": "overlayfs", "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]], {rest} }}"#
        );
        assert_eq!(store(&containerd), Store::Known(ImageStore::Containerd));
        // A text that only names the snapshotter is none.
        let overlay2 = format!(
            r#"{{ "Driver": "overlay2", "DriverStatus": [["Backing", "io.containerd.snapshotter.v1"]], {rest} }}"#
        );
        assert_eq!(store(&overlay2), Store::Known(ImageStore::Overlay2));
        let other = format!(r#"{{ "Driver": "vfs", "DriverStatus": null, {rest} }}"#);
        assert_eq!(store(&other), Store::Other("vfs".to_owned()));
    }
}
