//! An engine's address, as it stands in `DOCKER_HOST` and in contexts (docker/cli `opts/hosts.go`,
//! `ParseHost`).

use std::fmt;
use std::path::PathBuf;

use hyper::Uri;
use larder_local::programs;

use super::environment::Environment;
use crate::error::{ApiError, Result};

/// The socket that every Docker client tries.
pub const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// The ports of an engine that listens on TCP, without and with TLS (docker/cli `opts/hosts.go`).
const PLAIN_PORT: u16 = 2375;
pub(super) const TLS_PORT: u16 = 2376;

/// How bytes get to an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// A TCP port.
    Tcp {
        /// A name or an address; of IPv6 without brackets.
        host: String,
        /// The port.
        port: u16,
        /// With TLS, and how.
        tls: Option<Tls>,
    },
    /// `docker system dial-stdio` at the other end of ssh.
    Ssh {
        /// The user, if one is named.
        user: Option<String>,
        /// The machine.
        host: String,
        /// The port, if one is named.
        port: Option<u16>,
        /// The socket there, if one is named.
        socket: Option<PathBuf>,
        /// The ssh program.
        program: PathBuf,
    },
}

/// The certificates of a connection, as PEM files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who vouches for the server; without it the public authorities do.
    pub authority: Option<PathBuf>,
    /// Our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Trust any server.
    pub any_server: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } => write!(f, "tcp://{}:{port}", bracketed(host)),
            Self::Ssh {
                user,
                host,
                port,
                socket,
                ..
            } => {
                f.write_str("ssh://")?;
                if let Some(user) = user {
                    write!(f, "{user}@")?;
                }
                f.write_str(&bracketed(host))?;
                if let Some(port) = port {
                    write!(f, ":{port}")?;
                }
                if let Some(socket) = socket {
                    write!(f, "{}", socket.display())?;
                }
                Ok(())
            }
        }
    }
}

/// An address of IPv6 in brackets, as a URL has it.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Reads an engine's address; `what` names where it stands.
pub(super) fn parse(
    value: &str,
    what: &str,
    tls: Option<Tls>,
    environment: &Environment,
) -> Result<Address> {
    let (scheme, rest) = value.trim().split_once("://").unwrap_or(("tcp", value));
    let address = match scheme {
        "unix" if rest.is_empty() => Ok(Address::Unix(PathBuf::from(USUAL_SOCKET))),
        "unix" => Ok(Address::Unix(PathBuf::from(rest))),
        "tcp" => tcp(rest, tls),
        "ssh" => ssh(rest, environment),
        _ => Err(EXPECTED),
    };
    address.map_err(|reason| ApiError::Setting {
        what: what.to_owned(),
        value: without_password(value),
        reason: reason.to_owned(),
    })
}

/// `ssh://me:…@host`.
fn without_password(value: &str) -> String {
    let from = value.find("://").map_or(0, |at| at + "://".len());
    let password = value[from..].split_once(':').and_then(|(user, rest)| {
        let (_, host) = rest.rsplit_once('@')?;
        Some(format!("{}{user}:…@{host}", &value[..from]))
    });
    password.unwrap_or_else(|| value.to_owned())
}

const EXPECTED: &str = "expected unix:///path, tcp://host:port or ssh://user@host";

/// `user@host:port/path`, and the host without brackets.
fn authority(text: &str) -> Option<(Uri, String)> {
    let uri: Uri = format!("http://{text}").parse().ok()?;
    let host = uri.host()?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    // `http::Uri` takes `host:` and `host:99999` for a host without a port.
    let whole = uri.authority()?.as_str();
    let has_port = whole.rsplit(']').next()?.contains(':');
    (!host.is_empty() && has_port == uri.port_u16().is_some())
        .then(|| (uri.clone(), host.to_owned()))
}

fn tcp(rest: &str, tls: Option<Tls>) -> std::result::Result<Address, &'static str> {
    let (uri, host) = authority(rest).ok_or(EXPECTED)?;
    if uri.path().len() > 1 {
        return Err("an engine behind a path is not supported");
    }
    let usual_port = if tls.is_some() { TLS_PORT } else { PLAIN_PORT };
    Ok(Address::Tcp {
        host,
        port: uri.port_u16().unwrap_or(usual_port),
        tls,
    })
}

/// docker/cli `cli/connhelper/ssh/ssh.go`, `ParseURL`.
fn ssh(rest: &str, environment: &Environment) -> std::result::Result<Address, &'static str> {
    let (uri, host) = authority(rest).ok_or(EXPECTED)?;
    let user = uri.authority().and_then(|whole| {
        let (user, _) = whole.as_str().rsplit_once('@')?;
        Some(user.to_owned())
    });
    if user.as_ref().is_some_and(|user| user.contains(':')) {
        return Err("ssh takes no password from a URL; use a key");
    }
    // Neither may look like an option of ssh.
    if host.starts_with('-') || user.as_ref().is_some_and(|user| user.starts_with('-')) {
        return Err("a host and a user cannot begin with a dash");
    }
    if uri.query().is_some() {
        return Err("an address of ssh has no query");
    }
    // A machine without ssh is told so when it dials.
    let program = programs::find("ssh", &environment.search);
    Ok(Address::Ssh {
        user,
        host,
        port: uri.port_u16(),
        socket: (uri.path().len() > 1).then(|| PathBuf::from(uri.path())),
        program: program.unwrap_or_else(|| PathBuf::from("ssh")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(host: &str) -> Result<Address> {
        parse(host, "DOCKER_HOST", None, &Environment::default())
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        for (host, expected) in [
            ("unix:///run/x.sock", "unix:///run/x.sock"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("tcp://10.0.0.1", "tcp://10.0.0.1:2375"),
            ("tcp://10.0.0.1:99", "tcp://10.0.0.1:99"),
            ("ci.example:99", "tcp://ci.example:99"),
            ("tcp://[fd00::1]:99", "tcp://[fd00::1]:99"),
            ("tcp://[fd00::1]", "tcp://[fd00::1]:2375"),
            ("ssh://ci.example", "ssh://ci.example"),
            ("ssh://me@ci.example:22", "ssh://me@ci.example:22"),
            ("ssh://me@ci/run/d.sock", "ssh://me@ci/run/d.sock"),
        ] {
            assert_eq!(found(host).expect(host).to_string(), expected, "{host}");
        }
        for host in [
            "npipe:////./pipe/docker_engine",
            "fd://",
            "https://ci.example",
            "tcp://",
            "tcp://host:99999",
            "tcp://host:",
            "tcp://host/below",
            "ssh://",
            "ssh://me:secret@host",
            "ssh://-oProxyCommand=x",
            "ssh://-l@host",
        ] {
            let error = found(host).expect_err(host).to_string();
            assert!(error.starts_with("DOCKER_HOST "), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
