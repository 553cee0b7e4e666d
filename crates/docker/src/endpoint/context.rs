//! docker's contexts: named engines in the docker command's own folder (docker/cli
//! `cli/context/store`: `metadatastore.go`, `tlsstore.go`).

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::address::{Address, Tls, parse};
use super::environment::{Environment, filled};
use crate::error::{ApiError, Result};
use crate::sha256::sha256_hex;

/// A configuration or a context's description is a few hundred bytes, with credentials some KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The context that means: no context.
const DEFAULT: &str = "default";

#[derive(Deserialize)]
struct Config {
    #[serde(rename = "currentContext")]
    current: Option<String>,
}

#[derive(Deserialize)]
struct Meta {
    #[serde(rename = "Endpoints", default)]
    endpoints: Endpoints,
}

#[derive(Default, Deserialize)]
struct Endpoints {
    docker: Option<DockerEndpoint>,
}

#[derive(Deserialize)]
struct DockerEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    any_server: bool,
}

/// The context that is chosen by `DOCKER_CONTEXT` or by the configuration.
pub(super) fn chosen(environment: &Environment) -> Result<Option<String>> {
    let name = match (filled(environment.context.as_ref()), &environment.config) {
        (Some(name), _) => Some(name),
        (None, Some(folder)) => {
            read::<Config>(&folder.join("config.json"))?.and_then(|config| config.current)
        }
        (None, None) => None,
    };
    Ok(name.filter(|name| !name.is_empty() && name != DEFAULT))
}

/// Where the engine of a context is.
pub(super) fn address(name: &str, environment: &Environment) -> Result<Address> {
    let folder = environment.config.clone().unwrap_or_default();
    let contexts = folder.join("contexts");
    let id = sha256_hex(name.as_bytes());
    let path = contexts.join("meta").join(&id).join("meta.json");
    let meta: Meta = read(&path)?.ok_or_else(|| ApiError::NoContext {
        name: name.to_owned(),
        path: path.clone(),
    })?;
    let endpoint = meta.endpoints.docker.ok_or_else(|| ApiError::File {
        path: path.clone(),
        reason: format!("context {name:?} has no engine (no endpoint `docker`)"),
    })?;
    let what = format!("the host of context {name:?}");
    let tls = certificates(&contexts.join("tls").join(&id).join("docker"), &endpoint);
    parse(&endpoint.host, &what, tls, environment)
}

/// A context without certificates and without `SkipTLSVerify` has no TLS (docker/cli
/// `cli/context/docker/load.go`, `ClientOpts`).
fn certificates(folder: &Path, endpoint: &DockerEndpoint) -> Option<Tls> {
    let [authority, certificate, key] = ["ca.pem", "cert.pem", "key.pem"].map(|name| {
        let path = folder.join(name);
        path.exists().then_some(path)
    });
    let identity = certificate.zip(key);
    (authority.is_some() || identity.is_some() || endpoint.any_server).then_some(Tls {
        authority,
        identity,
        any_server: endpoint.any_server,
    })
}

/// A JSON file; `None` if it is not there. An empty configuration is one without settings (docker/cli
/// `configfile/file.go`).
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let unreadable = match text_of(path) {
        Ok(text) if text.trim_ascii().is_empty() => return Ok(None),
        Ok(text) => match serde_json::from_slice(&text) {
            Ok(parsed) => return Ok(Some(parsed)),
            Err(error) => format!("is not what docker writes: {error}"),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => format!("cannot be read: {error}"),
    };
    Err(ApiError::File {
        path: path.to_owned(),
        reason: unreadable,
    })
}

fn text_of(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut text)?;
    Ok(text)
}
