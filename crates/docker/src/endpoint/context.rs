//! docker's contexts: named engines in the docker command's own folder (docker/cli
//! `cli/context/store`: `metadatastore.go`, `tlsstore.go`).

use std::fs;
use std::io::{self, ErrorKind, Read as _};
use std::path::Path;

use larder_model::go::json::Object;

use super::address::{Address, Tls, parse};
use super::environment::{Environment, filled};
use crate::error::{ApiError, Result};
use crate::sha256::sha256_hex;

/// A configuration or a context's description is a few hundred bytes, with credentials some KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The context that means: no context.
const DEFAULT: &str = "default";

#[derive(Default)]
struct DockerEndpoint {
    host: String,
    any_server: bool,
}

/// The context that is chosen by `DOCKER_CONTEXT` or by the configuration.
pub(super) fn chosen(environment: &Environment) -> Result<Option<String>> {
    let name = match (filled(environment.context.as_ref()), &environment.config) {
        (Some(name), _) => Some(name),
        (None, Some(folder)) => {
            let config = read(&folder.join("config.json"))?;
            config.and_then(|config| config.text("currentContext").map(str::to_owned))
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
    let meta = read(&path)?.ok_or_else(|| ApiError::NoContext {
        name: name.to_owned(),
        path: path.clone(),
    })?;
    let endpoint = docker_endpoint(&meta).ok_or_else(|| ApiError::File {
        path: path.clone(),
        reason: format!("context {name:?} has no engine (no endpoint `docker`)"),
    })?;
    let what = format!("the host of context {name:?}");
    let tls = certificates(&contexts.join("tls").join(&id).join("docker"), &endpoint);
    parse(&endpoint.host, &what, tls, environment)
}

fn docker_endpoint(meta: &Object) -> Option<DockerEndpoint> {
    let mut endpoints = meta.map("Endpoints").into_iter();
    let (_, endpoint) = endpoints.rfind(|(name, _)| *name == "docker")?;
    let endpoint = endpoint.object()?;
    Some(DockerEndpoint {
        host: endpoint.text("Host").unwrap_or_default().to_owned(),
        any_server: endpoint.is_on("SkipTLSVerify"),
    })
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
fn read(path: &Path) -> Result<Option<Object>> {
    let unreadable = match text_of(path) {
        Ok(text) if text.trim_ascii().is_empty() => return Ok(None),
        Ok(text) => match Object::read(&text) {
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
