//! Where the engine is: `DOCKER_HOST`, a docker context, or the usual socket, in the order of the
//! docker command (docker/cli `cli/command/cli.go`, `resolveContextName`; `cli/flags/options.go`,
//! `SetDefaultOptions`).

mod address;
mod context;
mod environment;

use std::fmt;
use std::path::{Path, PathBuf};

pub(crate) use self::address::bracketed;
pub use self::address::{Address, Tls, USUAL_SOCKET};
use self::address::{TLS_PORT, parse};
use self::environment::filled;
pub use self::environment::{Environment, OF_ANOTHER_ENGINE};
use crate::error::Result;

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
        let (address, source) = address_and_source(environment)?;
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

fn address_and_source(environment: &Environment) -> Result<(Address, String)> {
    if let Some(host) = filled(environment.host.as_ref()) {
        let what = "DOCKER_HOST";
        let address = parse(&host, what, certificates(environment), environment)?;
        return Ok((address, what.to_owned()));
    }
    match context::chosen(environment)? {
        Some(name) => {
            let address = context::address(&name, environment)?;
            Ok((address, format!("context {name:?}")))
        }
        None => Ok((by_default(environment), "the usual place".to_owned())),
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

    fn with(host: Option<&str>, tls: bool, tls_verify: bool) -> Address {
        let environment = Environment {
            host: host.map(str::to_owned),
            cert_path: Some("/certificates".into()),
            tls,
            tls_verify,
            ..Environment::default()
        };
        Endpoint::find(&environment).expect("found").address
    }

    fn tcp(address: Address) -> (String, u16, Option<Tls>) {
        match address {
            Address::Tcp { host, port, tls } => (host, port, tls),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn tls_is_asked_for_by_its_own_variables() {
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
