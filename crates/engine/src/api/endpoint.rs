//! Where the engine is: `DOCKER_HOST`, a docker context, or the usual socket, in the order of the
//! docker command (docker/cli `cli/command/cli.go`, `resolveContextName`; `cli/flags/options.go`,
//! `SetDefaultOptions`).

use std::fmt;
use std::path::{Path, PathBuf};

use super::address::{Address, TLS_PORT, Tls, parse};
use super::context;
use super::environment::{Environment, filled};
use super::error::Result;
use crate::system::USUAL_SOCKET;

/// Where an engine is, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// How to get there.
    pub address: Address,
    /// `DOCKER_HOST`, `context "ci"`, `the usual socket`: for messages.
    pub source: String,
    /// No newer version of the API is spoken.
    pub api_version: Option<String>,
}

impl Endpoint {
    /// The engine that the docker command would talk to.
    pub fn find(environment: &Environment) -> Result<Self> {
        let (address, source) = match filled(environment.host.as_ref()) {
            Some(host) => {
                let what = "DOCKER_HOST".to_owned();
                let address = parse(&host, &what, certificates(environment), environment)?;
                (address, what)
            }
            None => match context::chosen(environment)? {
                Some(name) => {
                    let address = context::address(&name, environment)?;
                    (address, format!("context {name:?}"))
                }
                None => (by_default(environment), "the usual place".to_owned()),
            },
        };
        Ok(Self {
            address,
            source,
            api_version: filled(environment.api_version.as_ref()),
        })
    }

    /// An engine behind a unix socket.
    pub fn unix(socket: &Path) -> Self {
        Self {
            address: Address::Unix(socket.to_owned()),
            source: "given".to_owned(),
            api_version: None,
        }
    }
}

/// `unix:///var/run/docker.sock (the usual place)`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.address, self.source)
    }
}

/// The command's own rule: with TLS asked for and no host named, the engine is on this machine's port.
fn by_default(environment: &Environment) -> Address {
    match certificates(environment) {
        Some(tls) => Address::Tcp {
            host: "127.0.0.1".to_owned(),
            port: TLS_PORT,
            tls: Some(tls),
        },
        None => Address::Unix(PathBuf::from(USUAL_SOCKET)),
    }
}

/// TLS as the environment asks for it. `DOCKER_CERT_PATH` alone asks for nothing.
fn certificates(environment: &Environment) -> Option<Tls> {
    if !environment.tls && !environment.tls_verify {
        return None;
    }
    let folder = environment
        .cert_path
        .as_ref()
        .filter(|path| !path.as_os_str().is_empty())
        .or(environment.config.as_ref())
        .cloned()
        .unwrap_or_default();
    let identity = (folder.join("cert.pem"), folder.join("key.pem"));
    Some(Tls {
        authority: environment.tls_verify.then(|| folder.join("ca.pem")),
        identity: (identity.0.exists() && identity.1.exists()).then_some(identity),
        any_server: !environment.tls_verify,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_asked_for_by_its_own_variables() {
        let with = |host: Option<&str>, tls, tls_verify| {
            let environment = Environment {
                host: host.map(str::to_owned),
                cert_path: Some("/certificates".into()),
                tls,
                tls_verify,
                ..Environment::default()
            };
            Endpoint::find(&environment).expect("found").address
        };
        let tcp = |address| match address {
            Address::Tcp { host, port, tls } => (host, port, tls),
            other => panic!("{other}"),
        };
        let (_, port, tls) = tcp(with(Some("tcp://a"), false, false));
        assert_eq!((port, tls), (2375, None));
        let (_, port, tls) = tcp(with(Some("tcp://a"), false, true));
        let tls = tls.expect("asked for");
        assert_eq!((port, tls.any_server), (2376, false));
        assert_eq!(tls.authority, Some("/certificates/ca.pem".into()));
        let (host, port, tls) = tcp(with(None, true, false));
        assert_eq!((host.as_str(), port), ("127.0.0.1", 2376));
        assert!(tls.expect("asked for").any_server);
        assert_eq!(
            with(None, false, false).to_string(),
            "unix:///var/run/docker.sock"
        );
    }
}
