//! TLS with an engine: docker's three PEM files.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use larder_tls::{Authorities, Identity};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use crate::endpoint::Tls;
use crate::error::{ApiError, Result};

/// The configuration of a connection.
pub(super) fn client(tls: &Tls) -> Result<Arc<ClientConfig>> {
    let identity = tls.identity.as_ref().map(|(certificate, key)| {
        let identity = Identity::from_pem(&read(certificate)?, &read(key)?);
        identity.map_err(|error| unusable(certificate, &error))
    });
    let identities = Vec::from_iter(identity.transpose()?);
    // For those who asked for it: `DOCKER_TLS` without `DOCKER_TLS_VERIFY`, `SkipTLSVerify` of a context.
    if tls.any_server {
        return Ok(Arc::new(larder_tls::client_of_any_server(identities)));
    }
    let authorities = authorities(tls.authority.as_deref())?;
    let config = larder_tls::client(authorities, identities);
    let path = tls.authority.as_deref().unwrap_or(Path::new(""));
    config.map(Arc::new).map_err(|error| unusable(path, &error))
}

/// docker trusts `ca.pem` alone where there is one (`ExclusiveRootPools`).
fn authorities(authority: Option<&Path>) -> Result<Authorities> {
    let Some(path) = authority else {
        return Ok(Authorities::built_in());
    };
    let mut authorities = Authorities::default();
    if authorities.add_pem(&read(path)?) == 0 {
        return Err(unusable(path, &"it holds no certificate"));
    }
    Ok(authorities)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> ApiError {
    ApiError::File {
        path: path.to_owned(),
        reason: format!("is no usable PEM file: {error}"),
    }
}

/// The name that the server's certificate must have.
pub(super) fn server_name(host: &str) -> io::Result<ServerName<'static>> {
    ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))
}
